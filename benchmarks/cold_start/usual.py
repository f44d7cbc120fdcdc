"""The list call as many teams write it: FastAPI, Mangum and boto3's resources."""

import os
import time
from typing import Any

import boto3
from fastapi import FastAPI, Response  # type: ignore[import-not-found]  # the benchmark installs it beside this file
from mangum import Mangum  # type: ignore[import-not-found]

WINDOW_SECONDS = 25

app = FastAPI()
dynamodb = boto3.resource("dynamodb")
devices = dynamodb.Table(os.environ["PASSWIRE_DEVICES_TABLE"])
versions, registrations = os.environ["PASSWIRE_VERSIONS_TABLE"], os.environ["PASSWIRE_REGISTRATIONS_TABLE"]


@app.get("/v1/devices/{device}/registrations/{pass_type}", response_model=None)  # type: ignore[untyped-decorator]
def list_changed(device: str, pass_type: str, passesUpdatedSince: int | None = None) -> Any:  # noqa: ANN401, N803
    as_of = int(time.time()) - WINDOW_SECONDS
    row = devices.get_item(Key={"device_library_identifier": device}, ConsistentRead=True).get("Item", {})
    held = sorted(pass_id for pass_id in row.get("passes", ()) if pass_id.startswith(f"{pass_type}/"))
    if not held:
        return Response(status_code=204)
    found = dynamodb.batch_get_item(
        RequestItems={
            versions: {"Keys": [{"pass_id": pass_id} for pass_id in held], "ConsistentRead": True},
            registrations: {
                "Keys": [{"pass_id": pass_id, "device_library_identifier": device} for pass_id in held],
                "ConsistentRead": True,
            },
        }
    )["Responses"]
    changed = {item["pass_id"]: item["modified_at"] for item in found[versions]}
    registered = {item["pass_id"]: item["registered_at"] for item in found[registrations]}
    named = [
        pass_id.partition("/")[2]
        for pass_id in held
        if passesUpdatedSince is None or max(changed.get(pass_id, 0), registered.get(pass_id, 0)) > passesUpdatedSince
    ]
    return {"serialNumbers": named, "lastUpdated": str(as_of)} if named else Response(status_code=204)


handler = Mangum(app, lifespan="off")

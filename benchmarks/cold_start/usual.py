"""The list call as many teams write it: FastAPI, Mangum and boto3's resources."""

from typing import Any

import boto3
from fastapi import FastAPI, Response  # type: ignore[import-not-found]  # the benchmark installs it beside this file
from listing import changed_passes  # type: ignore[import-not-found]  # as above
from mangum import Mangum  # type: ignore[import-not-found]

app = FastAPI()
dynamodb = boto3.resource("dynamodb")


@app.get("/v1/devices/{device}/registrations/{pass_type}", response_model=None)  # type: ignore[untyped-decorator]
def list_changed(device: str, pass_type: str, passesUpdatedSince: int | None = None) -> Any:  # noqa: ANN401, N803
    return changed_passes(dynamodb, device, pass_type, passesUpdatedSince) or Response(status_code=204)


handler = Mangum(app, lifespan="off")

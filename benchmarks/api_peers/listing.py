"""The list call with boto3's resources, as many teams write it; the FastAPI handlers of both benchmarks import it."""

import os
import time
from typing import Any

WINDOW_SECONDS = 25
DEVICES, VERSIONS, REGISTRATIONS = (
    os.environ[f"PASSWIRE_{name}_TABLE"] for name in ("DEVICES", "VERSIONS", "REGISTRATIONS")
)


def changed_passes(dynamodb: Any, device: str, pass_type: str, since: int | None) -> dict[str, Any] | None:  # noqa: ANN401 - boto3's resource
    """Return the body of the answer, or None if no pass of the device changed."""
    as_of = int(time.time()) - WINDOW_SECONDS
    devices = dynamodb.Table(DEVICES)
    row = devices.get_item(Key={"device_library_identifier": device}, ConsistentRead=True).get("Item", {})
    held = sorted(pass_id for pass_id in row.get("passes", ()) if pass_id.startswith(f"{pass_type}/"))
    if not held:
        return None
    found = dynamodb.batch_get_item(
        RequestItems={
            VERSIONS: {"Keys": [{"pass_id": pass_id} for pass_id in held], "ConsistentRead": True},
            REGISTRATIONS: {
                "Keys": [{"pass_id": pass_id, "device_library_identifier": device} for pass_id in held],
                "ConsistentRead": True,
            },
        }
    )["Responses"]
    changed = {item["pass_id"]: item["modified_at"] for item in found[VERSIONS]}
    registered = {item["pass_id"]: item["registered_at"] for item in found[REGISTRATIONS]}
    named = [
        pass_id.partition("/")[2]
        for pass_id in held
        if since is None or max(changed.get(pass_id, 0), registered.get(pass_id, 0)) > since
    ]
    return {"serialNumbers": named, "lastUpdated": str(as_of)} if named else None

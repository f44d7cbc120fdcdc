"""Configures the event source mapping of a function as `resources()` defines it; idempotent."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from infra.deploy.errors import DeployError
from infra.stage import aws

SOURCES = ("Stream", "Queue")
SETTABLE = {
    "BatchSize",
    "MaximumBatchingWindowInSeconds",
    "ParallelizationFactor",
    "FunctionResponseTypes",
    "BisectBatchOnFunctionError",
    "MaximumRetryAttempts",
    "MaximumRecordAgeInSeconds",
    "TumblingWindowInSeconds",
    "DestinationConfig",
    "ScalingConfig",
    "FilterCriteria",
}
CREATED_WITH = {"StartingPosition"}
"""Properties that cannot be changed later."""
SETTLED = ("Enabled", "Disabled")
"""States in which an event source mapping can be updated. Other states last tens of seconds (AWS,
"UpdateEventSourceMapping": ResourceInUseException while it is being created, updated or deleted).
"""
SETTLING_SECONDS = 300.0
POLL_SECONDS = 0.5


def set_trigger(
    function_name: str,
    properties: Mapping[str, Any],
    *,
    own: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Set the properties that differ, and return whether any did. A missing mapping of `own` is created.

    Args:
        function_name: the name of the function.
        properties: the event's properties in `resources()`, without expressions.
        own: True if Chalice does not create the mapping, since its function has another event source in app.py.
        sleep: waits some seconds between two looks at the mapping.

    Raises:
        DeployError: the function has no such event source mapping, or its state does not allow an update.
    """
    client = aws.client("lambda")
    source = next(properties[kind] for kind in SOURCES if kind in properties)
    mappings = client.list_event_source_mappings(FunctionName=function_name, EventSourceArn=source)
    wanted = {name: _as_lambda_says(name, value) for name, value in properties.items() if name in SETTABLE}
    if not mappings["EventSourceMappings"]:
        if own:
            start = properties["StartingPosition"]
            client.create_event_source_mapping(
                FunctionName=function_name, EventSourceArn=source, StartingPosition=start, **wanted
            )
            return True
        raise DeployError(
            f"function {function_name} has no event source mapping for {source}; "
            "run `prepare` and `chalice deploy` again"
        )
    mapping = mappings["EventSourceMappings"][0]
    differing = {name: value for name, value in wanted.items() if mapping.get(name) != value}
    if not differing:
        return False
    until = time.monotonic() + SETTLING_SECONDS
    _settle(client, mapping["UUID"], until=until, sleep=sleep)
    while True:
        try:
            client.update_event_source_mapping(UUID=mapping["UUID"], **differing)
        except client.exceptions.ResourceInUseException:  # another process updates it
            if time.monotonic() > until:
                raise
            sleep(POLL_SECONDS)
        else:
            break
    _settle(client, mapping["UUID"], until=until, sleep=sleep)
    return True


def _as_lambda_says(name: str, value: Any) -> Any:  # noqa: ANN401 - a property
    """Return a property in the form of Lambda's API, which has no type of a destination, unlike SAM."""
    if name == "DestinationConfig":
        return {"OnFailure": {"Destination": value["OnFailure"]["Destination"]}}
    return value


def _settle(client: Any, uuid: str, *, until: float, sleep: Callable[[float], None]) -> None:  # noqa: ANN401 - boto3
    """Wait until the mapping can be updated.

    Raises:
        DeployError: it cannot be updated by `until` (monotonic seconds).
    """
    while (state := client.get_event_source_mapping(UUID=uuid)["State"]) not in SETTLED:
        if time.monotonic() > until:
            raise DeployError(
                f"event source mapping {uuid} is still {state} after {SETTLING_SECONDS / 60:.0f} minutes; "
                "run `finish` again"
            )
        sleep(POLL_SECONDS)

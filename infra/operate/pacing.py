"""Reads which pushes a stage has scheduled, and until when, and stops them (`chalicelib/updates/pacing.py`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from time import time
from typing import Any

from chalicelib.core.identifiers import PassId
from chalicelib.updates.fan_outs import FanOutProgress
from chalicelib.updates.pacing import FAN_OUTS_ROW, LANE_SHARE, ROW, STOPS_ROW, Lane, Stop, seconds
from infra.stage import aws
from infra.stage.stage import Stage

MAX_COUNTED = 20
"""Fan-outs whose devices are counted: each count reads the registrations of a pass."""


@dataclass(frozen=True, slots=True)
class ScheduledPushes:
    """The pushes of a lane that have a slot.

    Args:
        devices: number of devices, at the stage's current rate.
        until: epoch seconds of the end of their slots; None without any.
    """

    devices: int
    until: float | None


@dataclass(frozen=True, slots=True)
class WaitingFanOut:
    """A fan-out that waits for its lane.

    Args:
        pass_id: the pass.
        devices: number of devices without a slot; None if it was not counted.
    """

    pass_id: str
    devices: int | None


@dataclass(frozen=True, slots=True)
class Pacing:
    """The scheduled and waiting pushes of a stage.

    Args:
        devices_per_second: the stage's rate.
        lanes: the pushes with a slot, by lane.
        fan_outs: the fan-outs that wait.
        until: epoch seconds at which all of them are notified, if nothing is added; None if nothing waits.
    """

    devices_per_second: int
    lanes: Mapping[str, ScheduledPushes]
    fan_outs: tuple[WaitingFanOut, ...]
    until: float | None


def read_pacing(stage: Stage) -> Pacing:
    """Read the pushes that a stage has scheduled. The devices of fan-outs that wait are counted."""
    rate = stage.settings.push_rate_limit
    dynamodb, table = aws.client("dynamodb"), stage.tables["versions"]
    timelines = _row(dynamodb, table, ROW)
    now = time()
    lanes = {lane.value: _scheduled(timelines, lane, rate=rate, now=now) for lane in Lane}
    waiting = sorted(_row(dynamodb, table, FAN_OUTS_ROW).get("fan_outs", {}).get("SS", []))
    fan_outs = tuple(
        WaitingFanOut(pass_id, _devices_left(stage, pass_id) if number < MAX_COUNTED else None)
        for number, pass_id in enumerate(waiting)
    )
    left = sum(fan_out.devices or 0 for fan_out in fan_outs)
    ends = [lane.until for lane in lanes.values() if lane.until is not None]
    if left:
        ends.append((lanes[Lane.WIDE.value].until or now) + left / (rate * LANE_SHARE))
    return Pacing(rate, lanes, fan_outs, max(ends, default=None))


def _row(dynamodb: Any, table: str, key: str) -> dict[str, Any]:  # noqa: ANN401 - boto3's clients have no types
    item: dict[str, Any] = dynamodb.get_item(TableName=table, Key={"pass_id": {"S": key}}).get("Item", {})
    return item


def _scheduled(timelines: Mapping[str, Any], lane: Lane, *, rate: int, now: float) -> ScheduledPushes:
    free_at = seconds(int(timelines.get(f"{lane.value}_free_at", {"N": "0"})["N"]))
    if free_at <= now:
        return ScheduledPushes(0, None)
    return ScheduledPushes(round((free_at - now) * rate * LANE_SHARE), free_at)


def _devices_left(stage: Stage, pass_id: str) -> int:
    """Count the devices of a pass behind the last one that has a slot."""
    dynamodb = aws.client("dynamodb")
    row = _row(dynamodb, stage.tables["versions"], pass_id)
    progress = FanOutProgress.parse(row["fan_out"]["S"]) if "fan_out" in row else None
    query: dict[str, Any] = {
        "TableName": stage.tables["registrations"],
        "KeyConditionExpression": "pass_id = :pass_id",
        "ExpressionAttributeValues": {":pass_id": {"S": pass_id}},
        "Select": "COUNT",
    }
    if progress is not None and progress.done:
        return 0
    if progress is not None and progress.reached:
        query["ExclusiveStartKey"] = {"pass_id": {"S": pass_id}, "device_library_identifier": {"S": progress.reached}}
    count = 0
    while True:
        page = dynamodb.query(**query)
        count += int(page["Count"])
        if "LastEvaluatedKey" not in page:
            return count
        query["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def stop_pushes(stage: Stage, pass_type_identifier: str, stop: Stop) -> None:
    """Stop the pushes of a pass type that wait, within `STOPS_SECONDS` seconds.

    Args:
        stage: the stage.
        pass_type_identifier: of the passes.
        stop: whether the pushes of changes until now are dropped, or all are kept until they are resumed.

    Raises:
        RefusedError: not a pass type identifier.
    """
    PassId(pass_type_identifier, "any")
    stops = _stops(stage)
    stops.update_item(
        Key={"pass_id": STOPS_ROW},
        UpdateExpression="SET stops = if_not_exists(stops, :none)",
        ExpressionAttributeValues={":none": {}},
    )
    stops.update_item(
        Key={"pass_id": STOPS_ROW},
        UpdateExpression="SET stops.#type = :stop",
        ExpressionAttributeNames={"#type": pass_type_identifier},
        ExpressionAttributeValues={":stop": {"stop": stop.value, "at": int(time())}},
    )


def resume_pushes(stage: Stage, pass_type_identifier: str) -> bool:
    """Resume the pushes of a pass type; False if they were not stopped."""
    stops = _stops(stage)
    stopped = stops.get_item(Key={"pass_id": STOPS_ROW}).get("Item", {}).get("stops", {})
    if pass_type_identifier not in stopped:
        return False
    stops.update_item(
        Key={"pass_id": STOPS_ROW},
        UpdateExpression="REMOVE stops.#type",
        ExpressionAttributeNames={"#type": pass_type_identifier},
    )
    return True


def _stops(stage: Stage) -> Any:  # noqa: ANN401 - boto3's tables have no types
    return aws.resource("dynamodb").Table(stage.tables["versions"])

"""Push tasks: work for the push queue, as frozen values and as the JSON of the queue's messages.

A push task contains device library identifiers, never push tokens: the push worker reads the current token, and the
queue contains no secret by which a phone can be reached.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from chalicelib.core.errors import RefusedError
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId
from chalicelib.updates.pacing import MAX_DEVICES_PER_SEND, Lane, lane_for

MAX_GROUP_LENGTH = 128
MAX_TIME = 100_000_000_000
"""Epoch seconds, in the year 5138. This service never writes a later time, nor one before 1970."""


@dataclass(frozen=True, slots=True)
class NotifyDevices:
    """Push to devices, because a pass of this type changed.

    Args:
        pass_type_identifier: topic of the push.
        devices: the devices to push to.
        changed_at: epoch seconds of the change, to measure the time until the push.
        change: id of the change in logs: the request id of the invocation that processed it; empty if unknown.
        not_before: epoch seconds before which nothing is pushed; 0 to push at once.
        lane: in which it is scheduled (`updates/pacing.py`); None to choose it by the number of devices.
        slot_at: epoch seconds from which its lane lets it be sent; 0 if it is not scheduled yet.
        paced_seconds: how long it has waited for its lane, without a failure.
    """

    pass_type_identifier: str
    devices: tuple[DeviceLibraryIdentifier, ...]
    changed_at: float
    change: str = ""
    not_before: float = 0.0
    lane: Lane | None = None
    slot_at: float = 0.0
    paced_seconds: float = 0.0

    @property
    def paced_lane(self) -> Lane:
        """The lane in which it is scheduled."""
        return self.lane or lane_for(len(self.devices))

    @property
    def due_at(self) -> float:
        """Epoch seconds from which a push that was not sent yet is late."""
        return self.changed_at + self.paced_seconds


@dataclass(frozen=True, slots=True)
class FanOut:
    """Find the devices that have a pass, page by page, and push to them.

    Args:
        pass_id: the pass.
        after: device after which to begin, in the table's order; None to begin with the first.
        changed_at: epoch seconds of the change.
        change: id of the change in logs, as in `NotifyDevices`.
        modified_at: stamp of the change, by which the push worker sees whether a later change supersedes this fan-out
            (`updates/fan_outs.py`); None for a push by an operator, which is always executed.
        slot_at: epoch seconds from which its lane lets the devices of its next page be notified
            (`updates/pacing.py`); 0 if that page is not scheduled yet.
    """

    pass_id: PassId
    after: DeviceLibraryIdentifier | None
    changed_at: float
    change: str = ""
    modified_at: int | None = None
    slot_at: float = 0.0


@dataclass(frozen=True, slots=True)
class RemoveRegistrations:
    """Remove the registrations of a deleted pass, unless the pass exists again.

    Args:
        pass_id: the pass.
        modified_at: stamp of the deletion; None if it is unknown.
        not_before: epoch seconds before which nothing is removed; 0 to remove at once.
    """

    pass_id: PassId
    modified_at: int | None = None
    not_before: float = 0.0


class RecheckReason(Enum):
    """Reason for a recheck, which decides when it is unnecessary."""

    UNSETTLED = "unsettled"
    """A stream record could not be processed, or an operator requests it: always necessary."""
    REFUSED = "refused"
    """The item was refused: necessary while the refusal is recorded."""
    DOWNLOAD = "download"
    """A download failed in this service: necessary unless the pass was rechecked after the failure."""


@dataclass(frozen=True, slots=True)
class Recheck:
    """Read a pass's item again; if the pass can be built, stamp it and push to every device that has it.

    Args:
        pass_id: the pass.
        reason: the reason for the recheck.
        at: epoch seconds of the event that led to it: the write, the failed download, or the operator's request.
        change: id of the recheck in logs: the request id of the invocation that requested it; empty if unknown.
    """

    pass_id: PassId
    reason: RecheckReason
    at: float
    change: str = ""


PushTask = NotifyDevices | FanOut | RemoveRegistrations | Recheck


def encode(task: PushTask) -> str:
    """Return a push task as one line of JSON."""
    body: Mapping[str, object]
    match task:
        case NotifyDevices():
            devices = [device.value for device in task.devices]
            wait = {"not_before": task.not_before} if task.not_before else {}
            origin = _origin(task)
            paced = {**({"lane": task.lane.value} if task.lane else {}), **_slot(task)}
            paced.update({"paced": task.paced_seconds} if task.paced_seconds else {})
            pushes = {"wake": task.pass_type_identifier, "devices": devices}  # prose: message format
            body = {**pushes, **origin, **wait, **paced}
        case FanOut():
            after = task.after.value if task.after else None
            body = {"fan_out": str(task.pass_id), "after": after, **_origin(task), **_stamp(task), **_slot(task)}
        case RemoveRegistrations():
            wait = {"not_before": task.not_before} if task.not_before else {}
            body = {"forget": str(task.pass_id), **_stamp(task), **wait}
        case Recheck():
            change = {"change": task.change} if task.change else {}
            body = {"recheck": str(task.pass_id), "reason": task.reason.value, "at": task.at, **change}
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False)


def _origin(task: NotifyDevices | FanOut) -> dict[str, object]:
    return {"changed_at": task.changed_at, **({"change": task.change} if task.change else {})}


def _stamp(task: FanOut | RemoveRegistrations) -> dict[str, object]:
    return {} if task.modified_at is None else {"modified_at": task.modified_at}


def _slot(task: NotifyDevices | FanOut) -> dict[str, object]:
    return {"slot_at": task.slot_at} if task.slot_at else {}


def message_group(task: PushTask) -> str | None:
    """Return the message group of a push task; None for no group.

    The push tasks of one change are one tenant of the queue, so that a pass on a million devices does not delay the
    pushes of other passes (AWS, "Amazon SQS fair queues").
    """
    match task:
        case NotifyDevices(change=change) | FanOut(change=change) | Recheck(change=change) if _may_name_a_group(change):
            return change
    return None


def _may_name_a_group(text: str) -> bool:
    """Tell whether SQS accepts a group: 1 to 128 letters, digits and punctuation of ASCII (AWS, "SendMessage")."""
    return 0 < len(text) <= MAX_GROUP_LENGTH and text.isascii() and text.isprintable() and " " not in text


def decode(text: str) -> PushTask:
    """Read a push task. Attributes that an older version did not write get their defaults.

    Raises:
        RefusedError: the text is not a push task. The message does not quote it, because it may contain device
            library identifiers.
    """
    try:
        content = json.loads(text)
    except (ValueError, TypeError, RecursionError):  # a number of over 4,300 digits is a plain ValueError
        raise RefusedError("push queue: a message is not JSON; it was not written by this service") from None
    try:
        task = _decode(content)
    except (RefusedError, ValueError, KeyError):
        task = None
    if task is None:
        raise RefusedError(
            "push queue: a message is not a push task; it was not written by this version of the service"
        )
    return task


def _decode(content: Any) -> PushTask | None:  # noqa: ANN401 - any JSON
    match content:
        case {"wake": str(pass_type_identifier), "devices": list(devices), "changed_at": at}:  # prose: message format
            PassId(pass_type_identifier, "any")  # raises for an invalid pass type identifier
            identifiers = tuple(DeviceLibraryIdentifier(_text(device)) for device in devices)
            return NotifyDevices(
                pass_type_identifier,
                identifiers,
                _time(at),
                _change(content),
                _time(content.get("not_before", 0.0)),
                lane=Lane(_text(content["lane"])) if "lane" in content else None,
                slot_at=_time(content.get("slot_at", 0.0)),
                paced_seconds=_time(content.get("paced", 0.0)),
            )
        case {"fan_out": str(pass_id), "after": None | str() as after, "changed_at": at}:
            return FanOut(
                PassId.parse(pass_id),
                DeviceLibraryIdentifier(after) if after is not None else None,
                _time(at),
                _change(content),
                _stamp_of(content),
                _time(content.get("slot_at", 0.0)),
            )
        case {"forget": str(pass_id)}:
            return RemoveRegistrations(PassId.parse(pass_id), _stamp_of(content), _time(content.get("not_before", 0.0)))
        case {"recheck": str(pass_id), "reason": str(reason), "at": at}:
            return Recheck(PassId.parse(pass_id), RecheckReason(reason), _time(at), _change(content))
    return None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("not a string")  # noqa: TRY004 - `decode` handles ValueError
    return value


def _time(value: object) -> float:
    """Read epoch seconds; refuse NaN, numbers out of range, and booleans, which are instances of int in Python."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_TIME:
        raise ValueError("not a time")
    return value


def _change(content: Mapping[str, object]) -> str:
    return _text(content.get("change", ""))


def _stamp_of(content: Mapping[str, object]) -> int | None:
    """Read `modified_at`; None if it is missing, as in messages of older versions."""
    if "modified_at" not in content:
        return None
    found = content["modified_at"]
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found <= MAX_TIME:
        raise ValueError("not a stamp")
    return found


def in_chunks(task: NotifyDevices, *, size: int = MAX_DEVICES_PER_SEND) -> list[NotifyDevices]:
    """Split a push task into parts of up to `size` devices; with `MAX_DEVICES_PER_SEND` each fits a message."""
    return [replace(task, devices=task.devices[start : start + size]) for start in range(0, len(task.devices), size)]

"""Work for the push queue: what could not be settled at once, as frozen values and as the JSON that SQS carries.

An order names devices, never push tokens: whoever carries it out reads the token of that moment, and a queue holds no
secret that reaches a phone.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from chalicelib.core.errors import RefusedError
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId

MAX_GROUP_LENGTH = 128
MAX_TIME = 100_000_000_000
"""Epoch seconds: 5138 AD. What is later, or before 1970, is not a time that this service wrote."""
MAX_DEVICES_PER_TASK = 500
"""500 identifiers of the longest length stay under SQS's 256 KiB; usual ones (32 hex digits) make 18 KiB."""


@dataclass(frozen=True, slots=True)
class NotifyDevices:
    """Push to these devices: something of this pass type changed.

    Args:
        pass_type_identifier: the topic.
        devices: whom to tell.
        changed_at: epoch seconds of the change, to measure how long telling took.
        change: what the change is followed by in logs: the request id of the invocation that saw it.
        not_before: epoch seconds before which nothing is pushed; 0 for no wait.
    """

    pass_type_identifier: str
    devices: tuple[DeviceLibraryIdentifier, ...]
    changed_at: float
    change: str = ""
    not_before: float = 0.0


@dataclass(frozen=True, slots=True)
class FanOut:
    """Find the devices that hold this pass, those after `after` in the table's order, and have them woken.

    Args:
        pass_id: which pass.
        after: None for all of its devices.
        changed_at: epoch seconds of the change.
        change: as above.
        modified_at: the stamp that the change got, by which the worker sees that a later change has replaced this
            fan-out (`domain/fan_outs.py`); None for a push by hand, which is always carried out.
    """

    pass_id: PassId
    after: DeviceLibraryIdentifier | None
    changed_at: float
    change: str = ""
    modified_at: int | None = None


@dataclass(frozen=True, slots=True)
class RemoveRegistrations:
    """The pass was deleted: remove its registrations, unless it is back by then.

    Args:
        pass_id: which pass.
        modified_at: the stamp of the deletion; None where it is not known.
        not_before: epoch seconds before which nothing is removed; 0 for no wait.
    """

    pass_id: PassId
    modified_at: int | None = None
    not_before: float = 0.0


class RecheckReason(Enum):
    """Why a pass is looked at again, which decides what makes that unnecessary."""

    UNSETTLED = "unsettled"
    """A stream record of it could not be handled, or an operator asks: it is looked at in any case."""
    REFUSED = "refused"
    """Its item was refused: it is looked at while that refusal is on record."""
    DOWNLOAD = "download"
    """A download of it failed on our side: it is looked at unless it was after the failure."""


@dataclass(frozen=True, slots=True)
class Recheck:
    """Read the pass item again; once the pass can be made, stamp it and push to every device that holds it.

    Args:
        pass_id: which pass.
        reason: why.
        at: epoch seconds of what led to it: the write, the failed download, or the operator's request.
        change: what it is followed by in logs: the request id of the invocation that asked.
    """

    pass_id: PassId
    reason: RecheckReason
    at: float
    change: str = ""


PushTask = NotifyDevices | FanOut | RemoveRegistrations | Recheck


def encode(task: PushTask) -> str:
    """The order as one line of JSON."""
    body: Mapping[str, object]
    match task:
        case NotifyDevices():
            devices = [device.value for device in task.devices]
            wait = {"not_before": task.not_before} if task.not_before else {}
            body = {"wake": task.pass_type_identifier, "devices": devices, **_origin(task), **wait}
        case FanOut():
            after = task.after.value if task.after else None
            body = {"fan_out": str(task.pass_id), "after": after, **_origin(task), **_stamp(task)}
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


def message_group(task: PushTask) -> str | None:
    """Whose share of the queue an order takes; None where it stands for itself.

    The orders of one change are one tenant of the queue, so that a pass which a million devices hold does not keep the
    pushes of others waiting (AWS, "Amazon SQS fair queues").
    """
    match task:
        case NotifyDevices(change=change) | FanOut(change=change) | Recheck(change=change) if _may_name_a_group(change):
            return change
    return None


def _may_name_a_group(text: str) -> bool:
    """SQS refuses any other (AWS, "SendMessage"): up to 128 letters, digits and punctuation of ASCII."""
    return 0 < len(text) <= MAX_GROUP_LENGTH and text.isascii() and text.isprintable() and " " not in text


def decode(text: str) -> PushTask:
    """Read an order. One that an older version wrote says nothing of its change.

    Raises:
        RefusedError: it is none of ours, whatever it is instead. The message does not repeat the text, which may name
            devices.
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
        raise RefusedError("push queue: a message is not an order; it was not written by this version of the service")
    return task


def _decode(content: Any) -> PushTask | None:  # noqa: ANN401 - any JSON
    match content:
        case {"wake": str(pass_type_identifier), "devices": list(devices), "changed_at": at}:
            PassId(pass_type_identifier, "any")  # raises where it is not a pass type identifier
            identifiers = tuple(DeviceLibraryIdentifier(_text(device)) for device in devices)
            return NotifyDevices(pass_type_identifier, identifiers, _time(at), _change(content), _not_before(content))
        case {"fan_out": str(pass_id), "after": None, "changed_at": at}:
            return FanOut(PassId.parse(pass_id), None, _time(at), _change(content), _stamp_of(content))
        case {"fan_out": str(pass_id), "after": str(after), "changed_at": at}:
            return FanOut(
                PassId.parse(pass_id),
                DeviceLibraryIdentifier(after),
                _time(at),
                _change(content),
                _stamp_of(content),
            )
        case {"forget": str(pass_id)}:
            return RemoveRegistrations(PassId.parse(pass_id), _stamp_of(content), _not_before(content))
        case {"recheck": str(pass_id), "reason": str(reason), "at": at}:
            return Recheck(PassId.parse(pass_id), RecheckReason(reason), _time(at), _change(content))
    return None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("not a string")  # noqa: TRY004 - decode knows one kind of wrong
    return value


def _time(value: object) -> float:
    """Epoch seconds; neither a boolean, which is an int to Python, nor NaN, nor a number of a thousand digits."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_TIME:
        raise ValueError("not a time")
    return value


def _change(content: Mapping[str, object]) -> str:
    return _text(content.get("change", ""))


def _stamp_of(content: Mapping[str, object]) -> int | None:
    """A `modified_at`; None where the message does not say, as one of an older version."""
    if "modified_at" not in content:
        return None
    found = content["modified_at"]
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found <= MAX_TIME:
        raise ValueError("not a stamp")
    return found


def _not_before(content: Mapping[str, object]) -> float:
    return _time(content.get("not_before", 0.0))


def in_chunks(task: NotifyDevices) -> list[NotifyDevices]:
    """The same order in pieces that one message can carry."""
    return [
        replace(task, devices=task.devices[start : start + MAX_DEVICES_PER_TASK])
        for start in range(0, len(task.devices), MAX_DEVICES_PER_TASK)
    ]

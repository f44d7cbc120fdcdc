"""Parses the messages of the dead-letter queue, and describes them without the devices that they name."""

import json
from dataclasses import replace
from time import time
from uuid import uuid4

from chalicelib.core.errors import RefusedError
from chalicelib.core.identifiers import PassId
from chalicelib.updates.push_tasks import (
    FanOut,
    NotifyDevices,
    PushTask,
    Recheck,
    RecheckReason,
    RemoveRegistrations,
    decode,
)


def task_in(body: str) -> PushTask | None:
    """Return the push task of a message that was given up, or None for other messages."""
    try:
        return decode(body)
    except RefusedError:
        return None


def recheck_for(body: str) -> Recheck | None:
    """Return the recheck for the dead letter of a refused item, or None for other messages.

    Older versions wrote no time of refusal and no record with the version, so that pass is rechecked unconditionally.
    """
    try:
        letter = json.loads(body)
        pass_id = PassId.parse(letter["refused"])
    except (ValueError, KeyError, TypeError, AttributeError, RefusedError):
        return None
    reason = RecheckReason.REFUSED if "refused_at" in letter else RecheckReason.UNSETTLED
    return Recheck(pass_id, reason, time(), f"by-hand-{uuid4()}")


def refused_item(body: str) -> tuple[str, str] | None:
    """Return the pass and the error of a refused item's dead letter, or None for other messages."""
    try:
        content = json.loads(body)
        return str(content["refused"]), str(content["error"])
    except (ValueError, KeyError, TypeError):
        return None


def unconditional(task: PushTask) -> PushTask:
    """Return the task as it is redriven: a recheck is carried out in any case.

    A recheck that became a dead letter may have set its stamp before its fan-out was queued. By its own reason it would
    then count as unnecessary, and the devices would not be notified.
    """
    return replace(task, reason=RecheckReason.UNSETTLED) if isinstance(task, Recheck) else task


def summary(body: str) -> str:
    """Describe a message without the devices that it names."""
    match task_in(body):
        case NotifyDevices() as task:
            return f"pushes of {task.pass_type_identifier} that were given up"
        case FanOut() as task:
            return f"fan-out of pass {task.pass_id} that was given up"
        case RemoveRegistrations() as task:
            return f"removal of the registrations of pass {task.pass_id} that was given up"
        case Recheck() as task:
            return f"recheck of pass {task.pass_id} that was given up"
    if refused := refused_item(body):
        return f"refused: {refused[1]}"
    given_up = "DDBStreamBatchInfo" in body
    return "batch of the passes stream that was given up" if given_up else "message that this service did not write"

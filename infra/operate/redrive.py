"""Repeats what was given up: push tasks and refused items in the dead-letter queue, and batches of the stream."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId
from chalicelib.updates.push_tasks import FanOut, NotifyDevices, Recheck
from infra.operate.dead_letters import recheck_for, refused_item, summary, task_in, unconditional
from infra.operate.passes.registrations import RegistrationCounter
from infra.operate.queues import QueueState, StageQueues
from infra.operate.stream_batches import StreamBatchError, process_batch
from infra.stage.stage import Stage

WRITE_AGAIN = "write its items again"
"""Remedy for a stream batch that is no longer in the stream."""


@dataclass(frozen=True, slots=True)
class Redriven:
    """Result of a redrive.

    Args:
        tasks: number of push tasks returned to the push queue.
        rechecks: number of passes that will be rechecked, since their items were refused.
        batches: number of stream batches that the push function processed again.
        discarded: number of dead letters of refused items that were deleted.
        kept: number of messages that stayed in their queue, by reason.
    """

    tasks: int
    rechecks: int
    batches: int
    discarded: int
    kept: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class RedrivePlan:
    """Effects of a redrive.

    Args:
        tasks: number of push tasks.
        rechecks: number of passes with refused items.
        batches: number of stream batches, whose devices are not known before they are processed.
        discarded: number of dead letters of refused items that would be deleted.
        kept: number of messages that would stay in their queue.
        devices: number of devices that the push tasks and rechecks notify.
    """

    tasks: int
    rechecks: int
    batches: int
    discarded: int
    kept: int
    devices: int


def count_dead_letters(queues: StageQueues, states: Mapping[str, QueueState]) -> Counter[str]:
    """Count the messages in the dead-letter and stream-failure queues by description, without secrets.

    Args:
        queues: the queues of a stage.
        states: their states by role; empty queues are not read.
    """
    found: Counter[str] = Counter()
    for role in ("dead_letter", "stream_failure"):
        if not states[role].waiting:
            continue
        messages = queues.received(role)
        found.update(summary(message["Body"]) for message in messages)
        for message in messages:
            queues.make_visible(role, message)
    return found


def redrive_pushes(stage: Stage, *, discard_refused: bool, on_progress: Callable[[int], None]) -> Redriven:
    """Repeat what was given up.

    Push tasks return to the push queue. A stream batch is read again from the stream, which keeps it for 24 hours,
    and sent to the push function. The pass of a refused item is rechecked once, however often it was refused: if
    its item or its template is valid now, its devices are notified; otherwise it is refused again, which creates a
    new dead letter.

    Args:
        stage: the stage.
        discard_refused: delete the dead letters of refused items instead. Refusals stay on record with the
            versions, so that the next write of the item or the next push of the template rechecks the pass anyway.
        on_progress: called with the number of messages processed.
    """
    queues = StageQueues(stage)
    tasks = batches = discarded = 0
    rechecks: set[PassId] = set()
    kept: Counter[str] = Counter()
    for number, message in enumerate(queues.received("dead_letter"), 1):
        body = message["Body"]
        if (task := task_in(body)) is not None:
            queues.push(unconditional(task))
            queues.delete("dead_letter", message)
            tasks += 1
        elif discard_refused and refused_item(body) is not None:
            queues.delete("dead_letter", message)
            discarded += 1
        elif (task := recheck_for(body)) is not None:
            if task.pass_id not in rechecks:
                queues.push(task)
                rechecks.add(task.pass_id)
            queues.delete("dead_letter", message)
        else:
            kept[summary(body)] += 1
            queues.make_visible("dead_letter", message)
        on_progress(number)
    for number, message in enumerate(queues.received("stream_failure"), 1):
        try:
            process_batch(message["Body"], function=stage.functions["push"], remedy=WRITE_AGAIN)
        except StreamBatchError as error:
            kept[str(error)] += 1
            queues.make_visible("stream_failure", message)
        else:
            queues.delete("stream_failure", message)
            batches += 1
        on_progress(tasks + number)
    return Redriven(tasks, len(rechecks), batches, discarded, kept)


def plan_redrive(stage: Stage, *, discard_refused: bool) -> RedrivePlan:
    """Return what `redrive_pushes` would do; the messages stay in their queues."""
    queues = StageQueues(stage)
    tasks = discarded = kept = 0
    devices: set[DeviceLibraryIdentifier] = set()
    keys: set[str] = set()
    rechecks: set[PassId] = set()
    messages = queues.received("dead_letter")
    for message in messages:
        body = message["Body"]
        if (task := task_in(body)) is not None:
            tasks += 1
            if isinstance(task, NotifyDevices):
                devices.update(task.devices)
            elif isinstance(task, FanOut | Recheck):
                keys.add(str(task.pass_id))
        elif discard_refused and refused_item(body) is not None:
            discarded += 1
        elif (recheck := recheck_for(body)) is not None:
            rechecks.add(recheck.pass_id)
        else:
            kept += 1
    for message in messages:
        queues.make_visible("dead_letter", message)
    keys.update(map(str, rechecks))
    return RedrivePlan(
        tasks=tasks,
        rechecks=len(rechecks),
        batches=queues.state("stream_failure").waiting,
        discarded=discarded,
        kept=kept,
        devices=len(devices) + RegistrationCounter(stage).devices(keys),
    )

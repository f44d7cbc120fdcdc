"""The push queue is drained: devices that could not be woken at once, passes that many hold, passes that are gone."""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from chalicelib.aws.queue import MAX_DELAY_SECONDS, Queue
from chalicelib.aws.tables import Store
from chalicelib.core.errors import TransientError, loggable
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId
from chalicelib.flows.send_pushes import PushSender, SendResult, put_off
from chalicelib.telemetry import log
from chalicelib.updates.attempts import MAX_ATTEMPTS
from chalicelib.updates.fan_outs import FanOutProgress, Idle, claim
from chalicelib.updates.messages import InvalidMessage, QueueMessage
from chalicelib.updates.push_tasks import (
    FanOut,
    NotifyDevices,
    PushTask,
    Recheck,
    RemoveRegistrations,
    in_chunks,
)

if TYPE_CHECKING:
    from chalicelib.flows.recheck import Rechecker

FAN_OUT_PAGE = 5000
REMOVAL_PAGE = 100
RESERVE_SECONDS = 3.0
"""What must remain before the deadline for another page."""
RECHECK_RESERVE_SECONDS = 20.0
"""What must remain before the deadline for another recheck: S3 and DynamoDB may be slow to refuse an answer."""
FIRST_RETRY_SECONDS = 5
MISCONFIGURED_RETRY_SECONDS = 900
"""A wrong credential is not worth hammering APNs with; a person must act first."""


@dataclass(frozen=True, slots=True)
class PushWorker:
    """What carries out orders.

    Args:
        rechecker: what looks at passes again; made when the first message asks for it.
    """

    store: Store
    queue: Queue
    push_sender: PushSender
    rechecker: "Callable[[], Rechecker]"
    clock: Callable[[], float] = time.time

    def handle(self, received: Sequence[QueueMessage | InvalidMessage], *, deadline: float) -> list[str]:
        """Carry out a batch of messages, each by itself.

        Args:
            received: messages of the batch (`chalicelib/http/events.py`).
            deadline: monotonic seconds by which all must end.

        Returns:
            The ids of the messages that must come again (AWS, "Reporting batch item failures").
        """
        messages: list[QueueMessage] = []
        failed: list[str] = []
        for message in received:
            if isinstance(message, InvalidMessage):
                failed.extend(self._bury(message))
            else:
                messages.append(message)
        early = [message for message in messages if self._is_early(message.task)]
        failed.extend(message.message_id for message in early if not self._deferred(message, deadline=deadline))
        messages = [message for message in messages if message not in early]
        failed.extend(self._send_pushes([m for m in messages if isinstance(m.task, NotifyDevices)], deadline=deadline))
        rechecked: set[PassId] = set()
        for message in messages:
            try:
                match message.task:
                    case Recheck(pass_id=pass_id) if pass_id not in rechecked:
                        if self._recheck(message.task, message.message_id, deadline=deadline):
                            rechecked.add(pass_id)
                    case FanOut():
                        self._fan_out(message, message.task, deadline=deadline)
                    case RemoveRegistrations():
                        self._remove_registrations(message.task, deadline=deadline)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this message's alone
                log.event("push_task_failed", message_id=message.message_id, error=loggable(error))
                self._postpone(message, seconds=retry_seconds(message.receive_count))
                failed.append(message.message_id)
        return failed

    def _is_early(self, task: PushTask) -> bool:
        """Whether the time of an order that waits for longer than SQS can delay a message has not come."""
        return isinstance(task, NotifyDevices | RemoveRegistrations) and task.not_before > self.clock()

    def _deferred(self, message: QueueMessage, *, deadline: float) -> bool:
        """Send the order again as a new message, delayed until its time or for as long as SQS can; whether it is sent.

        A message that is only hidden for so long would count as in flight, of which a queue has 120,000 at most.
        Nothing was attempted, so the number of attempts stays.
        """
        task = message.task
        seconds = task.not_before - self.clock() if isinstance(task, NotifyDevices | RemoveRegistrations) else 0.0
        try:
            delay = max(1, min(math.ceil(seconds), MAX_DELAY_SECONDS))
            self.queue.send([task], delay_seconds=delay, until=deadline - RESERVE_SECONDS, attempts=message.attempts)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this message's alone
            log.event("defer_failed", message_id=message.message_id, error=loggable(error))
            return False
        return True

    def _send_pushes(self, messages: Sequence[QueueMessage], *, deadline: float) -> list[str]:
        """All orders of a pass type in one go: a device that stands in several gets one push."""
        by_type: dict[str, list[tuple[QueueMessage, NotifyDevices]]] = defaultdict(list)
        for message in messages:
            if isinstance(message.task, NotifyDevices):
                by_type[message.task.pass_type_identifier].append((message, message.task))
        failed: list[str] = []
        for pass_type_identifier, tasks in by_type.items():
            devices = {device for _, task in tasks for device in task.devices}
            changed_at = min(task.changed_at for _, task in tasks)
            changes = " ".join(sorted({task.change for _, task in tasks if task.change}))
            try:
                result = self.push_sender.send(
                    pass_type_identifier, devices, changed_at=changed_at, deadline=deadline, changes=changes
                )
            except Exception as error:  # noqa: BLE001 - whatever it is, it is these messages' alone
                log.event(
                    "pushes_failed", pass_type_identifier=pass_type_identifier, changes=changes, error=loggable(error)
                )
                result = SendResult(frozenset(devices))
            failed.extend(
                message.message_id
                for message, task in tasks
                if not self._settled(message, task, result, deadline=deadline)
            )
        return failed

    def _settled(self, message: QueueMessage, task: NotifyDevices, result: SendResult, *, deadline: float) -> bool:
        """Whether the message may go. What is left of one that got on becomes a message of its own, so that nobody
        is pushed to twice; one that got nowhere comes again, later each time, and after the queue's limit of receives
        it is a dead letter.
        """
        delay = (
            MISCONFIGURED_RETRY_SECONDS
            if result.misconfigured
            else retry_seconds(message.attempts + message.receive_count)
        )
        now = self.clock()
        pieces = put_off(task, result, seconds=delay, now=now)
        if not pieces:
            return True
        retry_delays = [seconds for left, seconds in pieces if left.not_before <= now]
        got_nowhere = [left for left, _ in pieces] == [task]
        if retry_delays and (got_nowhere or message.attempts >= MAX_ATTEMPTS):
            self._postpone(message, seconds=max(retry_delays))
            return False
        try:
            for left, seconds in pieces:
                # Waiting for hours, since APNs refuses a push token, is not an attempt of what is tried again.
                attempts = message.attempts + 1 if left.not_before <= now else message.attempts
                self.queue.send([left], delay_seconds=seconds, until=deadline, attempts=attempts)
        except TransientError as error:
            log.event("requeue_failed", message_id=message.message_id, error=str(error))
            return False
        return True

    def _bury(self, message: InvalidMessage) -> list[str]:
        """Move an invalid message to the dead letter queue at once, unchanged.

        Returns:
            Its id, if it must be delivered again because SQS did not accept the dead letter.
        """
        log.event("push_task_refused", message_id=message.message_id, error=message.problem)
        try:
            self.queue.bury([message.body])
        except TransientError as failure:
            log.event("push_task_not_kept", message_id=message.message_id, error=str(failure))
            return [message.message_id]
        return []

    def _recheck(self, task: Recheck, message_id: str, *, deadline: float) -> bool:
        """Whether the pass was looked at, so that the batch's other messages for it need nothing more."""
        if time.monotonic() >= deadline - RECHECK_RESERVE_SECONDS:
            raise TransientError(f"pass {task.pass_id}: no time was left to look at it again")
        return self.rechecker().recheck(task, message_id=message_id, deadline=deadline)

    def _postpone(self, message: QueueMessage, *, seconds: int) -> None:
        """Let it come again after a while; where that cannot be said, after the queue's own time."""
        try:
            self.queue.postpone(message.receipt_handle, seconds=seconds)
        except TransientError as error:
            log.event("postpone_failed", message_id=message.message_id, error=str(error))

    def _fan_out(self, message: QueueMessage, task: FanOut, *, deadline: float) -> None:
        """Page through the devices that hold a pass, and order them to be woken, in pieces that run side by side.

        `domain/fan_outs.py` has the rules of which message does so, and why.

        Raises:
            TransientError: the message must come again.
        """
        after: DeviceLibraryIdentifier | None = task.after
        progress: FanOutProgress | None = None
        if task.modified_at is not None:
            progress = self._claim(message, task, modified_at=task.modified_at)
            if progress is None:
                return
            after = DeviceLibraryIdentifier(progress.reached) if progress.reached else None
        began = after
        while time.monotonic() < deadline - RESERVE_SECONDS:
            try:
                page = self.store.registrations.page(task.pass_id, after=after, limit=FAN_OUT_PAGE)
                wake = NotifyDevices(task.pass_id.pass_type_identifier, page.devices, task.changed_at, task.change)
                self.queue.send(in_chunks(wake), until=deadline - RESERVE_SECONDS)
            except TransientError:
                if after == began:
                    raise
                break  # who is ordered to be woken already is not to be ordered again
            found = {"pass_id": task.pass_id, "devices": len(page.devices), "shown": log.first_ids(page.devices)}
            log.event("devices_found", **found, changes=task.change)
            after = page.devices[-1] if page.devices else after
            progress = self._advance(task, progress, after, done=not page.more)
            if not page.more:
                return
        self.queue.send([replace(task, after=after)], until=deadline)
        if progress is not None:  # the new message may take over at once
            self._save(task, before=progress, after=replace(progress, holder=""))

    def _claim(self, message: QueueMessage, task: FanOut, *, modified_at: int) -> FanOutProgress | None:
        """Take on a fan-out; None where there is nothing to be done.

        Raises:
            TransientError: another message carries it on.
        """
        state = self.store.versions.fan_out_state(task.pass_id)
        claimed = claim(
            state,
            modified_at=modified_at,
            after=task.after.value if task.after else "",
            holder=message.message_id,
            now=self.clock(),
        )
        if claimed is Idle.END:
            log.event("fan_out_ended", pass_id=task.pass_id, modified_at=modified_at, announced=state.announced)
            return None
        if claimed is Idle.WAIT:
            raise FanOutHeldError(f"pass {task.pass_id}: another message carries this fan-out on")
        self._save(task, before=state.progress, after=claimed)
        return claimed

    def _advance(
        self, task: FanOut, progress: FanOutProgress | None, after: DeviceLibraryIdentifier | None, *, done: bool
    ) -> FanOutProgress | None:
        if progress is None:
            return None
        reached = after.value if after else ""
        advanced = replace(progress, reached=reached, at=int(self.clock()), done=done)
        self._save(task, before=progress, after=advanced)
        return advanced

    def _save(self, task: FanOut, *, before: FanOutProgress | None, after: FanOutProgress) -> None:
        """Write a fan-out's progress.

        Raises:
            TransientError: it was not written, or another message or a newer change took over in the meantime.
        """
        if not self.store.versions.advance_fan_out(task.pass_id, before=before, after=after):
            raise FanOutHeldError(f"pass {task.pass_id}: another message or a newer change took the fan-out over")

    def _remove_registrations(self, task: RemoveRegistrations, *, deadline: float) -> None:
        """Remove the registrations of a pass that was deleted, unless it came back in its grace period.

        A later stamp that is announced says that it came back, or was deleted again and has a new period.

        The registrations are read before the item: those that are seen while it is still gone are of its former life,
        and one that is made anew after that has another time.
        """
        while time.monotonic() < deadline - RESERVE_SECONDS:
            page = self.store.registrations.page(task.pass_id, after=None, limit=REMOVAL_PAGE)
            if self.store.passes.for_authorization(task.pass_id) is not None:
                return
            announced = self.store.versions.fan_out_state(task.pass_id).announced
            if task.modified_at is not None and announced > task.modified_at:
                return
            for device, registered_at in page.registered_at.items():
                self.store.registrations.delete(device, task.pass_id, registered_at=registered_at)
                self.store.devices.delete_if_empty(device)
            if not page.more:
                return
        self.queue.send([task])


class FanOutHeldError(TransientError):
    """Another message carries a fan-out on; this one must come again to see whether it is done."""


def retry_seconds(receive_count: int) -> int:
    """How long a message waits after its nth receive: 5 s, doubled each time, at most a quarter of an hour."""
    return int(min(FIRST_RETRY_SECONDS * 2 ** min(receive_count - 1, 16), MISCONFIGURED_RETRY_SECONDS))

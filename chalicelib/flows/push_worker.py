"""Carries out the push tasks in the push queue.

They are pushes to devices that were not reached at once, fan-outs of passes that many devices hold, removals of the
registrations of deleted passes, and rechecks of passes.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from chalicelib.aws.queue import MAX_DELAY_SECONDS, Queue
from chalicelib.aws.tables import Store
from chalicelib.core.errors import TransientError, loggable
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId
from chalicelib.flows.fan_out import DEFAULT_FAN_OUT_LIMITS, RESERVE_SECONDS, FanOutLimits, FanOuts
from chalicelib.flows.send_pushes import PushSender, SendResult, deferred_tasks
from chalicelib.telemetry import log
from chalicelib.updates.attempts import MAX_ATTEMPTS
from chalicelib.updates.messages import InvalidMessage, QueueMessage
from chalicelib.updates.pacing import HORIZON_SECONDS, KEPT_SECONDS, WAIT_SECONDS, Lane
from chalicelib.updates.push_tasks import (
    FanOut,
    NotifyDevices,
    PushTask,
    Recheck,
    RemoveRegistrations,
)

if TYPE_CHECKING:
    from chalicelib.flows.recheck import Rechecker

RECHECK_RESERVE_SECONDS = 20.0
"""Time before the deadline in which no further recheck starts: S3 and DynamoDB can be slow to answer."""
FIRST_RETRY_SECONDS = 5
MISCONFIGURED_RETRY_SECONDS = 900
"""With a wrong credential, frequent retries are useless: a person must act first."""


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """Limits of the push worker.

    Args:
        fan_outs: of fan-outs.
        removal_page: registrations that are read at once for a removal.
    """

    fan_outs: FanOutLimits = DEFAULT_FAN_OUT_LIMITS
    removal_page: int = 100


DEFAULT_LIMITS = WorkerLimits()


@dataclass(slots=True)
class _Due:
    """Push tasks that are sent together.

    Args:
        pass_type_identifier: topic of the pushes.
        lane: of the push tasks.
        slot_at: epoch seconds from which they may be sent; 0 if they are not scheduled yet.
        tasks: the push tasks with their messages.
    """

    pass_type_identifier: str
    lane: Lane
    slot_at: float
    tasks: list[tuple[QueueMessage, NotifyDevices]]

    @property
    def devices(self) -> set[DeviceLibraryIdentifier]:
        return {device for _, task in self.tasks for device in task.devices}

    def combined(self) -> NotifyDevices:
        """Return one push task for all: it is due when the first of them is, and names all their changes."""
        tasks = [task for _, task in self.tasks]
        changed_at = min(task.changed_at for task in tasks)
        return NotifyDevices(
            self.pass_type_identifier,
            tuple(sorted(self.devices)),
            changed_at,
            " ".join(sorted({task.change for task in tasks if task.change})),
            lane=self.lane,
            slot_at=self.slot_at,
            paced_seconds=min(task.due_at for task in tasks) - changed_at,
        )

    def can_take(self, task: NotifyDevices, slot_at: float, *, limit: int) -> bool:
        """Return True if a push task with this slot can be sent together with these."""
        same = (task.pass_type_identifier, task.paced_lane, slot_at)
        return same == (self.pass_type_identifier, self.lane, self.slot_at) and (
            len(self.devices | set(task.devices)) <= limit
        )


@dataclass(frozen=True, slots=True)
class PushWorker:
    """Carries out push tasks.

    Args:
        store: the tables.
        queue: the push queue and the dead letters.
        push_sender: sends pushes.
        rechecker: returns the rechecker; called at the first recheck.
        clock: epoch seconds.
        limits: page sizes.
    """

    store: Store
    queue: Queue
    push_sender: PushSender
    rechecker: "Callable[[], Rechecker]"
    clock: Callable[[], float] = time.time
    limits: WorkerLimits = DEFAULT_LIMITS

    def handle(self, received: Sequence[QueueMessage | InvalidMessage], *, deadline: float) -> list[str]:
        """Carry out a batch of messages independently of each other.

        Args:
            received: messages of the batch (`chalicelib/http/events.py`).
            deadline: monotonic seconds by which all must end.

        Returns:
            The ids of the messages that must be delivered again (AWS, "Reporting batch item failures").
        """
        messages: list[QueueMessage] = []
        failed: list[str] = []
        for message in received:
            if isinstance(message, InvalidMessage):
                failed.extend(self._send_dead_letters(message))
            else:
                messages.append(message)
        early = [message for message in messages if self._is_early(message.task)]
        failed.extend(m.message_id for m in early if not self._deferred(m, m.task, deadline=deadline))
        messages = [message for message in messages if message not in early]
        fan_outs = [message for message in messages if isinstance(message.task, FanOut)]
        pushes = [message for message in messages if isinstance(message.task, NotifyDevices)]
        others = [message for message in messages if message not in fan_outs and message not in pushes]
        failed.extend(self._carry_out(fan_outs, deadline=deadline))  # first, since their lane must not become empty
        failed.extend(self._send_pushes(pushes, deadline=deadline))
        failed.extend(self._carry_out(others, deadline=deadline))
        return failed

    def _carry_out(self, messages: Sequence[QueueMessage], *, deadline: float) -> list[str]:
        """Carry out push tasks that send no pushes themselves; returns the ids of the messages to deliver again."""
        failed: list[str] = []
        rechecked: set[PassId] = set()
        for message in messages:
            try:
                match message.task:
                    case Recheck(pass_id=pass_id) if pass_id not in rechecked:
                        if self._recheck(message.task, message.message_id, deadline=deadline):
                            rechecked.add(pass_id)
                    case FanOut():
                        self._fan_outs().carry_out(message.message_id, message.task, deadline=deadline)
                    case RemoveRegistrations():
                        self._remove_registrations(message.task, deadline=deadline)
            except Exception as error:  # noqa: BLE001 - any error affects only this message
                log.event("push_task_failed", message_id=message.message_id, error=loggable(error))
                self._postpone(message, seconds=retry_seconds(message.receive_count))
                failed.append(message.message_id)
        return failed

    def _fan_outs(self) -> FanOuts:
        return FanOuts(self.store, self.queue, self.push_sender.pacer, clock=self.clock, limits=self.limits.fan_outs)

    def _is_early(self, task: PushTask) -> bool:
        """Return True if a push task is not due yet: it waits for its slot, or for longer than SQS can delay it."""
        return self._due_at(task) > self.clock()

    def _due_at(self, task: PushTask) -> float:
        """Return the time from which a push task can be handled in an invocation, epoch seconds; 0 for at once."""
        match task:
            case NotifyDevices():
                return max(task.not_before, task.slot_at - WAIT_SECONDS if task.slot_at else 0.0)
            case RemoveRegistrations():
                return task.not_before
            case FanOut():
                return task.slot_at - HORIZON_SECONDS if task.slot_at else 0.0
        return 0.0

    def _deferred(self, message: QueueMessage, task: PushTask, *, deadline: float) -> bool:
        """Send a push task again as a new message, delayed until it is due or for as long as SQS can.

        A message that is only hidden for that time would count as in flight, and a queue has at most 120,000 of these.
        Nothing was attempted now, so only the earlier receives of this message count as attempts.

        Returns:
            True if it was sent.
        """
        match task:
            case NotifyDevices():
                due_at = max(task.not_before, task.slot_at)
            case FanOut():
                due_at = task.slot_at - HORIZON_SECONDS / 2
            case _:
                due_at = self._due_at(task)
        try:
            delay = max(0, min(math.floor(due_at - self.clock()), MAX_DELAY_SECONDS))
            attempts = message.attempts + message.receive_count - 1
            self.queue.send([task], delay_seconds=delay, until=deadline - RESERVE_SECONDS, attempts=attempts)
        except Exception as error:  # noqa: BLE001 - any error affects only this message
            log.event("defer_failed", message_id=message.message_id, error=loggable(error))
            return False
        return True

    def _send_pushes(self, messages: Sequence[QueueMessage], *, deadline: float) -> list[str]:
        """Send the pushes of push tasks in the order of their slots.

        Push tasks of one pass type that are due together are sent together: a device in several of them gets one push.
        """
        failed: list[str] = []
        for due in self._scheduled(messages, failed):
            if due.slot_at - self.clock() > WAIT_SECONDS or time.monotonic() >= deadline - RESERVE_SECONDS:
                failed.extend(self._sent_again(due, deadline=deadline))
                continue
            self.push_sender.pacer.wait_until(due.slot_at)
            failed.extend(self._pushed(due, deadline=deadline))
        return failed

    def _scheduled(self, messages: Sequence[QueueMessage], failed: list[str]) -> "list[_Due]":
        """Group push tasks for common sends, and schedule those that have no slot yet.

        Args:
            messages: with push tasks to notify devices.
            failed: takes the ids of the messages that could not be scheduled.
        """
        now = self.clock()
        groups: list[_Due] = []
        limit = self.push_sender.pacer.rate.devices_per_send
        for message in messages:
            task = message.task
            if not isinstance(task, NotifyDevices):
                continue
            slot_at = max(task.slot_at, now) if task.slot_at else 0.0
            for group in groups:
                if group.can_take(task, slot_at, limit=limit):
                    group.tasks.append((message, task))
                    break
            else:
                groups.append(_Due(task.pass_type_identifier, task.paced_lane, slot_at, [(message, task)]))
        for group in groups:
            if group.slot_at:
                continue
            try:
                self._schedule(group)
            except TransientError as error:
                for message, _ in group.tasks:
                    log.event("schedule_failed", message_id=message.message_id, error=str(error))
                    self._postpone(message, seconds=retry_seconds(message.attempts + message.receive_count))
                    failed.append(message.message_id)
        return sorted((group for group in groups if group.slot_at), key=lambda group: group.slot_at)

    def _schedule(self, group: "_Due") -> None:
        """Take time in the lane for the push tasks of a group.

        Raises:
            TransientError: DynamoDB did not carry it out.
        """
        group.slot_at = self.push_sender.pacer.schedule(group.lane, len(group.devices))
        waits = max(0.0, group.slot_at - self.clock())
        group.tasks = [
            (message, replace(task, slot_at=group.slot_at, paced_seconds=round(task.paced_seconds + waits, 3)))
            for message, task in group.tasks
        ]

    def _sent_again(self, group: "_Due", *, deadline: float) -> list[str]:
        """Send push tasks back to the queue until their slot comes; returns the messages for which that failed."""
        return [
            message.message_id for message, task in group.tasks if not self._deferred(message, task, deadline=deadline)
        ]

    def _kept(self, group: "_Due", *, deadline: float) -> list[str]:
        """Send push tasks back to the queue until an operator may have resumed them; as `_sent_again`."""
        until = self.clock() + KEPT_SECONDS
        group.tasks = [
            (message, replace(task, not_before=until, paced_seconds=task.paced_seconds + KEPT_SECONDS))
            for message, task in group.tasks
        ]
        return self._sent_again(group, deadline=deadline)

    def _pushed(self, group: "_Due", *, deadline: float) -> list[str]:
        """Send the pushes of a group whose slot has come.

        Returns:
            The ids of the messages that must be delivered again.
        """
        combined = group.combined()
        try:
            result = self.push_sender.send(combined, deadline=deadline)
            if result.kept:
                return self._kept(group, deadline=deadline)
            if result.unpaced:
                self._schedule(group)
                return self._sent_again(group, deadline=deadline)
        except Exception as error:  # noqa: BLE001 - any error affects only these messages
            named = {"pass_type_identifier": combined.pass_type_identifier, "changes": combined.change}
            log.event("pushes_failed", **named, error=loggable(error))
            result = SendResult(frozenset(combined.devices))
        return [
            message.message_id
            for message, task in group.tasks
            if not self._settled(message, task, result, deadline=deadline)
        ]

    def _settled(self, message: QueueMessage, task: NotifyDevices, result: SendResult, *, deadline: float) -> bool:
        """Requeue what is left of a push task.

        If the task made progress, the rest becomes a new message, so that no device gets two pushes. Otherwise the
        message is delivered again, after an increasing delay, until the queue's limit of receives makes it a dead
        letter.

        Returns:
            True if the message is settled, False if it must be delivered again.
        """
        delay = (
            MISCONFIGURED_RETRY_SECONDS
            if result.misconfigured
            else retry_seconds(message.attempts + message.receive_count)
        )
        now = self.clock()
        pieces = deferred_tasks(task, result, seconds=delay, now=now)
        if not pieces:
            return True
        retry_delays = [seconds for left, seconds in pieces if left.not_before <= now]
        got_nowhere = [left for left, _ in pieces] == [task]
        if retry_delays and (got_nowhere or message.attempts >= MAX_ATTEMPTS):
            self._postpone(message, seconds=max(retry_delays))
            return False
        try:
            for left, seconds in pieces:
                # Devices that wait for hours, because APNs refuses their push token, do not count as an attempt.
                attempts = message.attempts + 1 if left.not_before <= now else message.attempts
                self.queue.send([left], delay_seconds=seconds, until=deadline, attempts=attempts)
        except TransientError as error:
            log.event("requeue_failed", message_id=message.message_id, error=str(error))
            return False
        return True

    def _send_dead_letters(self, message: InvalidMessage) -> list[str]:
        """Move an invalid message to the dead letter queue at once, unchanged.

        Returns:
            Its id, if it must be delivered again because SQS did not accept the dead letter.
        """
        log.event("push_task_refused", message_id=message.message_id, error=message.problem)
        try:
            self.queue.send_dead_letters([message.body])
        except TransientError as failure:
            log.event("push_task_not_kept", message_id=message.message_id, error=str(failure))
            return [message.message_id]
        return []

    def _recheck(self, task: Recheck, message_id: str, *, deadline: float) -> bool:
        """Recheck a pass; True if it was read, so that other rechecks of it in this batch are unnecessary."""
        if time.monotonic() >= deadline - RECHECK_RESERVE_SECONDS:
            raise TransientError(f"pass {task.pass_id}: no time left to recheck it")
        return self.rechecker().recheck(task, message_id=message_id, deadline=deadline)

    def _postpone(self, message: QueueMessage, *, seconds: int) -> None:
        """Have a message delivered again after a delay; if SQS fails, after the queue's visibility timeout."""
        try:
            self.queue.postpone(message.receipt_handle, seconds=seconds)
        except TransientError as error:
            log.event("postpone_failed", message_id=message.message_id, error=str(error))

    def _remove_registrations(self, task: RemoveRegistrations, *, deadline: float) -> None:
        """Remove the registrations of a deleted pass, unless it was created again in its grace period.

        A later announced stamp means that it was created again, or deleted again with a new grace period.

        The registrations are read before the item: if the item is still missing then, they belong to the deleted pass,
        and a later registration has another time.
        """
        while time.monotonic() < deadline - RESERVE_SECONDS:
            page = self.store.registrations.page(task.pass_id, after=None, limit=self.limits.removal_page)
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


def retry_seconds(receive_count: int) -> int:
    """Return the delay after the nth receive of a message: 5 s, doubled each time, at most 15 minutes."""
    return int(min(FIRST_RETRY_SECONDS * 2 ** min(receive_count - 1, 16), MISCONFIGURED_RETRY_SECONDS))

"""The push queue is drained: devices that could not be woken at once, passes that many hold, passes that are gone."""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from chalicelib.aws.queue import Queue
from chalicelib.aws.tables import Store
from chalicelib.core.errors import TransientError, loggable
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId
from chalicelib.flows.send_pushes import PushSender, SendResult
from chalicelib.telemetry import log
from chalicelib.updates.attempts import MAX_ATTEMPTS, attempts_of
from chalicelib.updates.push_tasks import (
    FanOut,
    NotifyDevices,
    PushTask,
    Recheck,
    RemoveRegistrations,
    decode,
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
class Message:
    """One message of the push queue.

    Args:
        message_id: what a partial batch response names it by.
        receipt_handle: what it is postponed by.
        receive_count: how often it was handed out, this time included.
        task: what to do.
        attempts: how often the order was put off in messages before this one.
    """

    message_id: str
    receipt_handle: str
    receive_count: int
    task: PushTask
    attempts: int = 0


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

    def handle(self, records: Sequence[Mapping[str, Any]], *, deadline: float) -> list[str]:
        """Carry out a batch of messages, each by itself.

        Args:
            records: the `Records` of the Lambda event.
            deadline: monotonic seconds by which all must end.

        Returns:
            The ids of the messages that must come again (AWS, "Reporting batch item failures").
        """
        messages: list[Message] = []
        failed: list[str] = []
        for record in records:
            try:
                messages.append(_read(record))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this message's alone
                failed.extend(self._bury(record, error))
        failed.extend(self._send_pushes([m for m in messages if isinstance(m.task, NotifyDevices)], deadline=deadline))
        rechecked: set[PassId] = set()
        for message in messages:
            try:
                match message.task:
                    case Recheck(pass_id=pass_id) if pass_id not in rechecked:
                        if self._recheck(message.task, message.message_id, deadline=deadline):
                            rechecked.add(pass_id)
                    case FanOut():
                        self._fan_out(message.task, deadline=deadline)
                    case RemoveRegistrations():
                        self._remove_registrations(message.task, deadline=deadline)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this message's alone
                log.event("push_task_failed", message_id=message.message_id, error=loggable(error))
                self._postpone(message, seconds=retry_seconds(message.receive_count))
                failed.append(message.message_id)
        return failed

    def _send_pushes(self, messages: Sequence[Message], *, deadline: float) -> list[str]:
        """All orders of a pass type in one go: a device that stands in several gets one push."""
        by_type: dict[str, list[tuple[Message, NotifyDevices]]] = defaultdict(list)
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

    def _settled(self, message: Message, task: NotifyDevices, result: SendResult, *, deadline: float) -> bool:
        """Whether the message may go. What is left of one that got on becomes a message of its own, so that nobody
        is pushed to twice; one that got nowhere comes again, later each time, and after the queue's limit of receives
        it is a dead letter.
        """
        left = tuple(device for device in task.devices if device in result.unsettled)
        if not left:
            return True
        delay = (
            MISCONFIGURED_RETRY_SECONDS
            if result.misconfigured
            else retry_seconds(message.attempts + message.receive_count)
        )
        if len(left) == len(task.devices) or message.attempts >= MAX_ATTEMPTS:
            self._postpone(message, seconds=delay)
            return False
        try:
            self.queue.send(
                [replace(task, devices=left)], delay_seconds=delay, until=deadline, attempts=message.attempts + 1
            )
        except TransientError as error:
            log.event("requeue_failed", message_id=message.message_id, error=str(error))
            return False
        return True

    def _bury(self, record: Mapping[str, Any], error: Exception) -> list[str]:
        """End a message that is not one of this service's: it becomes a dead letter at once, as it is.

        Returns:
            Its id, where it must come again because SQS did not take the dead letter.
        """
        message_id = str(record.get("messageId", ""))
        log.event("push_task_refused", message_id=message_id, error=loggable(error))
        try:
            self.queue.bury([str(record.get("body") or "(empty)")])
        except TransientError as failure:
            log.event("push_task_not_kept", message_id=message_id, error=str(failure))
            return [message_id]
        return []

    def _recheck(self, task: Recheck, message_id: str, *, deadline: float) -> bool:
        """Whether the pass was looked at, so that the batch's other messages for it need nothing more."""
        if time.monotonic() >= deadline - RECHECK_RESERVE_SECONDS:
            raise TransientError(f"pass {task.pass_id}: no time was left to look at it again")
        return self.rechecker().recheck(task, message_id=message_id, deadline=deadline)

    def _postpone(self, message: Message, *, seconds: int) -> None:
        """Let it come again after a while; where that cannot be said, after the queue's own time."""
        try:
            self.queue.postpone(message.receipt_handle, seconds=seconds)
        except TransientError as error:
            log.event("postpone_failed", message_id=message.message_id, error=str(error))

    def _fan_out(self, task: FanOut, *, deadline: float) -> None:
        """Page through the devices that hold a pass, and order them to be woken, in pieces that run side by side."""
        after: DeviceLibraryIdentifier | None = task.after
        while time.monotonic() < deadline - RESERVE_SECONDS:
            try:
                page = self.store.registrations.page(task.pass_id, after=after, limit=FAN_OUT_PAGE)
                wake = NotifyDevices(task.pass_id.pass_type_identifier, page.devices, task.changed_at, task.change)
                self.queue.send(in_chunks(wake), until=deadline - RESERVE_SECONDS)
            except TransientError:
                if after == task.after:
                    raise
                break  # who is ordered to be woken already is not to be ordered again
            found = {"pass_id": task.pass_id, "devices": len(page.devices), "shown": log.first_ids(page.devices)}
            log.event("devices_found", **found, changes=task.change)
            if not page.more:
                return
            after = page.devices[-1]
        self.queue.send([replace(task, after=after)], until=deadline)

    def _remove_registrations(self, task: RemoveRegistrations, *, deadline: float) -> None:
        """Remove the registrations of a pass that is gone, unless it came back in the meantime.

        The registrations are read before the item: those that are seen while it is still gone are of its former life,
        and one that is made anew after that has another time.
        """
        while time.monotonic() < deadline - RESERVE_SECONDS:
            page = self.store.registrations.page(task.pass_id, after=None, limit=REMOVAL_PAGE)
            if self.store.passes.for_authorization(task.pass_id) is not None:
                return
            for device, registered_at in page.registered_at.items():
                self.store.registrations.delete(device, task.pass_id, registered_at=registered_at)
                self.store.devices.delete_if_empty(device)
            if not page.more:
                return
        self.queue.send([task])


def retry_seconds(receive_count: int) -> int:
    """How long a message waits after its nth receive: 5 s, doubled each time, at most a quarter of an hour."""
    return int(min(FIRST_RETRY_SECONDS * 2 ** min(receive_count - 1, 16), MISCONFIGURED_RETRY_SECONDS))


def _read(record: Mapping[str, Any]) -> Message:
    return Message(
        message_id=str(record["messageId"]),
        receipt_handle=str(record["receiptHandle"]),
        receive_count=int(record["attributes"]["ApproximateReceiveCount"]),
        task=decode(record["body"]),
        attempts=attempts_of(record["body"]),
    )

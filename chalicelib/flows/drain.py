"""The push queue is drained: devices that could not be woken at once, passes that many hold, passes that are gone."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from chalicelib import log
from chalicelib.domain.attempts import MAX_ATTEMPTS, attempts_of
from chalicelib.domain.errors import PasswireError, TransientError
from chalicelib.domain.identifiers import DeviceLibraryIdentifier
from chalicelib.domain.orders import FanOut, Forget, Order, WakeDevices, decode, in_chunks
from chalicelib.flows.wake import Waker, Woken
from chalicelib.queue import Queue
from chalicelib.store import Store

FAN_OUT_PAGE = 5000
FORGET_PAGE = 100
RESERVE_SECONDS = 3.0
"""What must remain before the deadline for another page."""
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
        order: what to do.
        attempts: how often the order was put off in messages before this one.
    """

    message_id: str
    receipt_handle: str
    receive_count: int
    order: Order
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Drain:
    """What carries out orders."""

    store: Store
    queue: Queue
    waker: Waker

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
            except PasswireError as error:
                log.event("order_refused", message_id=str(record["messageId"]), error=str(error))
                failed.append(str(record["messageId"]))
        failed.extend(self._wake([m for m in messages if isinstance(m.order, WakeDevices)], deadline=deadline))
        for message in messages:
            try:
                match message.order:
                    case FanOut():
                        self._fan_out(message.order, deadline=deadline)
                    case Forget():
                        self._forget(message.order, deadline=deadline)
            except TransientError as error:
                log.event("order_failed", message_id=message.message_id, error=str(error))
                self._postpone(message, seconds=retry_seconds(message.receive_count))
                failed.append(message.message_id)
        return failed

    def _wake(self, messages: Sequence[Message], *, deadline: float) -> list[str]:
        """All orders of a pass type in one go: a device that stands in several gets one push."""
        by_type: dict[str, list[tuple[Message, WakeDevices]]] = defaultdict(list)
        for message in messages:
            if isinstance(message.order, WakeDevices):
                by_type[message.order.pass_type_identifier].append((message, message.order))
        failed: list[str] = []
        for pass_type_identifier, orders in by_type.items():
            devices = {device for _, order in orders for device in order.devices}
            changed_at = min(order.changed_at for _, order in orders)
            changes = " ".join(sorted({order.change for _, order in orders if order.change}))
            try:
                woken = self.waker.wake(
                    pass_type_identifier, devices, changed_at=changed_at, deadline=deadline, changes=changes
                )
            except TransientError as error:
                log.event("wake_failed", pass_type_identifier=pass_type_identifier, changes=changes, error=str(error))
                woken = Woken(frozenset(devices))
            failed.extend(
                message.message_id
                for message, order in orders
                if not self._settled(message, order, woken, deadline=deadline)
            )
        return failed

    def _settled(self, message: Message, order: WakeDevices, woken: Woken, *, deadline: float) -> bool:
        """Whether the message may go. What is left of one that got on becomes a message of its own, so that nobody
        is pushed to twice; one that got nowhere comes again, later each time, and after the queue's limit of receives
        it is a dead letter.
        """
        left = tuple(device for device in order.devices if device in woken.unsettled)
        if not left:
            return True
        delay = (
            MISCONFIGURED_RETRY_SECONDS
            if woken.misconfigured
            else retry_seconds(message.attempts + message.receive_count)
        )
        if len(left) == len(order.devices) or message.attempts >= MAX_ATTEMPTS:
            self._postpone(message, seconds=delay)
            return False
        try:
            self.queue.send(
                [replace(order, devices=left)], delay_seconds=delay, until=deadline, attempts=message.attempts + 1
            )
        except TransientError as error:
            log.event("put_off_failed", message_id=message.message_id, error=str(error))
            return False
        return True

    def _postpone(self, message: Message, *, seconds: int) -> None:
        """Let it come again after a while; where that cannot be said, after the queue's own time."""
        try:
            self.queue.postpone(message.receipt_handle, seconds=seconds)
        except TransientError as error:
            log.event("postpone_failed", message_id=message.message_id, error=str(error))

    def _fan_out(self, order: FanOut, *, deadline: float) -> None:
        """Page through the devices that hold a pass, and order them to be woken, in pieces that run side by side."""
        after: DeviceLibraryIdentifier | None = order.after
        while time.monotonic() < deadline - RESERVE_SECONDS:
            try:
                page = self.store.registrations.page(order.pass_id, after=after, limit=FAN_OUT_PAGE)
                wake = WakeDevices(order.pass_id.pass_type_identifier, page.devices, order.changed_at, order.change)
                self.queue.send(in_chunks(wake), until=deadline - RESERVE_SECONDS)
            except TransientError:
                if after == order.after:
                    raise
                break  # who is ordered to be woken already is not to be ordered again
            found = {"pass_id": order.pass_id, "devices": len(page.devices), "shown": log.some(page.devices)}
            log.event("found", **found, changes=order.change)
            if not page.more:
                return
            after = page.devices[-1]
        self.queue.send([replace(order, after=after)], until=deadline)

    def _forget(self, order: Forget, *, deadline: float) -> None:
        """Remove the registrations of a pass that is gone, unless it came back in the meantime.

        The registrations are read before the item: those that are seen while it is still gone are of its former life,
        and one that is made anew after that has another time.
        """
        while time.monotonic() < deadline - RESERVE_SECONDS:
            page = self.store.registrations.page(order.pass_id, after=None, limit=FORGET_PAGE)
            if self.store.passes.for_authorization(order.pass_id) is not None:
                return
            for device, registered_at in page.registered_at.items():
                self.store.registrations.delete(device, order.pass_id, registered_at=registered_at)
                self.store.devices.delete_if_empty(device)
            if not page.more:
                return
        self.queue.send([order])


def retry_seconds(receive_count: int) -> int:
    """How long a message waits after its nth receive: 5 s, doubled each time, at most a quarter of an hour."""
    return int(min(FIRST_RETRY_SECONDS * 2 ** min(receive_count - 1, 16), MISCONFIGURED_RETRY_SECONDS))


def _read(record: Mapping[str, Any]) -> Message:
    return Message(
        message_id=str(record["messageId"]),
        receipt_handle=str(record["receiptHandle"]),
        receive_count=int(record["attributes"]["ApproximateReceiveCount"]),
        order=decode(record["body"]),
        attempts=attempts_of(record["body"]),
    )

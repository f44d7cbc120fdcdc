"""A pipeline changes passes: passes table -> stream -> stamp -> who holds them -> APNs.

The order is the one that `domain/updates.py` demands: the stamp is written before the registrations are read.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from chalicelib import log
from chalicelib.domain.changes import PassChange, RefusedRecord, StreamRecord, change_of, coalesce
from chalicelib.domain.errors import RefusedError, TransientError
from chalicelib.domain.identifiers import DeviceLibraryIdentifier
from chalicelib.domain.items import PassItem
from chalicelib.domain.orders import FanOut, Forget, WakeDevices, in_chunks
from chalicelib.flows.stamp import stamp
from chalicelib.flows.wake import Waker
from chalicelib.metrics import Metrics, Unit
from chalicelib.queue import Queue
from chalicelib.store import Store

MAX_DIRECT_DEVICES = 1000
"""What more devices hold is fanned out by the queue, so that the next batch's changes do not wait for it."""
RETRY_SECONDS = 5


@dataclass(slots=True)
class Target:
    """Whom to wake of one pass type, and the time of the first change that they are woken for, in epoch seconds."""

    devices: set[DeviceLibraryIdentifier] = field(default_factory=set)
    changed_at: float = math.inf


Targets = defaultdict[str, Target]
"""By pass type."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What reacts to a batch of the stream.

    Args:
        fits: raises RefusedError where an item does not fit its template, so that no phone is woken for a pass that
            cannot be made.
        clock: epoch seconds.
    """

    store: Store
    queue: Queue
    waker: Waker
    metrics: Metrics
    fits: Callable[[PassItem], None]
    clock: Callable[[], float]

    def handle(self, records: Iterable[Mapping[str, Any]], *, deadline: float) -> list[str]:
        """Settle a batch: every changed pass is stamped and every device that holds it is pushed to or queued.

        Args:
            records: the `Records` of the Lambda event, in the stream's order.
            deadline: monotonic seconds by which pushing must end; what is left then goes to the queue.

        Returns:
            The sequence number to retry from, in a list, where DynamoDB or SQS gave up half way; else an empty list.

        Raises:
            TransientError: nothing was settled; the whole batch must come again.
        """
        changes, refused = read_batch(records, fits=self.fits)
        if refused:
            self.queue.refuse(refused)
            for record in refused:
                log.event("pass_item_refused", pass_id=record.pass_id, error=str(record.error))
        targets: Targets = defaultdict(Target)
        unsettled: PassChange | None = None
        for index, change in enumerate(changes):
            try:
                self._settle(change, targets)
            except TransientError as error:
                if index == 0:
                    raise
                log.event("change_failed", pass_id=change.pass_id, error=str(error))
                unsettled = change
                break
        self.metrics.put({"ChangedPasses": len(changes), "RefusedItems": len(refused)}, Unit.COUNT)
        for pass_type_identifier, target in targets.items():
            self._wake(pass_type_identifier, target, deadline=deadline)
        return [unsettled.sequence_number] if unsettled else []

    def _settle(self, change: PassChange, targets: Targets) -> None:
        """Stamp the pass, then find who must be told.

        A deletion that is handed out again may be older than the item: whether it is gone is asked, not believed.
        """
        deleted = change.deleted and self.store.passes.for_authorization(change.pass_id) is None
        version = stamp(self.store, change.pass_id, now=self.clock(), changes=change.count, deleted=deleted)
        log.event(
            "stamped",
            pass_id=change.pass_id,
            modified_at=version.modified_at,
            revision=version.revision,
            deleted=version.deleted,
            written_at=change.written_at,
            sequence_number=change.sequence_number,
        )
        if deleted:
            self.queue.send([Forget(change.pass_id)])
        elif change.first_issue and not version.changed_since_issue:
            pass  # whoever registered already has downloaded exactly this content
        else:
            self._find_devices(change, targets)

    def _find_devices(self, change: PassChange, targets: Targets) -> None:
        room = MAX_DIRECT_DEVICES - sum(len(target.devices) for target in targets.values())
        if room <= 0:
            self.queue.send([FanOut(change.pass_id, None, change.written_at, log.request_id())])
            return
        page = self.store.registrations.page(change.pass_id, after=None, limit=room)
        if page.more:
            self.queue.send([FanOut(change.pass_id, page.devices[-1], change.written_at, log.request_id())])
        if page.devices:
            log.event("found", pass_id=change.pass_id, devices=len(page.devices), shown=log.some(page.devices))
            target = targets[change.pass_id.pass_type_identifier]
            target.devices.update(page.devices)
            target.changed_at = min(target.changed_at, change.written_at)

    def _wake(self, pass_type_identifier: str, target: Target, *, deadline: float) -> None:
        """Push once to each device; who could not be told now is told from the queue."""
        try:
            unsettled = self.waker.wake(
                pass_type_identifier, target.devices, changed_at=target.changed_at, deadline=deadline
            ).unsettled
        except TransientError as error:
            log.event("wake_failed", pass_type_identifier=pass_type_identifier, error=str(error))
            unsettled = frozenset(target.devices)
        left = WakeDevices(pass_type_identifier, tuple(sorted(unsettled)), target.changed_at, log.request_id())
        self.queue.send(in_chunks(left), delay_seconds=RETRY_SECONDS, until=deadline)


def read_batch(
    records: Iterable[Mapping[str, Any]], *, fits: Callable[[PassItem], None]
) -> tuple[list[PassChange], list[RefusedRecord]]:
    """The passes that changed, one entry each, and the records that cannot become a pass."""
    changes: list[PassChange] = []
    refused: list[RefusedRecord] = []
    for raw in records:
        try:
            change = change_of(StreamRecord.parse(raw))
        except RefusedError as error:
            pass_id = raw["dynamodb"].get("Keys", {}).get("pass_id", {}).get("S", "(without key)")
            refused.append(RefusedRecord(str(pass_id), str(raw["dynamodb"].get("SequenceNumber", "")), error))
        else:
            if change is not None:
                changes.append(change)
    fitting: list[PassChange] = []
    for change in coalesce(changes):
        try:
            if change.item is not None:
                fits(change.item)
        except RefusedError as error:
            refused.append(RefusedRecord(str(change.pass_id), change.sequence_number, error))
        else:
            fitting.append(change)
    return fitting, refused

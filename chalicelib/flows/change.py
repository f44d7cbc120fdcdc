"""A pipeline changes passes: passes table -> stream -> stamp -> registered devices -> APNs.

The stamp is written before the registrations are read, as `updates/protocol.py` requires.

An invalid record or an error affects only its own pass: a pass that cannot be built is refused, and the refusal is
recorded; a pass that could not be handled is rechecked by the push worker. The batch is retried only if DynamoDB or SQS
fails.
"""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from threading import Event
from typing import TYPE_CHECKING

from chalicelib.aws.queue import Queue
from chalicelib.aws.tables import Store
from chalicelib.core.errors import RefusedError, TransientError, loggable
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId
from chalicelib.flows.send_pushes import PushSender, SendResult, deferred_tasks
from chalicelib.flows.stamp import stamp
from chalicelib.passes.item import PassItem
from chalicelib.telemetry import log
from chalicelib.telemetry.metrics import Metrics, Unit
from chalicelib.updates.changes import Entry, InvalidRecord, PassChange, RefusedRecord, StreamRecord, read_batch
from chalicelib.updates.pacing import DIRECT_WAIT_SECONDS, KEPT_SECONDS, NARROW_DEVICES, Lane
from chalicelib.updates.protocol import DEFAULT_DELETION_GRACE_SECONDS, Refusal, Version
from chalicelib.updates.push_tasks import FanOut, NotifyDevices, Recheck, RecheckReason, RemoveRegistrations, in_chunks

if TYPE_CHECKING:
    from chalicelib.passes.builder import ImageSource, TemplateSource
    from chalicelib.passes.format.findings import Finding
    from chalicelib.passes.template import Template

MAX_WARNINGS = 5
"""Limit for the warnings of an item in one log line."""


@dataclass(frozen=True, slots=True)
class ChangeLimits:
    """Limits of a batch.

    Args:
        narrow_devices: number of devices of a pass up to which a batch pushes to them itself, if their slot is near.
            Passes on more devices are fanned out by the push worker.
        retry_seconds: delay of the push task for devices that were not pushed to.
        template_age_seconds: maximum age of the template that an item is first validated with.
        validation_reserve_seconds: reserved before the deadline for the steps after validation. Passes that are not
            validated by then are rechecked later.
    """

    narrow_devices: int = NARROW_DEVICES
    retry_seconds: int = 5
    template_age_seconds: float = 5.0
    validation_reserve_seconds: float = 5.0


DEFAULT_LIMITS = ChangeLimits()


@dataclass(slots=True)
class PushTarget:
    """Devices to push to for a pass type, and the time of their first change in epoch seconds."""

    devices: set[DeviceLibraryIdentifier] = field(default_factory=set)
    changed_at: float = math.inf


Settle = Callable[[Entry], Sequence[DeviceLibraryIdentifier] | TransientError]
"""Settles an entry and returns its devices, or the error for which the batch must be retried from there."""
Overlap = Callable[[Settle, Sequence[Entry]], Iterable[Sequence[DeviceLibraryIdentifier] | TransientError]]
"""Settles all entries, one after the other or several at a time, and returns the results in their order."""
Targets = defaultdict[str, PushTarget]
"""Targets by pass type."""


@dataclass(frozen=True, slots=True)
class _InvalidChange:
    """A change whose item is not valid for its template: the refusal, and the item for a second validation."""

    refused: RefusedRecord
    item: PassItem


@dataclass(slots=True)
class _BatchTemplates:
    """The templates of a batch. Each is read once, even if the read fails, and nothing is read after the deadline.

    Therefore a template that S3 does not return delays a batch once, not once per item.

    Args:
        source: of templates.
        images: source of the items' own images; None without such images.
        max_age_seconds: maximum age of the templates.
        deadline: monotonic seconds.
    """

    source: "TemplateSource"
    images: "ImageSource | None"
    max_age_seconds: float
    deadline: float
    _read: "dict[str, Template | Exception]" = field(default_factory=dict)

    def validate(self, item: PassItem) -> "list[Finding]":
        """Validate that an item can become a pass that phones accept.

        Returns:
            Warnings about content that phones will omit or show differently.

        Raises:
            RefusedError: invalid item or template.
            Exception: it could not be validated now.
        """
        from chalicelib.passes.rendering import validate

        found = self._read.get(item.template)
        if found is None:
            found = self._read[item.template] = self._read_template(item.template)
        if isinstance(found, Exception):
            raise found
        warnings = validate(found, item)
        if item.images and self.images is not None:
            if time.monotonic() >= self.deadline:
                raise TransientError(f"pass {item.pass_id}: no time left to look for its images")
            self.images.validate_exist(item.images.values())
        return warnings

    def _read_template(self, name: str) -> "Template | Exception":
        if time.monotonic() >= self.deadline:
            return TransientError(f"template {name}: no time left to read it")
        try:
            return self.source.get(name, max_age_seconds=self.max_age_seconds)
        except Exception as error:  # noqa: BLE001 - raised again for each item that names the template
            return error


@dataclass(frozen=True, slots=True)
class ChangeHandler:
    """Handles batches of the passes table's stream.

    Args:
        store: the tables.
        queue: the push queue and the dead letters.
        push_sender: sends pushes.
        metrics: counts changes, refusals and rechecks.
        templates: for validating items, so that no device gets a push for a pass that cannot be built.
        clock: epoch seconds.
        deletion_grace_seconds: how long the registrations of a deleted pass are kept.
        images: source of the items' own images; None without such images.
        limits: of a batch.
        overlap: applies a function to all entries and returns the results in their order: `map`, or that of an
            executor, whose threads wait for DynamoDB at the same time.
    """

    store: Store
    queue: Queue
    push_sender: PushSender
    metrics: Metrics
    templates: "TemplateSource"
    clock: Callable[[], float]
    deletion_grace_seconds: int = DEFAULT_DELETION_GRACE_SECONDS
    images: "ImageSource | None" = None
    limits: ChangeLimits = DEFAULT_LIMITS
    overlap: "Overlap" = map

    def handle(self, records: Iterable[StreamRecord | InvalidRecord], *, deadline: float) -> list[str]:
        """Handle a batch: stamp every changed pass, and push to every device that holds it now or by a push task.

        Args:
            records: of the batch, in the stream's order (`chalicelib/http/events.py`).
            deadline: monotonic seconds by which pushing must end; the remaining pushes are queued.

        Returns:
            A list with the sequence number to retry from if DynamoDB or SQS failed after some entries; else empty.

        Raises:
            TransientError: nothing was settled; the whole batch must be retried.
        """
        batch = read_batch(records)
        for corrected in batch.corrected:
            log.event("pass_item_refused", pass_id=corrected.key, error=str(corrected.error), corrected=True)
        for unread in batch.unread:
            log.event("record_unread", pass_id=unread.pass_id, error=unread.problem)
        changed = [entry for entry in batch.entries if isinstance(entry, RefusedRecord) or entry.count]
        entries, invalid, rechecks = self._validated(changed, deadline=deadline)
        rechecks += [self._recheck(unread.pass_id, unread.written_at) for unread in batch.unread]
        rechecks += self._refused_before([e for e in batch.entries if isinstance(e, PassChange) and not e.count])
        if rechecks:
            self.queue.send(rechecks)
        settled, unsettled, targets = self._settled(entries)
        refused = [entry for entry in settled if isinstance(entry, RefusedRecord)]
        repaired = self._recheck_repaired([u for u in invalid if u.refused in refused], deadline=deadline)
        self._count(settled, rechecks=len(rechecks) + len(repaired))
        for pass_type_identifier, target in targets.items():
            self._send_pushes(pass_type_identifier, target, deadline=deadline)
        self._send_refusals([record for record in refused if record.pass_id not in repaired])
        return [unsettled.sequence_number] if unsettled else []

    def _settled(self, entries: Sequence[Entry]) -> tuple[list[Entry], Entry | None, Targets]:
        """Settle the entries of a batch, several at a time: each waits for DynamoDB, and each is another pass.

        After the first failure, no further entry is begun. Entries behind it may be settled already: their stamps are
        kept when they are delivered again, and their pushes are left to that delivery.

        Returns:
            The settled entries before the first one that failed, the failed one or None, and the devices to push to.

        Raises:
            TransientError: the first entry failed.
        """
        failed = Event()

        def settle(entry: Entry) -> Sequence[DeviceLibraryIdentifier] | TransientError:
            if failed.is_set():
                return TransientError("not begun after another failure")
            try:
                return self._settle(entry)
            except TransientError as error:
                failed.set()
                return error

        targets: Targets = defaultdict(PushTarget)
        settled: list[Entry] = []
        for entry, found in zip(entries, list(self.overlap(settle, entries)), strict=True):
            if isinstance(found, TransientError):
                if not settled:
                    raise found
                log.event("change_failed", pass_id=_name(entry), error=str(found))
                return settled, entry, targets
            settled.append(entry)
            if found and isinstance(entry, PassChange):
                target = targets[entry.pass_id.pass_type_identifier]
                target.devices.update(found)
                target.changed_at = min(target.changed_at, entry.written_at)
        return settled, None, targets

    def _refused_before(self, unchanged: Sequence[PassChange]) -> list[Recheck]:
        """Make rechecks for passes that were written again with the same refused content.

        Their template may have been repaired in the meantime.

        They are not stamped here, because a stamp removes the refusal: if this invocation ended between the stamp and
        its pushes, the retried batch would find nothing to do.
        """
        refused = self.store.versions.refused([change.pass_id for change in unchanged]) if unchanged else set()
        return [
            self._recheck(c.pass_id, c.written_at, RecheckReason.REFUSED) for c in unchanged if c.pass_id in refused
        ]

    def _validated(
        self, entries: Sequence[Entry], *, deadline: float
    ) -> tuple[list[Entry], list[_InvalidChange], list[Recheck]]:
        """Validate entries.

        Returns:
            The entries to settle, with refusals for invalid items; the invalid changes; and rechecks for items that
            could not be validated now.
        """
        templates = self._templates_until(deadline, max_age_seconds=self.limits.template_age_seconds)
        validated: list[Entry] = []
        invalid: list[_InvalidChange] = []
        unvalidated: list[Recheck] = []
        for entry in entries:
            if isinstance(entry, RefusedRecord) or entry.item is None:
                validated.append(entry)
                continue
            try:
                warnings = templates.validate(entry.item)
            except RefusedError as error:
                refused = _refused(entry, entry.item, error)
                invalid.append(_InvalidChange(refused, entry.item))
                validated.append(refused)
            except Exception as error:  # noqa: BLE001 - any error affects only this pass
                log.event("pass_not_validated", pass_id=entry.pass_id, error=loggable(error))
                unvalidated.append(self._recheck(entry.pass_id, entry.written_at))
            else:
                validated.append(entry)
                if warnings:
                    shown_warnings = [str(warning) for warning in warnings[:MAX_WARNINGS]]
                    log.event("pass_item_warned", pass_id=entry.pass_id, warnings=shown_warnings)
        return validated, invalid, unvalidated

    def _templates_until(self, deadline: float, *, max_age_seconds: float) -> _BatchTemplates:
        read_until = deadline - self.limits.validation_reserve_seconds
        return _BatchTemplates(self.templates, self.images, max_age_seconds, read_until)

    def _settle(self, entry: Entry) -> Sequence[DeviceLibraryIdentifier]:
        """Stamp a change and find its devices, or record a refusal. After an unexpected error the pass is rechecked.

        Returns:
            The devices to push to; none for a refusal and for a change that a push task announces.

        Raises:
            TransientError: DynamoDB or SQS did not carry it out.
        """
        try:
            if isinstance(entry, PassChange):
                return self._stamp(entry)
            self._refuse(entry)
        except TransientError:
            raise
        except Exception as error:  # noqa: BLE001 - any error affects only this pass
            log.event("change_failed", pass_id=_name(entry), error=loggable(error))
            if entry.pass_id is not None:
                written_at = entry.written_at if isinstance(entry, PassChange) else 0.0
                self.queue.send([self._recheck(entry.pass_id, written_at)])
        return ()

    def _stamp(self, change: PassChange) -> Sequence[DeviceLibraryIdentifier]:
        """Stamp the pass, then find the devices to push to.

        A deletion that is delivered again may be older than the current item, so the item is read to check it. The
        result is part of the record's identity, so that a different result is stamped again.
        """
        deleted = change.deleted and self.store.passes.for_authorization(change.pass_id) is None
        record = f"{change.last_record} deleted" if deleted else change.last_record
        version = stamp(
            self.store, change.pass_id, now=self.clock(), changes=change.count, deleted=deleted, record=record
        )
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
            grace = self.deletion_grace_seconds
            self.queue.send(
                [RemoveRegistrations(change.pass_id, version.announced, not_before=self.clock() + grace)],
                delay_seconds=grace,
            )
        elif change.first_issue and not version.changed_since_issue:
            pass  # devices that have registered already have downloaded exactly this content
        else:
            return self._find_devices(change, version)
        return ()

    def _refuse(self, refused: RefusedRecord) -> None:
        """Record a refusal with the version. A key that is not a pass_id has no version and never was a pass."""
        if refused.pass_id is not None:
            refusal = Refusal(str(refused.error), refused.template, int(self.clock()))
            self.store.versions.record_refusal(refused.pass_id, refusal, changes=refused.count)
        else:
            self._note_refusal(refused)
        log.event("pass_item_refused", pass_id=refused.key, error=str(refused.error))

    def _note_refusal(self, refused: RefusedRecord) -> None:
        """Note the event of a refused item without a row of its own; a failure is only logged."""
        from chalicelib.updates.events import EventNote

        note = EventNote("pass.refused", "", {"pass_id": refused.key, "reason": str(refused.error)})
        try:
            self.store.versions.note_event(note, at=self.clock(), interval_seconds=0)
        except TransientError as error:
            log.event("event_not_noted", of=note.name, error=str(error))

    def _recheck_repaired(self, invalid: Sequence[_InvalidChange], *, deadline: float) -> set[PassId]:
        """After recording refusals, validate again with the current templates: a repaired template may have been
        published before the refusal was visible. Items that are valid now, or cannot be validated, are rechecked.

        Returns:
            The passes that are rechecked.

        Raises:
            QueueError: SQS did not accept a recheck; the batch must be retried.
        """
        templates = self._templates_until(deadline, max_age_seconds=0.0)
        repaired: set[PassId] = set()
        for change in invalid:
            try:
                templates.validate(change.item)
            except RefusedError:
                continue
            except Exception as error:  # noqa: BLE001 - the recheck will find the cause
                log.event("pass_not_validated", pass_id=change.item.pass_id, error=loggable(error))
            repaired.add(change.item.pass_id)
        if repaired:
            self.queue.send([self._recheck(pass_id, 0.0, RecheckReason.REFUSED) for pass_id in sorted(repaired)])
        return repaired

    def _recheck(self, pass_id: PassId, written_at: float, reason: RecheckReason = RecheckReason.UNSETTLED) -> Recheck:
        return Recheck(pass_id, reason, written_at or self.clock(), log.request_id())

    def _count(self, settled: Sequence[Entry], *, rechecks: int) -> None:
        refused = sum(isinstance(entry, RefusedRecord) for entry in settled)
        counts = {"ChangedPasses": len(settled) - refused, "RefusedItems": refused}
        self.metrics.put({**counts, **({"Rechecks": rechecks} if rechecks else {})}, Unit.COUNT)

    def _send_refusals(self, refused: Sequence[RefusedRecord]) -> None:
        """Send refusals to the dead letter queue after the batch is settled. They are recorded already, so a failure is
        only logged and the batch is not retried.
        """
        try:
            if refused:
                self.queue.send_refusals(refused, at=self.clock())
        except Exception as error:  # noqa: BLE001 - the batch is settled already
            log.event("refusal_not_kept", items=len(refused), error=loggable(error))

    def _find_devices(self, change: PassChange, version: Version) -> Sequence[DeviceLibraryIdentifier]:
        """Find the devices of a pass on few devices. The worker finds those of other passes, and of passes that were on
        many devices: their recent answers must have expired before the pushes (`updates/recent.py`).
        """
        limit = self.limits.narrow_devices
        if version.fanned_out:
            return self._fan_out(change, version)
        page = self.store.registrations.page(change.pass_id, after=None, limit=limit + 1)
        if page.more or len(page.devices) > limit:
            return self._fan_out(change, version)
        if page.devices:
            log.event(
                "devices_found", pass_id=change.pass_id, devices=len(page.devices), shown=log.first_ids(page.devices)
            )
        return page.devices

    def _fan_out(self, change: PassChange, version: Version) -> Sequence[DeviceLibraryIdentifier]:
        from chalicelib.updates.recent import PUSH_DELAY_SECONDS

        task = FanOut(change.pass_id, None, change.written_at, log.request_id(), version.announced)
        self.queue.send([task], delay_seconds=PUSH_DELAY_SECONDS)
        return ()

    def _send_pushes(self, pass_type_identifier: str, target: PushTarget, *, deadline: float) -> None:
        """Push once to each device, or queue a push task for when their slot comes."""
        devices = tuple(sorted(target.devices))
        everyone = NotifyDevices(pass_type_identifier, devices, target.changed_at, log.request_id(), lane=Lane.NARROW)
        for task in in_chunks(everyone, size=self.push_sender.pacer.rate.devices_per_send):
            try:
                scheduled, result = self._sent(task, deadline=deadline)
            except Exception as error:  # noqa: BLE001 - the devices are pushed to by a push task
                log.event("pushes_failed", pass_type_identifier=pass_type_identifier, error=loggable(error))
                scheduled, result = task, SendResult(frozenset(task.devices))
            if result is None:
                delay = self.push_sender.pacer.delay_seconds(scheduled.slot_at)
                self.queue.send([scheduled], delay_seconds=delay, until=deadline)
                continue
            for left, delay in deferred_tasks(scheduled, result, seconds=self.limits.retry_seconds, now=self.clock()):
                self.queue.send([left], delay_seconds=delay, until=deadline)

    def _sent(self, task: NotifyDevices, *, deadline: float) -> tuple[NotifyDevices, SendResult | None]:
        """Send the pushes of a push task if they are due at once or soon; else schedule it.

        Returns:
            The push task with its slot, and the result; None if it must wait in the queue.
        """
        pacer = self.push_sender.pacer
        slot = pacer.take_at_once(task.paced_lane, len(task.devices))
        if slot is None:
            task = pacer.scheduled(task)
            if task.slot_at - self.clock() > DIRECT_WAIT_SECONDS:
                return task, None
            pacer.wait_until(task.slot_at)
        result = self.push_sender.send(task, deadline=deadline, slot=slot)
        if result.kept:
            return replace(task, not_before=self.clock() + KEPT_SECONDS, slot_at=self.clock() + KEPT_SECONDS), None
        return (pacer.scheduled(task), None) if result.unpaced else (task, result)


def _refused(change: PassChange, item: PassItem, error: RefusedError) -> RefusedRecord:
    return RefusedRecord(
        key=str(change.pass_id),
        sequence_number=change.sequence_number,
        error=error,
        pass_id=change.pass_id,
        template=item.template,
        count=change.count,
    )


def _name(entry: Entry) -> str:
    return entry.key if isinstance(entry, RefusedRecord) else str(entry.pass_id)

"""A pipeline changes passes: passes table -> stream -> stamp -> who holds them -> APNs.

The order is the one that `updates/protocol.py` demands: the stamp is written before the registrations are read.

Whatever one record is or raises ends with its pass: a pass that cannot be made is refused and recorded as such, and
one that could not be handled is left to the push queue, to be looked at again. Only where DynamoDB or SQS themselves
fail does the batch come again.
"""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from chalicelib.aws.queue import Queue
from chalicelib.aws.tables import Store
from chalicelib.core.errors import RefusedError, TransientError, loggable
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId
from chalicelib.flows.send_pushes import PushSender, SendResult, put_off
from chalicelib.flows.stamp import stamp
from chalicelib.passes.item import PassItem
from chalicelib.telemetry import log
from chalicelib.telemetry.metrics import Metrics, Unit
from chalicelib.updates.changes import Entry, InvalidRecord, PassChange, RefusedRecord, StreamRecord, read_batch
from chalicelib.updates.protocol import DEFAULT_DELETION_GRACE_SECONDS, Refusal
from chalicelib.updates.push_tasks import FanOut, NotifyDevices, Recheck, RecheckReason, RemoveRegistrations, in_chunks

if TYPE_CHECKING:
    from chalicelib.passes.format.findings import Finding
    from chalicelib.passes.template import Template

MAX_DIRECT_DEVICES = 1000
"""What more devices hold is fanned out by the queue, so that the next batch's changes do not wait for it."""
RETRY_SECONDS = 5
TEMPLATE_AGE_SECONDS = 5.0
"""How old the template may be that an item is validated against at first."""
MAX_WARNINGS = 5
"""How many of an item's warnings one log line has."""
VALIDATION_RESERVE_SECONDS = 5.0
"""Before the deadline, for what follows validation. Passes that were not validated by then are left to the queue."""


class TemplateSource(Protocol):
    """Where templates come from (`chalicelib/aws/templates.py`)."""

    def get(self, name: str, *, max_age_seconds: float) -> "Template":
        """The template of that name. Raises RefusedError where there is no usable one, TransientError for later."""
        ...


class ImageSource(Protocol):
    """Where images of single passes are (`chalicelib/aws/images.py`)."""

    def require(self, keys: Iterable[str]) -> None:
        """Make sure that they are there. Raises RefusedError where one is not, TransientError for later."""
        ...


@dataclass(slots=True)
class Target:
    """Whom to wake of one pass type, and the time of the first change that they are woken for, in epoch seconds."""

    devices: set[DeviceLibraryIdentifier] = field(default_factory=set)
    changed_at: float = math.inf


Targets = defaultdict[str, Target]
"""By pass type."""


@dataclass(frozen=True, slots=True)
class _Unfit:
    """A change whose item does not fit its template: the refusal, and the item to try once more."""

    refused: RefusedRecord
    item: PassItem


@dataclass(slots=True)
class _BatchTemplates:
    """The templates of one batch: each is read once, whatever comes of it, and none after the deadline. Nor is an image
    asked for after it.

    So one template that S3 does not hand out costs a batch one wait, not one for each item.

    Args:
        source: where they come from.
        images: where items' own images are; None where there are none.
        max_age_seconds: how old the templates may be.
        deadline: monotonic seconds.
    """

    source: TemplateSource
    images: ImageSource | None
    max_age_seconds: float
    deadline: float
    _read: "dict[str, Template | Exception]" = field(default_factory=dict)

    def validate(self, item: PassItem) -> "list[Finding]":
        """Find out whether an item can become a pass, and one that phones take.

        Returns:
            What phones will leave out of it, or show otherwise than written.

        Raises:
            RefusedError: it cannot.
            Exception: it cannot be said now.
        """
        from chalicelib.passes.rendering import validate

        found = self._read.get(item.template)
        if found is None:
            found = self._read[item.template] = self._look(item.template)
        if isinstance(found, Exception):
            raise found
        warnings = validate(found, item)
        if item.images and self.images is not None:
            if time.monotonic() >= self.deadline:
                raise TransientError(f"pass {item.pass_id}: no time was left to look for its images")
            self.images.require(item.images.values())
        return warnings

    def _look(self, name: str) -> "Template | Exception":
        if time.monotonic() >= self.deadline:
            return TransientError(f"template {name}: no time was left to read it")
        try:
            return self.source.get(name, max_age_seconds=self.max_age_seconds)
        except Exception as error:  # noqa: BLE001 - raised again for each item that names the template
            return error


@dataclass(frozen=True, slots=True)
class ChangeHandler:
    """What reacts to a batch of the stream.

    Args:
        templates: what items are validated against, so that no phone is woken for a pass that cannot be made.
        clock: epoch seconds.
        deletion_grace_seconds: how long the registrations of a deleted pass are kept.
        images: where items' own images must be; None where there are none.
    """

    store: Store
    queue: Queue
    push_sender: PushSender
    metrics: Metrics
    templates: TemplateSource
    clock: Callable[[], float]
    deletion_grace_seconds: int = DEFAULT_DELETION_GRACE_SECONDS
    images: ImageSource | None = None

    def handle(self, records: Iterable[StreamRecord | InvalidRecord], *, deadline: float) -> list[str]:
        """Settle a batch: every changed pass is stamped and every device that holds it is pushed to or queued.

        Args:
            records: of the batch, in the stream's order (`chalicelib/http/events.py`).
            deadline: monotonic seconds by which pushing must end; what is left then goes to the queue.

        Returns:
            The sequence number to retry from, in a list, where DynamoDB or SQS gave up half way; else an empty list.

        Raises:
            TransientError: nothing was settled; the whole batch must come again.
        """
        batch = read_batch(records)
        for corrected in batch.corrected:
            log.event("pass_item_refused", pass_id=corrected.key, error=str(corrected.error), corrected=True)
        for unread in batch.unread:
            log.event("record_unread", pass_id=unread.pass_id, error=unread.problem)
        changed = [entry for entry in batch.entries if isinstance(entry, RefusedRecord) or entry.count]
        entries, unfit, rechecks = self._validated(changed, deadline=deadline)
        rechecks += [self._recheck(unread.pass_id, unread.written_at) for unread in batch.unread]
        rechecks += self._refused_before([e for e in batch.entries if isinstance(e, PassChange) and not e.count])
        if rechecks:
            self.queue.send(rechecks)
        targets: Targets = defaultdict(Target)
        unsettled: Entry | None = None
        settled: list[Entry] = []
        for index, entry in enumerate(entries):
            try:
                self._settle(entry, targets)
            except TransientError as error:
                if index == 0:
                    raise
                log.event("change_failed", pass_id=_name(entry), error=str(error))
                unsettled = entry
                break
            settled.append(entry)
        refused = [entry for entry in settled if isinstance(entry, RefusedRecord)]
        repaired = self._recheck_repaired([u for u in unfit if u.refused in refused], deadline=deadline)
        self._count(settled, rechecks=len(rechecks) + len(repaired))
        for pass_type_identifier, target in targets.items():
            self._send_pushes(pass_type_identifier, target, deadline=deadline)
        self._keep([record for record in refused if record.pass_id not in repaired])
        return [unsettled.sequence_number] if unsettled else []

    def _refused_before(self, unchanged: Sequence[PassChange]) -> list[Recheck]:
        """A pass that was written with the content that it had is looked at again where that content was refused: its
        template may have been repaired since. Not here, because a stamp removes the refusal: if this ended between the
        stamp and its pushes, the batch that comes again would find nothing to do.
        """
        refused = self.store.versions.refused([change.pass_id for change in unchanged]) if unchanged else set()
        return [
            self._recheck(c.pass_id, c.written_at, RecheckReason.REFUSED) for c in unchanged if c.pass_id in refused
        ]

    def _validated(
        self, entries: Sequence[Entry], *, deadline: float
    ) -> tuple[list[Entry], list[_Unfit], list[Recheck]]:
        """The entries to settle, with those that do not fit their template as refusals; and what cannot be said now."""
        templates = self._templates_until(deadline, max_age_seconds=TEMPLATE_AGE_SECONDS)
        validated: list[Entry] = []
        unfit: list[_Unfit] = []
        unvalidated: list[Recheck] = []
        for entry in entries:
            if isinstance(entry, RefusedRecord) or entry.item is None:
                validated.append(entry)
                continue
            try:
                warnings = templates.validate(entry.item)
            except RefusedError as error:
                refused = _refused(entry, entry.item, error)
                unfit.append(_Unfit(refused, entry.item))
                validated.append(refused)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this pass's alone
                log.event("pass_not_validated", pass_id=entry.pass_id, error=loggable(error))
                unvalidated.append(self._recheck(entry.pass_id, entry.written_at))
            else:
                validated.append(entry)
                if warnings:
                    told = [str(warning) for warning in warnings[:MAX_WARNINGS]]
                    log.event("pass_item_warned", pass_id=entry.pass_id, warnings=told)
        return validated, unfit, unvalidated

    def _templates_until(self, deadline: float, *, max_age_seconds: float) -> _BatchTemplates:
        return _BatchTemplates(self.templates, self.images, max_age_seconds, deadline - VALIDATION_RESERVE_SECONDS)

    def _settle(self, entry: Entry, targets: Targets) -> None:
        """Stamp a change and find who must be told, or record a refusal; what raises anything unforeseen is left to the
        queue.

        Raises:
            TransientError: DynamoDB or SQS did not carry it out.
        """
        try:
            if isinstance(entry, RefusedRecord):
                self._refuse(entry)
            else:
                self._stamp(entry, targets)
        except TransientError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this pass's alone
            log.event("change_failed", pass_id=_name(entry), error=loggable(error))
            if entry.pass_id is not None:
                written_at = entry.written_at if isinstance(entry, PassChange) else 0.0
                self.queue.send([self._recheck(entry.pass_id, written_at)])

    def _stamp(self, change: PassChange, targets: Targets) -> None:
        """Stamp the pass, then find who must be told.

        A deletion that is handed out again may be older than the item: whether it is gone is asked, not believed.
        What it is recognized by holds that answer, so that another one is stamped anew.
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
            pass  # whoever registered already has downloaded exactly this content
        else:
            self._find_devices(change, targets, modified_at=version.announced)

    def _refuse(self, refused: RefusedRecord) -> None:
        """Record a refusal beside the version. A key that is not a pass_id has no version, and never was a pass."""
        if refused.pass_id is not None:
            refusal = Refusal(str(refused.error), refused.template, int(self.clock()))
            self.store.versions.send_refusals(refused.pass_id, refusal, changes=refused.count)
        log.event("pass_item_refused", pass_id=refused.key, error=str(refused.error))

    def _recheck_repaired(self, unfit: Sequence[_Unfit], *, deadline: float) -> set[PassId]:
        """After a refusal was recorded, look at the template as it is now: one that was repaired in the meantime may
        have been published before the refusal could be seen. What fits now, or cannot be said, is looked at again.

        Raises:
            QueueError: SQS did not take a recheck; the batch must come again.
        """
        templates = self._templates_until(deadline, max_age_seconds=0.0)
        repaired: set[PassId] = set()
        for one in unfit:
            try:
                templates.validate(one.item)
            except RefusedError:
                continue
            except Exception as error:  # noqa: BLE001 - whatever it is, the recheck finds out
                log.event("pass_not_validated", pass_id=one.item.pass_id, error=loggable(error))
            repaired.add(one.item.pass_id)
        if repaired:
            self.queue.send([self._recheck(pass_id, 0.0, RecheckReason.REFUSED) for pass_id in sorted(repaired)])
        return repaired

    def _recheck(self, pass_id: PassId, written_at: float, reason: RecheckReason = RecheckReason.UNSETTLED) -> Recheck:
        return Recheck(pass_id, reason, written_at or self.clock(), log.request_id())

    def _count(self, settled: Sequence[Entry], *, rechecks: int) -> None:
        refused = sum(isinstance(entry, RefusedRecord) for entry in settled)
        counts = {"ChangedPasses": len(settled) - refused, "RefusedItems": refused}
        self.metrics.put({**counts, **({"Rechecks": rechecks} if rechecks else {})}, Unit.COUNT)

    def _keep(self, refused: Sequence[RefusedRecord]) -> None:
        """Put refusals where a person looks, once the batch is settled. They are on record already, so a failure of
        this is only logged: the batch must not come again for it.
        """
        try:
            if refused:
                self.queue.send_refusals(refused, at=self.clock())
        except Exception as error:  # noqa: BLE001 - whatever it is, the batch is settled
            log.event("refusal_not_kept", items=len(refused), error=loggable(error))

    def _find_devices(self, change: PassChange, targets: Targets, *, modified_at: int) -> None:
        room = MAX_DIRECT_DEVICES - sum(len(target.devices) for target in targets.values())
        if room <= 0:
            self.queue.send([FanOut(change.pass_id, None, change.written_at, log.request_id(), modified_at)])
            return
        page = self.store.registrations.page(change.pass_id, after=None, limit=room)
        if page.more:
            self.queue.send(
                [FanOut(change.pass_id, page.devices[-1], change.written_at, log.request_id(), modified_at)]
            )
        if page.devices:
            log.event(
                "devices_found", pass_id=change.pass_id, devices=len(page.devices), shown=log.first_ids(page.devices)
            )
            target = targets[change.pass_id.pass_type_identifier]
            target.devices.update(page.devices)
            target.changed_at = min(target.changed_at, change.written_at)

    def _send_pushes(self, pass_type_identifier: str, target: Target, *, deadline: float) -> None:
        """Push once to each device; who could not be told now is told from the queue."""
        try:
            result = self.push_sender.send(
                pass_type_identifier, target.devices, changed_at=target.changed_at, deadline=deadline
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, the devices are told from the queue
            log.event("pushes_failed", pass_type_identifier=pass_type_identifier, error=loggable(error))
            result = SendResult(frozenset(target.devices))
        everyone = tuple(sorted(target.devices))
        task = NotifyDevices(pass_type_identifier, everyone, target.changed_at, log.request_id())
        for left, delay in put_off(task, result, seconds=RETRY_SECONDS, now=self.clock()):
            self.queue.send(in_chunks(left), delay_seconds=delay, until=deadline)


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

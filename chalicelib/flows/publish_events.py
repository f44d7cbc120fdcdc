"""Registrations changed: registrations stream -> events on the stage's bus, and counts of holders.

Each group of passes is published first and counted after that (`updates/holders.py`), so that an event is sent at least
once, with the same id.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from chalicelib.aws.tables import Store
from chalicelib.aws.tables.counts import PASSES_PER_REQUEST, REMOVALS_PER_REQUEST
from chalicelib.core.errors import TransientError
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId
from chalicelib.flows.deliver_events import EventDelivery
from chalicelib.telemetry import log
from chalicelib.telemetry.metrics import Metrics
from chalicelib.updates.events import Event, UnreadableRecord
from chalicelib.updates.holders import (
    Counted,
    RegistrationRecord,
    by_pass,
    cause_of,
    count,
    event_of,
    totals_of,
)
from chalicelib.updates.removal_notes import Removal

MAX_ATTEMPTS = 5
"""Attempts to count passes whose counts change at the same time: an earlier invocation has not ended."""
MEASURE_SECONDS = 60
"""Interval at which an execution environment writes the holders of a pass type and template as a metric."""
NO_TEMPLATE = "unknown"
"""Template in metrics of a pass whose item was deleted before it was counted."""

R = TypeVar("R")
_Records = dict[PassId, list[RegistrationRecord]]


@dataclass(frozen=True, slots=True)
class EventPublisher:
    """Publishes the changes of registrations.

    Args:
        store: the tables.
        delivery: sends the events.
        metrics: count added and removed registrations, and measure holders.
        clock: epoch seconds.
        measured_at: epoch seconds at which the holders of a pass type and template were last measured here.
    """

    store: Store
    delivery: EventDelivery
    metrics: Metrics
    clock: Callable[[], float]
    measured_at: dict[tuple[str, str], float] = field(default_factory=dict)

    def handle(self, records: Sequence[RegistrationRecord | UnreadableRecord]) -> list[str]:
        """Publish and count a batch of the stream.

        Returns:
            The sequence numbers of the records to deliver again. Repeated records that were counted are ignored.
        """
        valid: list[RegistrationRecord] = []
        for record in records:
            if isinstance(record, UnreadableRecord):
                log.event("registration_record_unread", sequence_number=record.sequence_number, error=record.error)
            else:
                valid.append(record)
        failed: list[str] = []
        for group in in_groups(by_pass(valid), size=PASSES_PER_REQUEST):
            try:
                self._handle_group(group)
            except TransientError as error:
                log.event("events_not_published", passes=log.first_ids(group), error=str(error))
                failed += [record.sequence_number for of_pass in group.values() for record in of_pass]
        return failed

    def _handle_group(self, group: _Records) -> None:
        for _ in range(MAX_ATTEMPTS):
            before = self.store.counts.of(group)
            templates = self.store.passes.templates(group)
            all_counted = {
                pass_id: count(before[pass_id], records, template=templates.get(pass_id))
                for pass_id, records in group.items()
            }
            counted = {pass_id: of_pass for pass_id, of_pass in all_counted.items() if of_pass.steps}
            if not counted:
                return
            self.delivery.deliver(self._events(counted))
            if self.store.counts.commit(counted):
                self._measure(counted)
                return
        raise TransientError("the counts of these passes change at the same time; try again")

    def _events(self, counted: Mapping[PassId, Counted]) -> list[Event]:
        steps = [(step, of_pass.after.template) for of_pass in counted.values() for step in of_pass.steps]
        removed = [(step.record.pass_id, step.record.device) for step, _ in steps if step.record.new is None]
        notes: dict[tuple[PassId, DeviceLibraryIdentifier], list[Removal]] = {}
        for start in range(0, len(removed), REMOVALS_PER_REQUEST):
            notes |= self.store.counts.removals(removed[start : start + REMOVALS_PER_REQUEST])
        found = (
            event_of(
                step,
                template=template,
                device_hash=log.hash_secret(step.record.device.value),
                cause=cause_of(step.record, notes.get((step.record.pass_id, step.record.device), ())),
            )
            for step, template in steps
        )
        return [event for event in found if event is not None]

    def _measure(self, counted: Mapping[PassId, Counted]) -> None:
        totals = totals_of(counted)
        for (_, kind, template), added in totals.added.items():
            self.metrics.count("AddedRegistrations", added, pass_type=kind, template=template or NO_TEMPLATE)
        for (_, kind, template), removed in totals.removed.items():
            self.metrics.count("RemovedRegistrations", removed, pass_type=kind, template=template or NO_TEMPLATE)
        now = self.clock()
        due = [key for key in totals.holders if now - self.measured_at.get(key, -math.inf) >= MEASURE_SECONDS]
        for (kind, template), holders in self.store.counts.totals(due).items():
            self.measured_at[kind, template] = now
            self.metrics.gauge("Holders", holders, pass_type=kind, template=template or NO_TEMPLATE)


def in_groups(records: Mapping[PassId, R], *, size: int) -> Iterator[dict[PassId, R]]:
    """Split passes with their records into groups that one transaction can count, of at most `size` passes."""
    pass_ids = list(records)
    for start in range(0, len(pass_ids), size):
        yield {pass_id: records[pass_id] for pass_id in pass_ids[start : start + size]}

"""Passes changed: versions stream -> events on the stage's bus, and counts of updates.

As with registrations, each group of passes is published first and counted after that, so that an event is sent at least
once, with the same id (`updates/pass_events.py`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from chalicelib.aws.tables import Store
from chalicelib.aws.tables.counts import UPDATED_PASSES_PER_REQUEST
from chalicelib.core.errors import TransientError
from chalicelib.core.identifiers import PassId
from chalicelib.flows.deliver_events import EventDelivery
from chalicelib.flows.publish_events import MAX_ATTEMPTS, NO_TEMPLATE, in_groups
from chalicelib.telemetry import log
from chalicelib.telemetry.metrics import Metrics
from chalicelib.updates.events import Event, UnreadableRecord
from chalicelib.updates.holders import PassUpdates, updates_by_day
from chalicelib.updates.pass_events import VersionRecord, events_of_pass, is_counted, note_event, with_events

_Records = dict[PassId, list[VersionRecord]]


@dataclass(frozen=True, slots=True)
class PassEventPublisher:
    """Publishes the changes of versions.

    Args:
        store: the tables.
        delivery: sends the events.
        metrics: count updated passes.
    """

    store: Store
    delivery: EventDelivery
    metrics: Metrics

    def handle(self, records: Sequence[VersionRecord | UnreadableRecord]) -> list[str]:
        """Publish and count a batch of the stream.

        Returns:
            The sequence numbers of the records to deliver again.
        """
        by_pass: _Records = {}
        notes: list[VersionRecord] = []
        for record in with_events(_readable(records)):
            if (pass_id := record.pass_id) is None:
                notes.append(record)
            else:
                by_pass.setdefault(pass_id, []).append(record)
        failed: list[str] = []
        try:
            self.delivery.deliver([note_event(record) for record in notes])
        except TransientError as error:
            log.event("events_not_published", passes=[], error=str(error))
            failed += [record.sequence_number for record in notes]
        for group in in_groups(by_pass, size=UPDATED_PASSES_PER_REQUEST):
            try:
                self._handle_group(group)
            except TransientError as error:
                log.event("events_not_published", passes=log.first_ids(group), error=str(error))
                failed += [record.sequence_number for of_pass in group.values() for record in of_pass]
        return failed

    def _handle_group(self, group: _Records) -> None:
        templates = self.store.passes.templates(group)
        for _ in range(MAX_ATTEMPTS):
            counts = self.store.counts.of(group)
            events: list[Event] = []
            updates: dict[PassId, PassUpdates] = {}
            for pass_id, records in group.items():
                before = counts[pass_id]
                template = templates.get(pass_id, before.template)
                new = [r for r in records if r.is_update and not is_counted(r, announced=before.announced)]
                for record in records:
                    events += events_of_pass(
                        record, pass_id, template=template, devices=before.holders, updates=record in new
                    )
                if new:
                    written_at = tuple(record.written_at for record in new)
                    updates[pass_id] = PassUpdates(before, new[-1].new.announced, template, written_at)
            self.delivery.deliver(events)
            if not updates:
                return
            if self.store.counts.commit_updates(updates):
                for (_, kind, template), updated in updates_by_day(updates).items():
                    self.metrics.count("UpdatedPasses", updated, pass_type=kind, template=template or NO_TEMPLATE)
                return
        raise TransientError("the counts of these passes change at the same time; try again")


def _readable(records: Sequence[VersionRecord | UnreadableRecord]) -> Iterator[VersionRecord]:
    for record in records:
        if isinstance(record, UnreadableRecord):
            log.event("version_record_unread", sequence_number=record.sequence_number, error=record.error)
        else:
            yield record

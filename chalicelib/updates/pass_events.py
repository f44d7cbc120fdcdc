"""Derives events from the stream of the versions table: updated, refused and personalized passes, and notes.

Theory of operation. Every change of a pass's state is one conditional write to its row in the versions table, and the
stream delivers each at least once, those of a pass in their order. So the functions that stamp, refuse and personalize
send nothing, and a bus that is away can neither delay nor lose an update. What has no row, such as a rejected
credential, is written into the table as a row of its own (`events.EventNote`).

An update is a stamp of which devices are notified (`Version.announced`). It increases with every stamp, so a pass's
count of updates records the last one that it contains: a repeat is neither counted nor published again.

The first version of a pass is not an update, because no device can show another one. The deletion of a pass is not an
update either; `pass.unregistered` follows for each of its devices.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from chalicelib.core.identifiers import PassId
from chalicelib.updates.events import NOTE, Event, new_event, pass_fields


@dataclass(frozen=True, slots=True)
class VersionImage:
    """A row of the versions table in its stream; the defaults are those of a row that does not exist.

    Args:
        announced: the last stamp of which devices are notified.
        revision: number of content changes.
        deleted: True if the item was deleted.
        refusal: reason, template and time of the refusal; None without one.
        personalized: True after a sign-up.
        silent: revision up to which updates are not events: a backup restored them. 0 for none.
        note: an event that the row itself is, as JSON; empty for a pass.
        noted_at: epoch seconds of the note.
    """

    announced: int = 0
    revision: int = 0
    deleted: bool = False
    refusal: tuple[str, str, int] | None = None
    personalized: bool = False
    silent: int = 0
    note: str = ""
    noted_at: float = 0.0


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """A change of a row.

    Args:
        key: of the row.
        sequence_number: of the stream record; identity of the record in a partial batch response.
        written_at: epoch seconds, rounded down by DynamoDB.
        old: before the change.
        new: after the change.
    """

    key: str
    sequence_number: str
    written_at: float
    old: VersionImage
    new: VersionImage

    @property
    def pass_id(self) -> PassId | None:
        """The pass; None for a note.

        Raises:
            IdentifierError: the key is not a pass id.
        """
        return None if self.key.startswith(NOTE) else PassId.parse(self.key)

    @property
    def is_restored(self) -> bool:
        """True if a restore wrote the record."""
        return self.new.silent != self.old.silent

    @property
    def is_update(self) -> bool:
        """True if devices are notified of new content."""
        new = self.new
        return new.announced > self.old.announced and not new.deleted and new.revision > max(1, new.silent)

    @property
    def is_refusal(self) -> bool:
        """True if the newest item was refused."""
        return self.new.refusal is not None and self.new.refusal != self.old.refusal

    @property
    def is_personalization(self) -> bool:
        """True if a person signed up."""
        return self.new.personalized and not self.old.personalized

    @property
    def is_event(self) -> bool:
        """True if at least one event follows from it."""
        if self.key.startswith(NOTE):
            return bool(self.new.note)
        return not self.is_restored and (self.is_update or self.is_refusal or self.is_personalization)


def is_counted(record: VersionRecord, *, announced: int) -> bool:
    """Return True if a count, whose last counted stamp is `announced`, includes this update already."""
    return record.new.announced <= announced


def note_event(record: VersionRecord) -> Event:
    """Return the event that a note describes."""
    note = json.loads(record.new.note)
    identity = (record.key, record.sequence_number)
    return new_event(note["event"], at=record.new.noted_at, identity=identity, detail=note["detail"])


def events_of_pass(
    record: VersionRecord, pass_id: PassId, *, template: str, devices: int, updates: bool
) -> list[Event]:
    """Return the events of a record.

    Args:
        record: the record.
        pass_id: its pass.
        template: of the pass now; a refusal has the template of the refused item.
        devices: number of devices that hold the pass.
        updates: False to leave out the update, because it is counted and so published already.
    """
    found: list[tuple[str, dict[str, object]]] = []
    if record.is_refusal and record.new.refusal is not None:
        reason, refused_template, _ = record.new.refusal
        found.append(("pass.refused", {**pass_fields(pass_id, refused_template or template), "reason": reason}))
    if record.is_personalization:
        found.append(("pass.personalized", pass_fields(pass_id, template)))
    if record.is_update and updates:
        update = {"devices": devices, "revision": record.new.revision}
        found.append(("pass.updated", {**pass_fields(pass_id, template), **update}))
    return [
        new_event(name, at=record.written_at, identity=(record.key, record.sequence_number), detail=detail)
        for name, detail in found
    ]


def with_events(records: Iterable[VersionRecord]) -> list[VersionRecord]:
    """Select the records from which events follow."""
    return [record for record in records if record.is_event]

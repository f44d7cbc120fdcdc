"""Counts the holders of passes from the stream of the registrations table, and derives the events of phones.

Theory of operation. DynamoDB delivers the changes of one pass's registrations in their order, with increasing sequence
numbers, each at least once (AWS, "Change data capture for DynamoDB Streams"). The count of a pass records the sequence
number of the last change that it contains. A change that is not later is a repeat: it is neither counted nor published
again. A batch is published first, and counted after that on the condition that the count is as it was read: a crash in
between repeats the events, with the same ids and numbers.

Only registrations with `counted` are counted. Rows that were written before the stage had this stream do not have it;
adding it to a row counts it, once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId
from chalicelib.core.wallets import Wallet
from chalicelib.updates.events import Event, new_event, pass_fields
from chalicelib.updates.removal_notes import Cause, Removal

SEQUENCE_DIGITS = 40
"""Maximum length of a sequence number (AWS, "StreamRecord"). Numbers padded to it sort as text."""


@dataclass(frozen=True, slots=True)
class StreamRow:
    """A registration in the stream.

    Args:
        registered_at: epoch seconds.
        counted: True if it is part of the pass's count.
        silent: True if its creation is not an event: a backup restored it.
        wallet: the app that registered, by its name in events.
    """

    registered_at: int
    counted: bool
    silent: bool = False
    wallet: str = Wallet.APPLE.value


@dataclass(frozen=True, slots=True)
class RegistrationRecord:
    """A change of a registration.

    Args:
        pass_id: the pass.
        device: the device.
        sequence_number: of the stream record; identity of the record in a partial batch response.
        written_at: epoch seconds, rounded down by DynamoDB.
        old: before the change; None if it was created.
        new: after the change; None if it was removed.
    """

    pass_id: PassId
    device: DeviceLibraryIdentifier
    sequence_number: str
    written_at: float
    old: StreamRow | None
    new: StreamRow | None

    @property
    def delta(self) -> int:
        """The change of the pass's count: 1, 0 or -1."""
        return int(self.new is not None and self.new.counted) - int(self.old is not None and self.old.counted)

    @property
    def position(self) -> str:
        """The sequence number in a form that sorts."""
        return self.sequence_number.rjust(SEQUENCE_DIGITS, "0")


@dataclass(frozen=True, slots=True)
class PassCount:
    """The holders of a pass.

    Args:
        holders: number of counted registrations.
        position: of the last counted record; empty before the first.
        template: of the pass when it was last counted.
        announced: the last stamp that is counted as an update; 0 for none.
    """

    holders: int = 0
    position: str = ""
    template: str = ""
    announced: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """A record that was counted, and the number of holders after it."""

    record: RegistrationRecord
    holders: int


@dataclass(frozen=True, slots=True)
class Counted:
    """Result of counting the records of one pass.

    Args:
        before: the count as read.
        after: the count to write.
        steps: the new records in their order.
    """

    before: PassCount
    after: PassCount
    steps: tuple[Step, ...]


def count(before: PassCount, records: Iterable[RegistrationRecord], *, template: str | None) -> Counted:
    """Count the records of one pass.

    Args:
        before: the count as read.
        records: of the pass, in the stream's order; repeats of counted records are ignored.
        template: of the pass now; None if the pass no longer exists, which keeps the last one.
    """
    holders, position = before.holders, before.position
    steps = []
    for record in records:
        if record.position > position:
            position = record.position
            holders += record.delta
            steps.append(Step(record, holders))
    kept = before.template if template is None else template
    after = replace(before, holders=holders, position=position, template=kept)
    return Counted(before, after if steps else before, tuple(steps))


def cause_of(record: RegistrationRecord, notes: Iterable[Removal]) -> Cause:
    """Return why the registration of a removal record was removed; without a note about it, the device did it."""
    registered_at = record.old.registered_at if record.old is not None else 0
    return next((note.cause for note in notes if registered_at <= note.registered_until), Cause.PERSON)


def event_of(step: Step, *, template: str, device_hash: str, cause: Cause) -> Event | None:
    """Return the event of a counted record; None if it is not one: a repeated registration, or a restored one.

    Args:
        step: the record.
        template: of the pass.
        device_hash: replaces the device library identifier, as in log lines.
        cause: of a removal; ignored otherwise.
    """
    record = step.record
    if record.new is not None and (record.old is not None or record.new.silent):
        return None
    name = "pass.unregistered" if record.new is None else "pass.registered"
    detail: dict[str, object] = {
        **pass_fields(record.pass_id, template),
        "device": device_hash,
        "wallet": (record.new or record.old or StreamRow(0, counted=False)).wallet,
        "holders": step.holders,
    }
    if record.new is None:
        detail |= {"cause": cause.value, "last_holder": step.holders == 0}
    else:
        detail |= {"first_holder": step.holders == 1}
    identity = (str(record.pass_id), record.sequence_number)
    return new_event(name, at=record.written_at, identity=identity, detail=detail)


def by_pass(records: Iterable[RegistrationRecord]) -> dict[PassId, list[RegistrationRecord]]:
    """Group records by pass, in their order."""
    grouped: dict[PassId, list[RegistrationRecord]] = {}
    for record in records:
        grouped.setdefault(record.pass_id, []).append(record)
    return grouped


@dataclass(frozen=True, slots=True)
class PassUpdates:
    """Updates of a pass to count.

    Args:
        before: the count as read.
        announced: the last of their stamps.
        template: of the pass.
        written_at: epoch seconds of each.
    """

    before: PassCount
    announced: int
    template: str
    written_at: tuple[float, ...]


def updates_by_day(updates: Mapping[PassId, PassUpdates]) -> dict[tuple[str, str, str], int]:
    """Return the number of updates by day, pass type identifier and template."""
    days: dict[tuple[str, str, str], int] = {}
    for pass_id, of_one in updates.items():
        for at in of_one.written_at:
            key = (day_of(at), pass_id.pass_type_identifier, of_one.template)
            days[key] = days.get(key, 0) + 1
    return days


def day_of(at: float) -> str:
    """Return the day of a time in UTC, such as `2026-11-26`."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


@dataclass(frozen=True, slots=True)
class Totals:
    """Changes of the totals of a pass type and template.

    Args:
        holders: by pass type identifier and template.
        added: registrations by day (`2026-11-26`), pass type identifier and template.
        removed: as `added`.
    """

    holders: Mapping[tuple[str, str], int]
    added: Mapping[tuple[str, str, str], int]
    removed: Mapping[tuple[str, str, str], int]


def totals_of(counted: Mapping[PassId, Counted]) -> Totals:
    """Return how the counts of some passes change the totals. A pass whose template changed moves with its holders."""
    holders: dict[tuple[str, str], int] = {}
    added: dict[tuple[str, str, str], int] = {}
    removed: dict[tuple[str, str, str], int] = {}
    for pass_id, of_pass in counted.items():
        kind = pass_id.pass_type_identifier
        for one, sign in ((of_pass.before, -1), (of_pass.after, 1)):
            key = (kind, one.template)
            holders[key] = holders.get(key, 0) + sign * one.holders
        for step in of_pass.steps:
            record = step.record
            created = record.old is None and record.new is not None and not record.new.silent
            if created or record.new is None:
                day = day_of(record.written_at)
                days = added if created else removed
                of_day = (day, kind, of_pass.after.template)
                days[of_day] = days.get(of_day, 0) + 1
    return Totals({key: change for key, change in holders.items() if change}, added, removed)

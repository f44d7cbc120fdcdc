"""From stream records to the passes that really changed: unchanged content dropped, one entry per pass, refusals named.

A stream record says that an item was written, not that a device would see a difference. What a batch means for each
pass is worked out here, purely; `flows/change.py` acts on it. Whatever one record is or raises ends with that record:
its neighbours in the batch are read all the same.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from chalicelib.core.errors import RefusedError, limited, shown
from chalicelib.core.identifiers import PassId
from chalicelib.passes.item import ItemError, PassItem, parse_pass_id

WITHOUT_KEY = "(without key)"
MAX_KEY_CHARACTERS = 2048
"""DynamoDB's own limit for a hash key."""


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """One record of the passes table's stream (AWS, "DynamoDB Streams: Record"), images as plain Python values.

    Args:
        key: the item's `pass_id` as written; `(without key)` if the record has none.
        sequence_number: identifies the record in a partial batch response.
        written_at: epoch seconds of the write, to the precision that the stream gives it.
        old: the item before, None where it is new.
        new: the item after, None where it was deleted.
    """

    key: str
    sequence_number: str
    written_at: float
    old: Mapping[str, object] | None
    new: Mapping[str, object] | None


@dataclass(frozen=True, slots=True)
class InvalidRecord:
    """A record of the stream that is not in DynamoDB's form.

    Args:
        key: the item's `pass_id` as written; `(without key)` if the record has none.
        sequence_number: identifies the record in a partial batch response; empty if it has none.
        problem: name of the error, without the record's content.
    """

    key: str
    sequence_number: str
    problem: str


@dataclass(frozen=True, slots=True)
class PassChange:
    """What a batch means for one pass.

    Args:
        pass_id: which pass.
        count: how many content changes were coalesced; the revision grows by it.
        first_issue: nothing but the insertion of the item: whoever downloaded the pass has this content.
        item: as it is at the end of the batch; None where it is gone.
        sequence_number: the first of its records, to be named if this pass cannot be settled.
        written_at: epoch seconds of the first of its writes.
        last_record: what the last of its records is recognized by, should it be handed out again.
    """

    pass_id: PassId
    count: int
    first_issue: bool
    item: PassItem | None
    sequence_number: str
    written_at: float
    last_record: str = ""

    @property
    def deleted(self) -> bool:
        return self.item is None

    def merged_with(self, later: Self) -> Self:
        """This change with a later one of the same pass coalesced into it."""
        return replace(
            self, count=self.count + later.count, first_issue=False, item=later.item, last_record=later.last_record
        )


@dataclass(frozen=True, slots=True)
class RefusedRecord:
    """A pass whose item cannot become a pass: what to tell the people behind the pipeline.

    Args:
        key: the item's key as it was written; `(without key)` where the record has none.
        sequence_number: the first of the pass's records in the batch.
        error: what is wrong.
        pass_id: None where the key is not a pass_id.
        template: the template that the item names; empty where it names none.
        count: how many content changes are refused with it.
    """

    key: str
    sequence_number: str
    error: RefusedError
    pass_id: PassId | None = None
    template: str = ""
    count: int = 1


@dataclass(frozen=True, slots=True)
class UnreadRecord:
    """A record that could not be read, though it says which pass it is of: that pass must be looked at again.

    Args:
        pass_id: which pass.
        problem: what was raised, without the record's content.
        written_at: epoch seconds of the write; 0 where it is not known.
    """

    pass_id: PassId
    problem: str
    written_at: float = 0.0


Entry = PassChange | RefusedRecord
"""What a pass has come to at the end of a batch."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a batch means.

    Args:
        entries: one per pass, in the order of each pass's first record. A change of count 0 is of a pass that was only
            written with the content that it had.
        unread: passes to look at again, each once.
        corrected: refusals that a later record of the same batch has corrected.
    """

    entries: list[Entry] = field(default_factory=list)
    unread: list[UnreadRecord] = field(default_factory=list)
    corrected: list[RefusedRecord] = field(default_factory=list)


def read_batch(records: Iterable[StreamRecord | InvalidRecord]) -> Batch:
    """Work out what a batch of records means, in the stream's order. It raises no errors.

    The end of a batch decides what a pass has come to: a refusal that follows a change stands for both, and a change
    that follows a refusal counts them both.
    """
    entries: dict[str, Entry] = {}
    unread: dict[str, UnreadRecord] = {}
    corrected: list[RefusedRecord] = []
    for record in records:
        read = _unread(record) if isinstance(record, InvalidRecord) else _read(record)
        match read:
            case UnreadRecord():
                unread.setdefault(str(read.pass_id), read)
            case RefusedRecord():
                earlier = entries.get(read.key)
                entries[read.key] = _refused_after(earlier, read) if earlier is not None else read
            case PassChange():
                key = str(read.pass_id)
                earlier = entries.get(key)
                if isinstance(earlier, RefusedRecord) and read.count:
                    corrected.append(earlier)
                entries[key] = _changed_after(earlier, read) if earlier is not None else read
    return Batch(
        entries=[entry for key, entry in entries.items() if key not in unread],
        unread=list(unread.values()),
        corrected=corrected,
    )


def _read(record: StreamRecord) -> Entry | UnreadRecord | None:
    """Read one record: a change (of count 0 if the content is the same), a refusal, or an unread record."""
    try:
        return change_of(record)
    except ItemError as error:
        template = record.new.get("template") if record.new is not None else None
        return RefusedRecord(
            key=shown(record.key, most=MAX_KEY_CHARACTERS),
            sequence_number=record.sequence_number,
            error=error,
            pass_id=_pass_id(record.key),
            template=shown(template) if isinstance(template, str) else "",
        )
    except Exception as error:  # noqa: BLE001 - a record can raise anything; the others must still be handled
        invalid = InvalidRecord(record.key, record.sequence_number, limited(type(error).__name__))
        return _unread(invalid, written_at=record.written_at)


def _unread(record: InvalidRecord, *, written_at: float = 0.0) -> RefusedRecord | UnreadRecord:
    """Refuse an invalid record, or have its pass rechecked if the record names one."""
    pass_id = _pass_id(record.key)
    if pass_id is not None:
        return UnreadRecord(pass_id, record.problem, written_at)
    return RefusedRecord(
        key=shown(record.key, most=MAX_KEY_CHARACTERS),
        sequence_number=record.sequence_number,
        error=RefusedError(f"a stream record cannot be read: {record.problem}"),
    )


def _pass_id(key: str) -> PassId | None:
    try:
        return PassId.parse(key)
    except RefusedError:
        return None


def _refused_after(earlier: Entry, refused: RefusedRecord) -> RefusedRecord:
    return replace(refused, count=earlier.count + refused.count, sequence_number=earlier.sequence_number)


def _changed_after(earlier: Entry, change: PassChange) -> Entry:
    if change.count == 0:
        return earlier  # the same content after a change, or after a refusal, leaves it at that
    if isinstance(earlier, PassChange) and earlier.count:
        return earlier.merged_with(change)
    return replace(
        change, count=earlier.count + change.count, first_issue=False, sequence_number=earlier.sequence_number
    )


def change_of(record: StreamRecord) -> PassChange | None:
    """What one record means. Where a device would see no difference, it is a change of count 0; None where there is
    nothing to see at all: nothing is there, or what is refused was refused before.

    Raises:
        ItemError: the new item cannot become a pass.
    """
    if record.new is None:
        if record.old is None:
            return None
        try:
            pass_id = parse_pass_id(record.old)
        except ItemError:
            return None  # it never was a pass
        return _change(pass_id, record, None)
    try:
        new = PassItem.parse(record.new)
    except RefusedError:
        if record.old == record.new:
            return None  # it was refused when it was written; nothing is new
        raise
    if record.old is not None and _same_content(record.old, new):
        return replace(_change(new.pass_id, record, new), count=0)
    return _change(new.pass_id, record, new)


def _change(pass_id: PassId, record: StreamRecord, item: PassItem | None) -> PassChange:
    return PassChange(
        pass_id=pass_id,
        count=1,
        first_issue=record.old is None,
        item=item,
        sequence_number=record.sequence_number,
        written_at=record.written_at,
        last_record=f"{record.sequence_number}@{record.written_at}",
    )


def _same_content(old: Mapping[str, object], new: PassItem) -> bool:
    try:
        return PassItem.parse(old).same_content(new)
    except RefusedError:
        return False  # what could not be a pass has become one

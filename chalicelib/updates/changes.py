"""Reading of batches of stream records: one entry per pass, which is a change that devices would see or a refusal.

A stream record shows that an item was written, not that a device would see a difference. This module decides what a
batch means for each pass; `flows/change.py` acts on it. A record that cannot be read affects no other pass in the
batch.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from chalicelib.core.errors import RefusedError, excerpt, shorten
from chalicelib.core.identifiers import PassId
from chalicelib.passes.item import PassItem, parse_pass_id
from chalicelib.passes.item_errors import ItemError

WITHOUT_KEY = "(without key)"
MAX_KEY_CHARACTERS = 2048
"""DynamoDB's limit for a hash key, in bytes."""


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """One record of the passes table's stream (AWS, "DynamoDB Streams: Record"), images as plain Python values.

    Args:
        key: the item's `pass_id` as written; `(without key)` if the record has none.
        sequence_number: identity of the record in a partial batch response.
        written_at: epoch seconds of the write, with the precision of the stream.
        old: the item before the write; None if it is new.
        new: the item after the write; None if it was deleted.
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
        sequence_number: identity of the record in a partial batch response; empty if it has none.
        problem: name of the error's type, without the content of the record.
    """

    key: str
    sequence_number: str
    problem: str


@dataclass(frozen=True, slots=True)
class PassChange:
    """Change of one pass in a batch.

    Args:
        pass_id: the pass that changed.
        count: number of content changes that were merged; the revision grows by it.
        first_issue: whether the item was only inserted, so that every device that downloaded the pass has this content.
        item: the item at the end of the batch; None if it is deleted.
        sequence_number: that of the pass's first record, to report it if the pass cannot be processed.
        written_at: epoch seconds of the first write.
        last_record: identity of the pass's last record, by which it is recognized if it is delivered again.
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
        """True if the item is deleted at the end of the batch."""
        return self.item is None

    def merged_with(self, later: Self) -> Self:
        """Merge this change with a later one of the same pass."""
        return replace(
            self, count=self.count + later.count, first_issue=False, item=later.item, last_record=later.last_record
        )


@dataclass(frozen=True, slots=True)
class RefusedRecord:
    """Refusal of one pass in a batch, whose item is invalid at the end; reported to the people behind the pipeline.

    Args:
        key: the item's key, quoted; `(without key)` if the record has none.
        sequence_number: that of the pass's first record in the batch.
        error: the problem of the item.
        pass_id: None if the key is not a valid pass id.
        template: name of the item's template; empty if the item has none.
        count: number of content changes that are refused.
    """

    key: str
    sequence_number: str
    error: RefusedError
    pass_id: PassId | None = None
    template: str = ""
    count: int = 1


@dataclass(frozen=True, slots=True)
class UnreadRecord:
    """A record that could not be read except for its key: the pass must be rechecked.

    Args:
        pass_id: the pass of the record.
        problem: name of the error's type, without the content of the record.
        written_at: epoch seconds of the write; 0 if it is not known.
    """

    pass_id: PassId
    problem: str
    written_at: float = 0.0


Entry = PassChange | RefusedRecord
"""Result of a batch for one pass."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Result of a batch.

    Args:
        entries: one per pass, in the order of each pass's first record. A change has count 0 if the pass was only
            written with the content that it had before.
        unread: one record for each pass to recheck.
        corrected: refusals that a later record of the same batch corrected.
    """

    entries: list[Entry] = field(default_factory=list)
    unread: list[UnreadRecord] = field(default_factory=list)
    corrected: list[RefusedRecord] = field(default_factory=list)


def read_batch(records: Iterable[StreamRecord | InvalidRecord]) -> Batch:
    """Read a batch of records in the stream's order. It raises no errors.

    The last record of a pass decides its result: a refusal after a change replaces it and counts both, and so does a
    change after a refusal.
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
    """Read one record as a change (with count 0 if the content is the same), a refusal or an unread record."""
    try:
        return change_of(record)
    except ItemError as error:
        template = record.new.get("template") if record.new is not None else None
        return RefusedRecord(
            key=excerpt(record.key, max_characters=MAX_KEY_CHARACTERS),
            sequence_number=record.sequence_number,
            error=error,
            pass_id=_pass_id(record.key),
            template=excerpt(template) if isinstance(template, str) else "",
        )
    except Exception as error:  # noqa: BLE001 - no error may affect the other records
        invalid = InvalidRecord(record.key, record.sequence_number, shorten(type(error).__name__))
        return _unread(invalid, written_at=record.written_at)


def _unread(record: InvalidRecord, *, written_at: float = 0.0) -> RefusedRecord | UnreadRecord:
    """Have the pass of an invalid record rechecked; without a valid key, refuse the record."""
    pass_id = _pass_id(record.key)
    if pass_id is not None:
        return UnreadRecord(pass_id, record.problem, written_at)
    return RefusedRecord(
        key=excerpt(record.key, max_characters=MAX_KEY_CHARACTERS),
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
        return earlier  # the same content was written again: the earlier change or refusal is still the result
    if isinstance(earlier, PassChange) and earlier.count:
        return earlier.merged_with(change)
    return replace(
        change, count=earlier.count + change.count, first_issue=False, sequence_number=earlier.sequence_number
    )


def change_of(record: StreamRecord) -> PassChange | None:
    """Read the change of one record. It has count 0 if a device would see no difference.

    Returns:
        None if there is no valid item before or after the write, or if the same invalid item was written again.

    Raises:
        ItemError: the new item is invalid.
    """
    if record.new is None:
        if record.old is None:
            return None
        try:
            pass_id = parse_pass_id(record.old)
        except ItemError:
            return None  # the deleted item was invalid
        return _change(pass_id, record, None)
    try:
        new = PassItem.parse(record.new)
    except RefusedError:
        if record.old == record.new:
            return None  # it was refused when it was first written
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
        return False  # the old item was invalid

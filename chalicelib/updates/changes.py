"""Reading of batches of stream records: one entry per pass, which is a change that devices would see or a refusal.

A stream record shows that an item was written, not that a device would see a difference. This module decides what a
batch means for each pass; `flows/change.py` acts on it. A record that cannot be read affects no other pass in the
batch.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from chalicelib.core.attributes import plain_item
from chalicelib.core.errors import RefusedError, limited, shown
from chalicelib.core.identifiers import PassId
from chalicelib.passes.item import ItemError, PassItem, parse_pass_id

WITHOUT_KEY = "(without key)"
MAX_KEY_CHARACTERS = 2048
"""DynamoDB's limit for a hash key, in bytes."""


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """One record of the passes table's stream (AWS, "DynamoDB Streams: Record"), images as plain Python values.

    Args:
        sequence_number: identity of the record in a partial batch response.
        written_at: epoch seconds of the write, with the precision of the stream.
        old: the item before the write; None if it is new.
        new: the item after the write; None if it was deleted.
    """

    sequence_number: str
    written_at: float
    old: Mapping[str, object] | None
    new: Mapping[str, object] | None

    @classmethod
    def parse(cls, record: Mapping[str, Any]) -> Self:
        """Read one element of a Lambda event's `Records`.

        Raises:
            RefusedError: an image is not in DynamoDB's form.
        """
        change = record["dynamodb"]
        return cls(
            sequence_number=str(change.get("SequenceNumber", "")),
            written_at=float(change.get("ApproximateCreationDateTime", 0)),
            old=plain_item(change["OldImage"]) if "OldImage" in change else None,
            new=plain_item(change["NewImage"]) if "NewImage" in change else None,
        )


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


def read_batch(records: Iterable[Mapping[str, Any]]) -> Batch:
    """Read the `Records` of a Lambda event in the stream's order. It raises no errors.

    The last record of a pass decides its result: a refusal after a change replaces it and counts both, and so does a
    change after a refusal.
    """
    entries: dict[str, Entry] = {}
    unread: dict[str, UnreadRecord] = {}
    corrected: list[RefusedRecord] = []
    for raw in records:
        read = _read(raw)
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


def _read(raw: Mapping[str, Any]) -> Entry | UnreadRecord | None:
    """Read one record as a change (with count 0 if the content is the same), a refusal or an unread record."""
    written_at = 0.0
    try:
        record = StreamRecord.parse(raw)
        written_at = record.written_at
        return change_of(record)
    except ItemError as error:
        return _refused(raw, error)
    except Exception as error:  # noqa: BLE001 - no error may affect the other records
        pass_id = _pass_id(_key(raw))
        if pass_id is None:
            problem = RefusedError(f"a stream record cannot be read: {type(error).__name__}")
            return _refused(raw, problem)
        return UnreadRecord(pass_id, limited(type(error).__name__), written_at)


def _refused(raw: Mapping[str, Any], error: RefusedError) -> RefusedRecord:
    key = _key(raw)
    return RefusedRecord(
        key=shown(key, most=MAX_KEY_CHARACTERS),
        sequence_number=str(_at(raw, "dynamodb", "SequenceNumber") or ""),
        error=error,
        pass_id=_pass_id(key),
        template=shown(_at(raw, "dynamodb", "NewImage", "template", "S") or ""),
    )


def _key(raw: Mapping[str, Any]) -> str:
    return str(_at(raw, "dynamodb", "Keys", "pass_id", "S") or WITHOUT_KEY)


def _pass_id(key: str) -> PassId | None:
    try:
        return PassId.parse(key)
    except RefusedError:
        return None


def _at(value: object, *path: str) -> object:
    """Return the value at a path of nested mappings; None if a part of the path is missing or not a mapping."""
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


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

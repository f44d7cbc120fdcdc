"""From stream records to the passes that really changed: unchanged content dropped, one entry a pass, refusals named.

A stream record says that an item was written, not that a device would see a difference. What a batch means for each
pass is worked out here, purely; `flows/change.py` acts on it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from chalicelib.domain.attributes import plain_item
from chalicelib.domain.errors import RefusedError
from chalicelib.domain.identifiers import PassId
from chalicelib.domain.items import PassItem, parse_pass_id


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """One record of the passes table's stream (AWS, "DynamoDB Streams: Record"), images as plain Python values.

    Args:
        sequence_number: what a partial batch response names a record by.
        written_at: epoch seconds of the write, to the precision that the stream gives it.
        old: the item before, None where it is new.
        new: the item after, None where it was deleted.
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
    """What a batch means for one pass.

    Args:
        pass_id: which pass.
        count: how many content changes were coalesced; the revision grows by it.
        first_issue: nothing but the insertion of the item: whoever downloaded the pass has this content.
        item: as it is at the end of the batch; None where it is gone.
        sequence_number: the first of its records, to be named if this pass cannot be settled.
        written_at: epoch seconds of the first of its writes.
    """

    pass_id: PassId
    count: int
    first_issue: bool
    item: PassItem | None
    sequence_number: str
    written_at: float

    @property
    def deleted(self) -> bool:
        return self.item is None

    def then(self, later: Self) -> Self:
        """This change with a later one of the same pass coalesced into it."""
        return replace(self, count=self.count + later.count, first_issue=False, item=later.item)


@dataclass(frozen=True, slots=True)
class RefusedRecord:
    """A record whose item cannot become a pass: what to tell the people behind the pipeline."""

    pass_id: str
    sequence_number: str
    error: RefusedError


def change_of(record: StreamRecord) -> PassChange | None:
    """What one record means, or None where a device would see no difference.

    Raises:
        ItemError: the new item cannot become a pass.
    """
    if record.new is None:
        if record.old is None:
            return None
        return _change(parse_pass_id(record.old), record, None)
    try:
        new = PassItem.parse(record.new)
    except RefusedError:
        if record.old == record.new:
            return None  # it was refused when it was written; nothing is new
        raise
    if record.old is not None and _same_content(record.old, new):
        return None
    return _change(new.pass_id, record, new)


def coalesce(changes: Iterable[PassChange]) -> list[PassChange]:
    """One change a pass, in the order of each pass's first."""
    by_pass: dict[PassId, PassChange] = {}
    for change in changes:
        earlier = by_pass.get(change.pass_id)
        by_pass[change.pass_id] = change if earlier is None else earlier.then(change)
    return list(by_pass.values())


def _change(pass_id: PassId, record: StreamRecord, item: PassItem | None) -> PassChange:
    return PassChange(
        pass_id=pass_id,
        count=1,
        first_issue=record.old is None,
        item=item,
        sequence_number=record.sequence_number,
        written_at=record.written_at,
    )


def _same_content(old: Mapping[str, object], new: PassItem) -> bool:
    try:
        return PassItem.parse(old).same_content(new)
    except RefusedError:
        return False  # what could not be a pass has become one

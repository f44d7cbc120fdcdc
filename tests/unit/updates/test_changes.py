"""What a batch of stream records means for each pass. Whatever a record is, it is only that record's affair."""

from collections.abc import Mapping
from typing import Any

import pytest
from boto3.dynamodb.types import TypeSerializer
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.identifiers import PassId
from chalicelib.http.events import stream_records
from chalicelib.updates import changes
from chalicelib.updates.changes import Batch, PassChange, RefusedRecord

TYPE = "pass.com.example"
_SERIALIZER = TypeSerializer()


def record(
    number: int, serial_number: str, old: Mapping[str, object] | None, new: Mapping[str, object] | None
) -> dict[str, Any]:
    key = {"pass_id": f"{TYPE}/{serial_number}"}
    images = {
        name: _SERIALIZER.serialize({**key, "template": "t", **image})["M"]
        for name, image in (("OldImage", old), ("NewImage", new))
        if image is not None
    }
    return {"dynamodb": {"Keys": _SERIALIZER.serialize(key)["M"], "SequenceNumber": str(number), **images}}


def gate(value: str) -> dict[str, object]:
    return {"fields": {"gate": value}}


def read_batch(records: list[Any]) -> Batch:
    """Read raw records of a stream event."""
    return changes.read_batch(stream_records({"Records": records}))


BAD: Mapping[str, object] = {"fields": "not a map"}


def test_several_changes_of_a_pass_are_one_with_the_newest_item() -> None:
    batch = read_batch([record(1, "P", gate("A"), gate("B")), record(2, "P", gate("B"), gate("C"))])
    (entry,) = batch.entries
    assert isinstance(entry, PassChange)
    assert entry.item is not None
    assert (entry.count, entry.first_issue, entry.sequence_number) == (2, False, "1")
    assert entry.item.fields == {"gate": {"value": "C"}}


def test_the_same_content_is_a_change_of_count_0_and_adds_nothing_to_others() -> None:
    same = record(2, "P", gate("B"), gate("B"))
    (alone,) = read_batch([same]).entries
    (behind,) = read_batch([record(1, "P", None, gate("B")), same]).entries
    (ahead,) = read_batch([same, record(3, "P", gate("B"), gate("C"))]).entries
    assert isinstance(alone, PassChange)
    assert isinstance(behind, PassChange)
    assert isinstance(ahead, PassChange)
    assert alone.count == 0
    assert (behind.count, behind.first_issue) == (1, True)
    assert (ahead.count, ahead.first_issue, ahead.sequence_number) == (1, False, "2")


def test_a_refusal_after_a_change_stands_for_both() -> None:
    (entry,) = read_batch([record(1, "P", None, gate("A")), record(2, "P", gate("A"), BAD)]).entries
    assert isinstance(entry, RefusedRecord)
    assert (entry.pass_id, entry.template, entry.count, entry.sequence_number) == (PassId(TYPE, "P"), "t", 2, "1")


def test_a_change_after_a_refusal_counts_both_and_is_no_first_issue() -> None:
    batch = read_batch([record(1, "P", None, BAD), record(2, "P", BAD, gate("A"))])
    (entry,) = batch.entries
    assert isinstance(entry, PassChange)
    assert (entry.count, entry.first_issue, entry.sequence_number) == (2, False, "1")
    assert [refused.key for refused in batch.corrected] == [f"{TYPE}/P"]


def test_the_deletion_of_what_never_was_a_pass_is_nothing() -> None:
    gone = {"dynamodb": {"Keys": {"pass_id": {"S": "no slash"}}, "OldImage": {"pass_id": {"S": "no slash"}}}}
    assert read_batch([gone]).entries == []


def test_a_pass_of_which_one_record_could_not_be_read_is_looked_at_again_as_a_whole() -> None:
    broken = {"dynamodb": {"Keys": {"pass_id": {"S": f"{TYPE}/P"}}, "NewImage": {"x": {"N": "?"}}}}
    batch = read_batch([record(1, "P", None, gate("A")), broken, record(3, "Q", None, gate("A"))])
    assert [unread.pass_id.serial_number for unread in batch.unread] == ["P"]
    assert [entry.pass_id for entry in batch.entries] == [PassId(TYPE, "Q")]


RECORD_KEYS = ("dynamodb", "Keys", "NewImage", "OldImage", "SequenceNumber", "ApproximateCreationDateTime")
TYPES = ("S", "N", "M", "L", "B", "BOOL", "NULL", "SS", "NS", "BS")
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "dynamodb",
                    "Keys",
                    "NewImage",
                    "OldImage",
                    "SequenceNumber",
                    "ApproximateCreationDateTime",
                    "pass_id",
                    "template",
                    "fields",
                    "S",
                    "N",
                    "M",
                    "L",
                    "B",
                    "BOOL",
                    "NULL",
                    "SS",
                    "NS",
                    "BS",
                ]
            )
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(st.lists(st.fixed_dictionaries({"dynamodb": ANYTHING}) | ANYTHING, max_size=4))
def test_no_record_of_any_form_touches_its_neighbours(wrong: list[Any]) -> None:
    good = [record(1, "P", gate("A"), gate("B")), record(2, "Q", None, gate("A"))]
    batch = read_batch([good[0], *wrong, good[1]])
    changed = [entry.pass_id for entry in batch.entries if isinstance(entry, PassChange)]
    assert {PassId(TYPE, "P"), PassId(TYPE, "Q")} <= set(changed)


@pytest.mark.parametrize("depth", [40, 5000])
def test_an_image_of_any_depth_ends_with_its_record(depth: int) -> None:
    nested: dict[str, Any] = {"S": "x"}
    for _ in range(depth):
        nested = {"L": [nested]}
    image = {"pass_id": {"S": f"{TYPE}/DEEP"}, "template": {"S": "t"}, "overrides": {"M": {"userInfo": nested}}}
    deep = {"dynamodb": {"Keys": {"pass_id": {"S": f"{TYPE}/DEEP"}}, "NewImage": image}}
    batch = read_batch([deep, record(2, "Q", None, gate("A"))])
    assert PassId(TYPE, "Q") in [entry.pass_id for entry in batch.entries]

"""Tests of how a batch of stream records is read: one entry per pass, and no record affects other passes."""

from collections.abc import Mapping
from typing import Any

import pytest
from boto3.dynamodb.types import TypeSerializer
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.identifiers import PassId
from chalicelib.http.events import stream_records
from chalicelib.updates import changes
from chalicelib.updates.changes import WITHOUT_KEY, Batch, PassChange, RefusedRecord

TYPE = "pass.com.example"
SERIALIZER = TypeSerializer()


def record(
    number: int, serial_number: str, old: Mapping[str, object] | None, new: Mapping[str, object] | None
) -> dict[str, Any]:
    key = {"pass_id": f"{TYPE}/{serial_number}"}
    images = {
        name: SERIALIZER.serialize({**key, "template": "t", **image})["M"]
        for name, image in (("OldImage", old), ("NewImage", new))
        if image is not None
    }
    return {"dynamodb": {"Keys": SERIALIZER.serialize(key)["M"], "SequenceNumber": str(number), **images}}


def gate(value: str) -> dict[str, object]:
    return {"fields": {"gate": value}}


def read_batch(records: list[dict[str, Any]]) -> Batch:
    """Read a batch of raw records, as Lambda delivers them."""
    return changes.read_batch(stream_records({"Records": records}))


BAD: Mapping[str, object] = {"fields": "not a map"}


def test_changes_of_a_pass_are_merged_into_one_with_the_newest_item() -> None:
    batch = read_batch([record(1, "P", gate("A"), gate("B")), record(2, "P", gate("B"), gate("C"))])
    (entry,) = batch.entries
    assert isinstance(entry, PassChange)
    assert entry.item is not None
    assert (entry.count, entry.first_issue, entry.sequence_number) == (2, False, "1")
    assert entry.item.fields == {"gate": {"value": "C"}}


def test_record_with_the_same_content_is_a_change_of_count_0() -> None:
    same = record(2, "P", gate("B"), gate("B"))
    (alone,) = read_batch([same]).entries
    (after,) = read_batch([record(1, "P", None, gate("B")), same]).entries
    (before,) = read_batch([same, record(3, "P", gate("B"), gate("C"))]).entries
    assert isinstance(alone, PassChange)
    assert isinstance(after, PassChange)
    assert isinstance(before, PassChange)
    assert alone.count == 0
    assert (after.count, after.first_issue) == (1, True)
    assert (before.count, before.first_issue, before.sequence_number) == (1, False, "2")


def test_refusal_after_a_change_replaces_it_and_counts_both() -> None:
    (entry,) = read_batch([record(1, "P", None, gate("A")), record(2, "P", gate("A"), BAD)]).entries
    assert isinstance(entry, RefusedRecord)
    assert (entry.pass_id, entry.template, entry.count, entry.sequence_number) == (PassId(TYPE, "P"), "t", 2, "1")


def test_change_after_a_refusal_counts_both_and_is_not_a_first_issue() -> None:
    batch = read_batch([record(1, "P", None, BAD), record(2, "P", BAD, gate("A"))])
    (entry,) = batch.entries
    assert isinstance(entry, PassChange)
    assert (entry.count, entry.first_issue, entry.sequence_number) == (2, False, "1")
    assert [refused.key for refused in batch.corrected] == [f"{TYPE}/P"]


def test_deletion_of_an_item_without_a_valid_key_is_ignored() -> None:
    deletion = {"dynamodb": {"Keys": {"pass_id": {"S": "no slash"}}, "OldImage": {"pass_id": {"S": "no slash"}}}}
    assert read_batch([deletion]).entries == []


def test_pass_with_an_unreadable_record_is_rechecked_and_has_no_entry() -> None:
    broken = {"dynamodb": {"Keys": {"pass_id": {"S": f"{TYPE}/P"}}, "NewImage": {"x": {"N": "?"}}}}
    batch = read_batch([record(1, "P", None, gate("A")), broken, record(3, "Q", None, gate("A"))])
    assert [unread.pass_id.serial_number for unread in batch.unread] == ["P"]
    assert [entry.pass_id for entry in batch.entries] == [PassId(TYPE, "Q")]


RECORD_KEYS = ("dynamodb", "Keys", "NewImage", "OldImage", "SequenceNumber", "ApproximateCreationDateTime")
ATTRIBUTE_KEYS = ("pass_id", "template", "fields", "S", "N", "M", "L", "B", "BOOL", "NULL", "SS", "NS", "BS")
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda values: (
        st.lists(values, max_size=3)
        | st.dictionaries(
            st.sampled_from(RECORD_KEYS + ATTRIBUTE_KEYS) | st.text(max_size=3),
            values,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(st.lists(st.fixed_dictionaries({"dynamodb": ANY_JSON}) | ANY_JSON, max_size=4))
def test_record_of_any_form_affects_no_other_pass(wrong: list[Any]) -> None:
    good = [record(1, "P", gate("A"), gate("B")), record(2, "Q", None, gate("A"))]
    batch = read_batch([good[0], *wrong, good[1]])
    changed = [entry.pass_id for entry in batch.entries if isinstance(entry, PassChange)]
    assert {PassId(TYPE, "P"), PassId(TYPE, "Q")} <= set(changed)


@pytest.mark.parametrize("depth", [40, 5000])
def test_image_of_any_depth_affects_no_other_pass(depth: int) -> None:
    nested: dict[str, Any] = {"S": "x"}
    for _ in range(depth):
        nested = {"L": [nested]}
    image = {"pass_id": {"S": f"{TYPE}/DEEP"}, "template": {"S": "t"}, "overrides": {"M": {"userInfo": nested}}}
    deep = {"dynamodb": {"Keys": {"pass_id": {"S": f"{TYPE}/DEEP"}}, "NewImage": image}}
    batch = read_batch([deep, record(2, "Q", None, gate("A"))])
    assert PassId(TYPE, "Q") in [entry.pass_id for entry in batch.entries]


CONTENTS = st.lists(st.sampled_from(["A", "B", "bad", "deleted"]), min_size=1, max_size=6)


@given(CONTENTS)
def test_count_of_a_batch_is_the_number_of_content_changes_since_the_pass_was_valid(contents: list[str]) -> None:
    """The pass is new; each record writes, or deletes, one item."""
    images = [None if content == "deleted" else BAD if content == "bad" else gate(content) for content in contents]
    records = [
        record(number, "P", old, new) for number, (old, new) in enumerate(zip([None, *images], images, strict=False))
    ]
    batch = read_batch(records)
    assert batch.unread == []
    content_changes = [
        (old, new) for old, new in zip([None, *images], images, strict=False) if old != new and (new or old) is not None
    ]
    assert sum(entry.count for entry in batch.entries) == len(content_changes)
    for entry in batch.entries:
        match images[-1]:
            case None:
                assert isinstance(entry, PassChange)
                assert entry.deleted
            case image if image is BAD:
                assert isinstance(entry, RefusedRecord)
            case image:
                assert isinstance(entry, PassChange)
                assert entry.item is not None
                assert {"gate": entry.item.fields["gate"]["value"]} == image["fields"]


def test_message_about_a_record_without_a_key_does_not_quote_it() -> None:
    (entry,) = read_batch([{"dynamodb": {"NewImage": {"x": {"N": "secret"}}}}]).entries
    assert isinstance(entry, RefusedRecord)
    assert (entry.key, entry.pass_id) == (WITHOUT_KEY, None)
    assert "secret" not in str(entry.error)

"""Tests of the JSON and the cells in which files contain the values of items."""

from hypothesis import given
from hypothesis import strategies as st

from infra.operate.bulk.cells import field_cell, from_json, read_field, to_json


@given(
    text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1) | st.sampled_from(["=1+1", "#N/A", "{}", "1"])
)
def test_exported_text_is_never_a_formula_and_is_read_back_unchanged(text: str) -> None:
    cell = field_cell(None, "member", text)
    assert not cell.startswith("=")
    assert read_field(None, "member", cell) in (text, {"value": text})


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
INTEGERS = st.integers(-(10**37), 10**37)
VALUES = st.recursive(
    st.one_of(
        *(st.none(), st.booleans(), INTEGERS, TEXTS, st.binary(), st.sets(TEXTS, min_size=1)),
        *(st.sets(INTEGERS, min_size=1), st.decimals(-(10**20), 10**20, allow_nan=False, places=8)),
    ),
    lambda members: st.lists(members, max_size=3) | st.dictionaries(TEXTS | st.just("$dynamodb"), members, max_size=3),
    max_leaves=8,
)


@given(VALUES)
def test_json_of_an_item_is_read_back_exactly(value: object) -> None:
    assert from_json(to_json(value)) == value

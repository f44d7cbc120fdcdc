"""Tests of the conversion of DynamoDB's attribute values."""

from base64 import b64encode
from decimal import Decimal
from typing import Any

import pytest
from boto3.dynamodb.types import Binary, TypeDeserializer, TypeSerializer
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.attributes import plain_item, plain_value
from chalicelib.core.errors import RefusedError

SCALARS = (
    st.none()
    | st.booleans()
    | st.text(max_size=10)
    | st.integers(-(10**37), 10**37).map(Decimal)
    | st.binary(min_size=1, max_size=10)
)
SETS = (
    st.frozensets(st.text(min_size=1, max_size=5), min_size=1, max_size=3)
    | st.frozensets(st.integers(-9, 9).map(Decimal), min_size=1, max_size=3)
    | st.frozensets(st.binary(min_size=1, max_size=5), min_size=1, max_size=3)
)
VALUES = st.recursive(
    SCALARS | SETS,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=5), values, max_size=3),
    max_leaves=8,
)


def comparable(value: Any) -> Any:  # noqa: ANN401 - values of boto3
    """Return a value of boto3 with its own type for binary values replaced by bytes."""
    if isinstance(value, Binary):
        return value.value
    if isinstance(value, dict):
        return {name: comparable(member) for name, member in value.items()}
    if isinstance(value, list):
        return [comparable(member) for member in value]
    return frozenset(map(comparable, value)) if isinstance(value, set) else value


@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=4))
def test_item_is_read_as_boto3_reads_it(item: dict[str, Any]) -> None:
    serialize, deserialize = TypeSerializer().serialize, TypeDeserializer().deserialize
    attributes = {name: serialize(value) for name, value in item.items()}
    assert plain_item(attributes) == {name: comparable(deserialize(value)) for name, value in attributes.items()}


def test_binary_values_of_a_stream_record_are_read_from_base64() -> None:
    text = b64encode(b"\0\xff").decode()
    assert plain_value({"B": text}) == b"\0\xff"
    assert plain_value({"BS": [text]}) == frozenset([b"\0\xff"])


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"S": "a", "N": "1"},
        {"X": "a"},
        {"N": "one"},
        {"N": None},
        {"B": "a"},
        {"L": 1},
        {"M": [1]},
        {"M": {"a": "b"}},
        {"SS": [[]]},
        "text",
        None,
    ],
    ids=repr,
)
def test_value_that_is_not_in_dynamodbs_form_is_refused(value: Any) -> None:  # noqa: ANN401 - of any type
    with pytest.raises(RefusedError, match="not in DynamoDB's form"):
        plain_value(value)

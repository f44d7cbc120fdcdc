"""Tests of DynamoDB's range of numbers, which is checked without computing with the numbers."""

import json
from decimal import Decimal

import pytest
from boto3.dynamodb.types import DYNAMODB_CONTEXT
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.numbers import NumberError, check_number, parse_number
from chalicelib.passes.item import PassItem
from chalicelib.passes.item_errors import ItemError

REFUSED = {
    "1e10000000": "out of DynamoDB's range",
    "1e5000": "out of DynamoDB's range",
    "1e126": "out of DynamoDB's range",
    "-1e126": "out of DynamoDB's range",
    "9.9e-131": "out of DynamoDB's range",
    "1e-99999999999999999999999999": "out of DynamoDB's range",
    "1e99999999999999999999999999": "out of DynamoDB's range",
    "1" + "0" * 126: "out of DynamoDB's range",
    "0.1234567890123456789012345678901234567890123": "has 43 digits; DynamoDB stores at most 38",
    "1" * 39: "has 39 digits",
    "Infinity": "is not a number",
    "-Infinity": "is not a number",
    "NaN": "is not a number",
    "sNaN": "is not a number",
    "1_000": "is not a number",
    "\uff11\uff12": "is not a number",
    "\u0661\u0662": "is not a number",
    "+1": "is not a number",
    "01": "is not a number",
    "1.": "is not a number",
    ".5": "is not a number",
    "0x10": "is not a number",
    " 1": "is not a number",
    "1\n": "is not a number",
    "": "is not a number",
}
ACCEPTED = {
    "1e125": Decimal("1e125"),
    "9.9999999999999999999999999999999999999e125": Decimal("9.9999999999999999999999999999999999999e125"),
    "1e-130": Decimal("1e-130"),
    "-0": Decimal(0),
    "-0.0e999999999999999": Decimal(0),
    "0.10": Decimal("0.1"),
    "1" + "0" * 125: Decimal("1e125"),
    "1." + "0" * 60: Decimal(1),
    "0." + "0" * 129 + "1": Decimal("1e-130"),
    "1e0000000000000000000000000002": Decimal(100),
}


@pytest.mark.parametrize("text", REFUSED)
def test_text_that_is_not_a_number_in_dynamodbs_range_is_refused(text: str) -> None:
    with pytest.raises(NumberError) as refused:
        parse_number(text)
    assert REFUSED[text] in str(refused.value)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("text", ACCEPTED)
def test_number_in_range_is_read_exactly(text: str) -> None:
    assert parse_number(text) == ACCEPTED[text]
    assert str(parse_number(text))[0] != "-" or text.startswith("-1")


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_text_and_decimal_of_a_number_are_accepted_or_refused_alike(value: Decimal) -> None:
    """And boto3 accepts every accepted number."""
    try:
        read = parse_number(str(value))
    except NumberError:
        with pytest.raises(NumberError):
            check_number(value)
    else:
        check_number(value)
        assert read == value
        assert DYNAMODB_CONTEXT.create_decimal(read) == value


@given(st.integers())
def test_text_and_int_of_a_number_are_accepted_or_refused_alike(value: int) -> None:
    try:
        parse_number(str(value))
    except NumberError:
        with pytest.raises(NumberError):
            check_number(value)
    else:
        check_number(value)


@pytest.mark.parametrize(
    "number",
    [
        *map(Decimal, ("1e10000000", "-1e10000000", "1e-10000000", "NaN", "sNaN", "Infinity", "1." + "1" * 60)),
        *(10**5000, 1 << 5_000_000, 1e300, float("nan"), float("-inf")),
    ],
    ids=lambda number: f"{number.bit_length()}-bits" if isinstance(number, int) else str(number)[:20],
)
@pytest.mark.parametrize("place", ["fields", "overrides"])
def test_item_with_a_number_out_of_range_is_refused_without_computing_with_it(number: object, place: str) -> None:
    """The message names the attribute and is short: it does not contain the whole number."""
    item = {"pass_id": "pass.com.acme/1", "template": "t", place: {"points": {"value": [number]}}}
    with pytest.raises(ItemError, match=rf"{place}\.points\.value\[0\]") as refused:
        PassItem.parse(item)
    assert len(json.dumps(str(refused.value))) < 250

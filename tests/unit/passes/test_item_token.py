"""Tests of the token of a pass item, which is read without the rest of the item."""

from decimal import Decimal

import pytest

from chalicelib.core.identifiers import AuthenticationToken, PassId
from chalicelib.passes.item_errors import ItemError
from chalicelib.passes.item_token import parse_authentication_token

PASS = PassId("pass.com.acme.boarding", "1")


def test_item_without_a_token_has_none() -> None:
    assert parse_authentication_token(PASS, {}) is None


def test_token_is_read_whatever_the_rest_of_the_item_is() -> None:
    attributes = {"authentication_token": "t" * 16, "template": Decimal(1)}
    assert parse_authentication_token(PASS, attributes) == AuthenticationToken("t" * 16)


@pytest.mark.parametrize("value", [Decimal(1), True, b"t" * 16, ["t" * 16]])
def test_value_other_than_a_string_is_refused(value: object) -> None:
    with pytest.raises(ItemError, match="'authentication_token': must be a string"):
        parse_authentication_token(PASS, {"authentication_token": value})


def test_invalid_token_is_refused_without_being_quoted() -> None:
    with pytest.raises(ItemError) as refused:
        parse_authentication_token(PASS, {"authentication_token": "s3cret s3cret s3cret"})
    assert refused.value.attribute == "authentication_token"
    assert "s3cret" not in str(refused.value)

"""Tests of the keys of items."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.errors import RefusedError
from infra.operate.passes.table import check_key


@given(st.text(max_size=900))
def test_key_is_accepted_if_dynamodb_can_store_it(text: str) -> None:
    if 1 <= len(text.encode(errors="surrogatepass")) <= 2048 and not any("\ud800" <= each <= "\udfff" for each in text):
        assert check_key(text) == text
    else:
        with pytest.raises(RefusedError):
            check_key(text)


@pytest.mark.parametrize(
    ("text", "message"), [("", "this one has 0"), ("é" * 1025, "this one has 2,050"), ("\udc80", "not valid Unicode")]
)
def test_other_key_is_refused_with_its_size(text: str, message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        check_key(text)

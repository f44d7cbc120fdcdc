"""Tests of error messages that quote text from outside: they are short, on one line, and name the item."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.errors import (
    MAX_MESSAGE_CHARACTERS,
    MAX_SHOWN_CHARACTERS,
    RefusedError,
    excerpt,
    loggable,
    shorten,
)
from chalicelib.core.identifiers import IdentifierError, PassId, PushToken
from chalicelib.passes.item import PassItem
from chalicelib.passes.template import Template

ANY_TEXT = st.text(st.characters(codec=None), max_size=3000)


@given(ANY_TEXT)
def test_quoted_text_is_short_printable_and_can_be_encoded(text: str) -> None:
    assert len(excerpt(text)) <= MAX_SHOWN_CHARACTERS
    assert len(shorten(text)) <= MAX_MESSAGE_CHARACTERS
    for quoted in (excerpt(text), shorten(text)):
        assert quoted.isprintable()
        assert quoted.encode() is not None


@given(st.text(st.characters(categories=["L", "N", "P"]), max_size=MAX_SHOWN_CHARACTERS))
def test_short_printable_text_is_quoted_unchanged(text: str) -> None:
    assert excerpt(text) == text


def test_control_characters_are_escaped() -> None:
    assert excerpt("a\nb\x1b[2J\u202e") == "a\\nb\\x1b[2J\\u202e"


LONG = "\x1b" + "x" * 400_000


@pytest.mark.parametrize(
    "attributes",
    [
        {"pass_id": LONG},
        {"pass_id": f"pass.a/{LONG}"},
        {"pass_id": "pass.a/1", "template": LONG},
        {"pass_id": "pass.a/1", "template": "t", "fields": {LONG: True}},
        {"pass_id": "pass.a/1", "template": "t", "overrides": {LONG: {LONG: b"x"}}},
        {"pass_id": "pass.a/1", "template": "t", "authentication_token": LONG},
    ],
    ids=["key", "serial number", "template", "field", "override", "token"],
)
def test_message_about_an_item_of_any_size_is_short_and_printable(attributes: dict[str, object]) -> None:
    with pytest.raises(RefusedError) as refused:
        PassItem.parse(attributes)
    assert len(str(refused.value)) <= MAX_MESSAGE_CHARACTERS
    assert str(refused.value).isprintable()


def test_message_about_a_template_with_a_long_path_is_short() -> None:
    with pytest.raises(RefusedError) as refused:
        Template.parse("t", {"pass.json": b"{}", f"../{LONG}": b""})
    assert len(str(refused.value)) <= MAX_MESSAGE_CHARACTERS


def test_error_of_the_service_is_logged_with_its_message_and_other_errors_by_type() -> None:
    """Messages of other errors may contain secrets."""
    with pytest.raises(IdentifierError) as refused:
        PassId.parse("no-slash")
    assert loggable(refused.value) == str(refused.value)
    assert loggable(ValueError(PushToken("secret").value)) == "ValueError"

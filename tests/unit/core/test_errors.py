"""Error messages that repeat what others wrote: limited, on one line, and still naming the thing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.errors import (
    MAX_MESSAGE_CHARACTERS,
    MAX_SHOWN_CHARACTERS,
    RefusedError,
    limited,
    loggable,
    shown,
)
from chalicelib.core.identifiers import IdentifierError, PassId, PushToken
from chalicelib.passes.item import PassItem
from chalicelib.passes.template import Template

ANY_TEXT = st.text(st.characters(codec=None), max_size=3000)


@given(ANY_TEXT)
def test_what_is_shown_is_short_printable_and_can_be_encoded(text: str) -> None:
    assert len(shown(text)) <= MAX_SHOWN_CHARACTERS
    assert len(limited(text)) <= MAX_MESSAGE_CHARACTERS
    for said in (shown(text), limited(text)):
        assert said.isprintable()
        assert said.encode() is not None


@given(st.text(st.characters(categories=["L", "N", "P"]), max_size=MAX_SHOWN_CHARACTERS))
def test_what_is_short_and_printable_is_shown_as_it_is(text: str) -> None:
    assert shown(text) == text


def test_control_characters_are_escaped() -> None:
    assert shown("a\nb\x1b[2J\u202e") == "a\\nb\\x1b[2J\\u202e"


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
def test_an_item_of_any_size_is_refused_in_few_words(attributes: dict[str, object]) -> None:
    with pytest.raises(RefusedError) as refused:
        PassItem.parse(attributes)
    assert len(str(refused.value)) <= MAX_MESSAGE_CHARACTERS
    assert str(refused.value).isprintable()


def test_a_template_of_any_kind_is_refused_in_few_words() -> None:
    with pytest.raises(RefusedError) as refused:
        Template.parse("t", {"pass.json": b"{}", f"../{LONG}": b""})
    assert len(str(refused.value)) <= MAX_MESSAGE_CHARACTERS


def test_an_error_of_ours_is_logged_with_its_message_and_one_of_others_by_its_kind() -> None:
    """Others' messages may repeat what must not be logged."""
    with pytest.raises(IdentifierError) as ours:
        PassId.parse("no-slash")
    assert loggable(ours.value) == str(ours.value)
    assert loggable(ValueError(PushToken("secret").value)) == "ValueError"

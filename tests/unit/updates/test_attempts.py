"""Tests of the count of attempts in a push task's message."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.updates.attempts import attempts_of, with_attempts

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=5), values, max_size=3),
    max_leaves=6,
)
MESSAGES = st.dictionaries(st.text(max_size=5).filter(lambda key: key != "attempts"), JSON, max_size=4)


@given(MESSAGES, st.integers(0, 500), st.integers(1, 500))
def test_count_is_read_back_and_the_message_keeps_its_content(
    message: dict[str, object], first: int, second: int
) -> None:
    text = with_attempts(json.dumps(message), first)
    assert attempts_of(text) == first
    again = with_attempts(text, second)
    assert attempts_of(again) == second
    assert json.loads(again) == {**message, "attempts": second}


def test_message_without_attempts_is_unchanged() -> None:
    assert with_attempts('{ "kind":"devices" }', 0) == '{ "kind":"devices" }'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not JSON",
        '["attempts"]',
        '"attempts"',
        "{}",
        '{"attempts": "3"}',
        '{"attempts": -1}',
        '{"attempts": null}',
        '{"attempts": 1.5}',
        '{"attempts": 1',
    ],
)
def test_message_without_a_valid_count_has_0_attempts(text: str) -> None:
    assert attempts_of(text) == 0


@given(st.text(max_size=40) | JSON.map(json.dumps))
def test_any_text_has_a_count(text: str) -> None:
    assert attempts_of(text) >= 0

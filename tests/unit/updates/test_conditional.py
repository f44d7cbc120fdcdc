"""Tests of conditional requests: the headers that a device sends are compared with the pass's version."""

import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.updates.conditional import Conditions, validators_of
from chalicelib.updates.protocol import Version


@pytest.fixture(autouse=True)
def local_time() -> Iterator[None]:
    """Restore the machine's time zone after a test that changes it."""
    yield
    time.tzset()


VERSION = Version(1_764_000_000, revision=3)


@pytest.mark.parametrize(
    "date",
    [
        "Thu, 1 Jan 99999999999999999999 00:00:00 GMT",
        "Thu, 1 Jan 2026 99999999999999999999:00:00 GMT",
        "Thu, 1 Jan 2026 00:00:00 +99999999999999999999",
        "Thu, 1 Jan 0000 00:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "Mon, 1 Jan 0001 00:00:00 +2359",
        *("", ",", "()", "(", " ", "Thu,", "\0", "1 Jan", "9" * 5000),
    ],
)
def test_invalid_or_extreme_date_raises_nothing(date: str) -> None:
    assert Conditions(if_modified_since=date).not_modified(VERSION) in (True, False)


PIECES = st.sampled_from(
    [*"0123456789,:;()+-. \t", "Thu", "Jan", "GMT", "UTC", "2026", "00", "9999999999999999999", "\u0660"]
)


@given(st.lists(PIECES, max_size=14).map("".join) | st.text(max_size=40))
def test_text_in_place_of_a_date_raises_nothing(date: str) -> None:
    assert Conditions(if_modified_since=date).not_modified(VERSION) in (True, False)


@given(st.integers(0, 2**33), st.integers(0, 2**33))
def test_date_of_a_response_is_compared_as_a_number(modified_at: int, seen: int) -> None:
    since = validators_of(Version(seen, revision=1)).last_modified
    assert Conditions(if_modified_since=since).not_modified(Version(modified_at, revision=2)) == (modified_at <= seen)


def test_validators_are_the_time_of_the_stamp_and_a_weak_etag() -> None:
    assert validators_of(VERSION).headers == {
        "Last-Modified": "Mon, 24 Nov 2025 16:00:00 GMT",
        "ETag": 'W/"1764000000-3"',
    }


@pytest.mark.parametrize(
    ("if_none_match", "expected"),
    [
        ('W/"1764000000-3"', True),
        ('"1764000000-3"', True),
        ("*", True),
        ('"a", W/"1764000000-3"', True),
        ('W/"1764000000-2"', False),
        ('W/"1763999999-3"', False),
        ("1764000000-3", False),
        ("", False),
    ],
)
def test_etag_is_compared_weakly(if_none_match: str, *, expected: bool) -> None:
    assert Conditions(if_none_match=if_none_match).not_modified(VERSION) is expected


@given(st.integers(0, 2**33), st.integers(0, 9), st.integers(0, 2**33), st.integers(0, 9))
def test_etag_of_a_response_matches_the_same_version_alone(at: int, revision: int, later: int, again: int) -> None:
    seen, current = Version(at, revision=revision), Version(later, revision=again)
    assert Conditions(if_none_match=validators_of(seen).etag).not_modified(current) == (seen == current)


def test_etag_takes_precedence_over_the_date() -> None:
    date = validators_of(VERSION).last_modified
    assert not Conditions(if_none_match='"other"', if_modified_since=date).not_modified(VERSION)
    assert Conditions(if_none_match="*", if_modified_since="Thu, 01 Jan 1970 00:00:00 GMT").not_modified(VERSION)


@pytest.mark.parametrize("date", ["(null)", "", "yesterday", "-1"])
def test_invalid_date_is_ignored(date: str) -> None:
    assert not Conditions(if_modified_since=date).not_modified(VERSION)


def test_request_without_conditions_gets_the_pass() -> None:
    assert not Conditions().not_modified(VERSION)


def test_date_without_a_zone_is_in_gmt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the machine has another time zone."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    assert Conditions(if_modified_since="Mon Nov 24 16:00:00 2025").not_modified(VERSION)
    assert not Conditions(if_modified_since="Mon Nov 24 15:59:59 2025").not_modified(VERSION)

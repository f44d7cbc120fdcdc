"""Conditional requests: what a device sends is compared with the version, or left aside."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.updates.conditional import Conditions, validators_of
from chalicelib.updates.protocol import Version

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
def test_a_date_that_cannot_be_read_or_does_not_fit_never_does_harm(date: str) -> None:
    assert Conditions(if_modified_since=date).not_modified(VERSION) in (True, False)


PIECES = st.sampled_from(
    [*"0123456789,:;()+-. \t", "Thu", "Jan", "GMT", "UTC", "2026", "00", "9999999999999999999", "\u0660"]
)


@given(st.lists(PIECES, max_size=14).map("".join) | st.text(max_size=40))
def test_no_date_does_harm(date: str) -> None:
    assert Conditions(if_modified_since=date).not_modified(VERSION) in (True, False)


@given(st.integers(0, 2**33), st.integers(0, 2**33))
def test_a_date_that_was_handed_out_is_compared_as_a_number(modified_at: int, seen: int) -> None:
    since = validators_of(Version(seen, revision=1)).last_modified
    assert Conditions(if_modified_since=since).not_modified(Version(modified_at, revision=2)) == (modified_at <= seen)

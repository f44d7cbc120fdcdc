"""Tags: what this service handed out is understood, everything else lists every pass."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.updates.protocol import WINDOW_SLACK_SECONDS, Tag

W = 25
NOW = 1_764_000_000.0
MOMENTS = st.floats(NOW - 1e8, NOW + 1e9)


@given(issued_at=MOMENTS, passed=st.floats(0, 1e8), ahead=st.floats(0, WINDOW_SLACK_SECONDS))
def test_a_tag_that_was_handed_out_is_understood_later_by_any_clock(
    issued_at: float, passed: float, ahead: float
) -> None:
    """Also by a machine whose clock is behind the one that issued it, by as much as clocks may disagree."""
    tag = Tag.parse(str(Tag.at(issued_at + ahead, window_seconds=W)))
    assert tag is not None
    assert tag.can_be_ours(issued_at + passed, window_seconds=W)


@given(now=MOMENTS, ahead=st.integers(WINDOW_SLACK_SECONDS + 1, 10**17))
def test_a_tag_of_the_future_is_not_ours(now: float, ahead: int) -> None:
    """Taken at its word, it would keep every change until then from the device that sends it."""
    tag = Tag.parse(str(int(now) - W + ahead))
    assert tag is not None
    assert not tag.can_be_ours(now, window_seconds=W)


@pytest.mark.parametrize("text", ["01", "00", "0001764000000", "+1", " 1", "1 ", "1_0", "9" * 19])
def test_digits_that_are_written_as_no_tag_is_are_none(text: str) -> None:
    assert Tag.parse(text) is None


def test_the_first_tag_of_all_is_one() -> None:
    assert Tag.parse(str(Tag.at(0, window_seconds=W))) == Tag(0)

"""Tests of the update protocol: tags, versions, and which passes a list call names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.updates.protocol import (
    RECHECK_REQUEST_SECONDS,
    WINDOW_SLACK_SECONDS,
    HeldPass,
    RecheckRequest,
    RecheckStamp,
    Tag,
    Version,
    window_seconds,
)

W = 25
NOW = 1_764_000_000.0
MOMENTS = st.floats(NOW - 1e8, NOW + 1e9)
SECONDS = st.integers(1_700_000_000, 1_700_000_100)
"""Few enough that two of them are often equal."""


@given(issued_at=MOMENTS, passed=st.floats(0, 1e8), ahead=st.floats(0, WINDOW_SLACK_SECONDS))
def test_issued_tag_is_recognized_later_by_any_clock(issued_at: float, passed: float, ahead: float) -> None:
    """Also by a machine whose clock is behind the clock of the machine that issued the tag, within the slack."""
    tag = Tag.parse(str(Tag.at(issued_at + ahead, window_seconds=W)))
    assert tag is not None
    assert tag.can_be_issued(issued_at + passed, window_seconds=W)


@given(now=MOMENTS, ahead=st.integers(WINDOW_SLACK_SECONDS + 1, 10**17))
def test_tag_of_the_future_is_not_recognized(now: float, ahead: int) -> None:
    """If it were, it would hide every change until then from the device that sent it."""
    tag = Tag.parse(str(int(now) - W + ahead))
    assert tag is not None
    assert not tag.can_be_issued(now, window_seconds=W)


@pytest.mark.parametrize("text", [None, "", "01", "00", "0001764000000", "+1", "-1", " 1", "1 ", "1_0", "9" * 19, "٣"])
def test_text_in_another_form_is_not_a_tag(text: str | None) -> None:
    assert Tag.parse(text) is None


def test_earliest_tag_is_read_back() -> None:
    assert Tag.parse(str(Tag.at(0, window_seconds=W))) == Tag(0)


@given(as_of=MOMENTS, delay=st.floats(0, W - 1))
def test_stamp_in_progress_at_a_list_call_is_later_than_the_tag(as_of: float, delay: float) -> None:
    """A stamp takes its time from the clock less than W - 1 seconds before it is committed: one is for rounding."""
    held = HeldPass(Version(int(as_of - delay), revision=2), registered_at=0)
    assert held.is_changed_since(Tag.at(as_of, window_seconds=W))


@given(st.none() | SECONDS, SECONDS, SECONDS)
def test_list_call_names_a_pass_that_changed_or_was_registered_after_the_tag(
    modified_at: int | None, registered_at: int, tag: int
) -> None:
    version = None if modified_at is None else Version(modified_at, revision=1)
    held = HeldPass(version, registered_at)
    assert held.is_changed_since(Tag(tag)) == ((modified_at or 0) > tag or registered_at > tag)


@given(st.none() | SECONDS.map(lambda at: Version(at, revision=1)), SECONDS)
def test_list_call_without_a_tag_names_every_pass(version: Version | None, registered_at: int) -> None:
    assert HeldPass(version, registered_at).is_changed_since(None)


@pytest.mark.parametrize("tag", [None, Tag(0)])
def test_list_call_names_no_deleted_pass_and_none_that_is_being_unregistered(tag: Tag | None) -> None:
    assert not HeldPass(Version(5, revision=1, deleted=True), registered_at=5).is_changed_since(tag)
    assert not HeldPass(Version(5, revision=1), registered_at=None).is_changed_since(tag)


@given(as_of=MOMENTS, delay=st.floats(0, W))
def test_version_before_the_first_stamp_is_earlier_than_that_stamp(as_of: float, delay: float) -> None:
    """So the `Last-Modified` of such a download never makes the stamped pass look unchanged."""
    before = Version.before_any_stamp(as_of, window_seconds=W)
    assert before.modified_at < int(as_of - delay)
    assert before.revision == 0


@pytest.mark.parametrize(("revision", "expected"), [(0, False), (1, False), (2, True)])
def test_pass_has_changed_since_its_issue_from_the_second_revision_on(revision: int, *, expected: bool) -> None:
    assert Version(5, revision=revision).changed_since_issue is expected


def test_window_is_the_push_functions_timeout_and_the_slack() -> None:
    assert window_seconds(push_timeout_seconds=20) == 20 + WINDOW_SLACK_SECONDS


@given(st.integers(-10, RECHECK_REQUEST_SECONDS + 10), st.none() | st.integers(0, 2), st.integers(0, 2))
def test_recheck_is_pending_until_a_stamp_or_the_time_limit(age: int, modified_at: int | None, requested: int) -> None:
    version = None if modified_at is None else Version(modified_at, revision=1)
    pending = RecheckRequest(requested_at=1000, modified_at=requested).is_pending(version, now=1000 + age)
    assert pending == ((modified_at or 0) == requested and 0 <= age < RECHECK_REQUEST_SECONDS)


@given(st.floats(0, 100), st.integers(0, 100), st.integers(0, 100))
def test_stamp_of_a_recheck_covers_failures_that_are_certainly_earlier(
    failed_at: float, stamped_at: int, now: int
) -> None:
    covered = RecheckStamp("message", stamped_at).covers(failed_at, now=now)
    assert covered == (failed_at + WINDOW_SLACK_SECONDS <= stamped_at <= now)

"""Tests of the rules of recent answers: they say "changed", or nothing at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.identifiers import AuthenticationToken
from chalicelib.updates.conditional import Conditions, validators_of
from chalicelib.updates.protocol import Tag, Version
from chalicelib.updates.recent import CACHE_SECONDS, PUSH_DELAY_SECONDS, RecentPass, RecentVersion, can_be_kept

TOKEN = AuthenticationToken("t" * 32)
URL = "https://a.example"
VERSION = Version(1_800_000_000, revision=3, fanned_out=True)
RECENT = RecentVersion(VERSION, 1_800_000_005.0, RecentPass(b"pass", TOKEN, URL, "boarding"))
times = st.integers(1_799_999_990, 1_800_000_010)


def since(modified_at: int) -> Conditions:
    return Conditions(if_modified_since=validators_of(Version(modified_at, 1)).last_modified)


@given(times)
def test_device_gets_the_recent_pass_only_if_its_own_is_older(modified_at: int) -> None:
    found = RECENT.for_device(TOKEN, since(modified_at), web_service_url=URL)
    assert (found is not None) == (modified_at < VERSION.modified_at)


@given(times)
def test_pass_is_named_from_a_recent_version_only_if_that_is_later_than_the_tag(seconds: int) -> None:
    assert RECENT.is_after(Tag(seconds)) == (VERSION.modified_at > seconds)
    assert RECENT.is_after(None)


@pytest.mark.parametrize(
    ("conditions", "older"),
    [
        (Conditions(), True),
        (Conditions(if_none_match='W/"1700000000-1"'), False),  # it does not tell which one is older
        (Conditions(if_none_match='W/"1700000000-1"', if_modified_since=since(1_700_000_000).if_modified_since), True),
        (Conditions(if_none_match="*", if_modified_since=since(1_700_000_000).if_modified_since), False),
        (Conditions(if_modified_since="(null)"), False),
    ],
)
def test_only_a_device_that_certainly_has_an_older_version_gets_the_recent_pass(
    conditions: Conditions, *, older: bool
) -> None:
    assert (RECENT.for_device(TOKEN, conditions, web_service_url=URL) is not None) == older


def test_recent_pass_is_for_its_token_and_url_only() -> None:
    assert RECENT.for_device(AuthenticationToken("u" * 32), Conditions(), web_service_url=URL) is None
    assert RECENT.for_device(TOKEN, Conditions(), web_service_url="https://b.example") is None
    assert RecentVersion(VERSION, 0.0).for_device(TOKEN, Conditions(), web_service_url=URL) is None


def test_only_versions_of_widely_held_passes_are_kept() -> None:
    assert can_be_kept(VERSION)
    assert not can_be_kept(None)
    assert not can_be_kept(Version(1_800_000_000, 3))
    assert not can_be_kept(Version(1_800_000_000, 3, deleted=True, fanned_out=True))


def test_pushes_start_later_than_an_answer_is_kept() -> None:
    """SQS delays a message by whole seconds; the difference is for clocks that run at different speeds."""
    assert CACHE_SECONDS + 0.5 < PUSH_DELAY_SECONDS


def test_pass_is_not_shown_in_a_representation() -> None:
    assert "b'pass'" not in repr(RECENT)

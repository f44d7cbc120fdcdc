"""Tests of the limits of the strict rules, and of the buckets and names that they are kept with."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.local.strict.limits import Limits, Names, TokenBucket, json_error


@given(rate=st.floats(1, 1e4), gaps=st.lists(st.floats(0, 3), max_size=60))
def test_token_bucket_admits_its_burst_and_then_its_rate(rate: float, gaps: list[float]) -> None:
    bucket = TokenBucket(rate=rate, burst=rate, now=0.0)
    now = admitted = 0.0
    for gap in gaps:
        now += gap
        while bucket.admits(now):
            bucket.take(rate / 4)
            admitted += rate / 4
    assert admitted <= rate + rate * now + rate / 4


def test_debt_is_paid_before_more_is_admitted() -> None:
    bucket = TokenBucket(rate=2, burst=4, now=0)
    assert bucket.admits(0)
    bucket.take(10)
    assert not bucket.admits(3.4)
    assert bucket.admits(3.5)


def test_burst_is_at_least_one_token() -> None:
    assert TokenBucket(rate=1, burst=0, now=0).admits(0)


def test_only_known_limits_are_changed() -> None:
    limits = Limits()
    limits.change({"account_rate": 5, "existing_names": False})
    assert (limits.account_rate, limits.existing_names) == (5, False)
    with pytest.raises(KeyError, match="not a limit: rate"):
        limits.change({"rate": 1, "account_rate": 6})
    assert limits.account_rate == 5, "nothing of an invalid change is made"


def test_deleted_name_is_free_later() -> None:
    names = Names()
    assert names.is_free("a", after=60)
    names.mark_deleted("a")
    assert not names.is_free("a", after=60)
    assert names.is_free("a", after=0)
    assert names.is_free("b", after=60)


def test_error_has_its_code_where_sdks_read_it() -> None:
    status, headers, body = json_error("Throttled", "too many", 429)
    assert (status, headers["x-amzn-errortype"]) == (429, "Throttled")
    assert b'"__type": "Throttled"' in bytes(body)  # type: ignore[arg-type]

"""Tests of what an account and a stage's gateway allow."""

import contextlib
import json

import pytest
from chalice.app import SQSEventConfig
from hypothesis import given
from hypothesis import strategies as st

from app import app
from infra.deploy.account import NEEDED, check_concurrency, check_push_rate, check_region
from infra.deploy.errors import DeployError
from tests.support.cloud import Cloud


def limits(*, total: int, unreserved: int) -> str:
    return json.dumps(
        {
            "AccountLimit": {"ConcurrentExecutions": total, "UnreservedConcurrentExecutions": unreserved},
            "AccountUsage": {},
        }
    )


@pytest.mark.parametrize(
    ("total", "unreserved", "push", "fits"),
    [(10, 10, 0, True), (10, 10, 1, False), (1000, 1000, 40, True), (1000, 120, 40, False), (1000, 1000, 901, False)],
)
def test_concurrency_beyond_the_accounts_limit_is_refused(
    cloud: Cloud, total: int, unreserved: int, push: int, *, fits: bool
) -> None:
    cloud.says("/2016-08-19/account-settings", limits(total=total, unreserved=unreserved))
    refusal = pytest.raises(DeployError, match=f"the account's concurrency limit is {total}")
    with contextlib.nullcontext() if fits else refusal:
        check_concurrency({"PushReservedConcurrency": str(push)})


def test_executions_that_pushes_need_are_those_of_the_event_sources() -> None:
    (worker,) = (source for source in app.event_sources if isinstance(source, SQSEventConfig))
    assert {"PushReservedConcurrency": 16, "PushWorkerReservedConcurrency": worker.maximum_concurrency} == NEEDED


def test_throttle_limits_beyond_the_accounts_concurrency_are_warned_about(cloud: Cloud) -> None:
    cloud.says("/2016-08-19/account-settings", limits(total=10, unreserved=10))
    said: list[str] = []
    check_concurrency({}, on_progress=said.append)
    assert "below the 836 of 800 calls" in said[0]
    assert "pushes would wait, unless you reserve" in said[0]
    cloud.says("/2016-08-19/account-settings", limits(total=1000, unreserved=1000))
    check_concurrency({}, on_progress=said.append)
    assert len(said) == 1, "with the default limits, phones leave the executions that push need"
    check_concurrency({"ThrottleBurst": "665"}, on_progress=said.append)
    assert "--set PushReservedConcurrency=16 --set PushWorkerReservedConcurrency=20" in said[1]
    reserved = {"PushReservedConcurrency": "16", "PushWorkerReservedConcurrency": "20"}
    check_concurrency({"ThrottleBurst": "5000", **reserved}, on_progress=said.append)
    assert "pushes would wait" not in said[2]
    check_concurrency({"ThrottleBurst": "500", **reserved}, on_progress=said.append)
    assert len(said) == 3


def test_concurrency_that_the_stage_already_reserves_is_not_counted_again(cloud: Cloud) -> None:
    cloud.says("/2016-08-19/account-settings", limits(total=1000, unreserved=100))
    check_concurrency({"PushReservedConcurrency": "40"}, reserved_now=40)
    with pytest.raises(DeployError):
        check_concurrency({"PushReservedConcurrency": "41"}, reserved_now=40)


def test_region_with_all_services_or_unknown_is_accepted() -> None:
    check_region("eu-central-1")
    check_region("cn-north-1")
    check_region("xx-newer-1")  # botocore does not know it yet


@pytest.mark.parametrize(("throttle_rate", "push_rate"), [("3000", "1"), ("3000", "1500"), ("3000", ""), ("2", "")])
def test_push_rate_that_the_gateway_can_serve_is_accepted(throttle_rate: str, push_rate: str) -> None:
    check_push_rate({"ThrottleRate": throttle_rate, "PushRateLimit": push_rate})


@pytest.mark.parametrize(
    ("throttle_rate", "push_rate", "arithmetic"),
    [
        ("3000", "1501", "so that is 3002 requests per second, but ThrottleRate lets 3000 through; .* 1 to 1500"),
        ("500", "1000", "so that is 2000 requests per second, but ThrottleRate lets 500 through; .* 1 to 250"),
        ("3000", "0", "of which ThrottleRate lets 3000 through; .* 1 to 1500"),
        ("3000", "-5", "not a whole number of at least 1; .* 1 to 1500"),
        ("3000", "1.5", "not a whole number of at least 1; .* 1 to 1500"),
        ("3000", "²", "not a whole number of at least 1; .* 1 to 1500"),
        ("1", "", "but ThrottleRate lets only 1 per second through; set ThrottleRate to at least 2"),
    ],
)
def test_push_rate_beyond_the_gateway_is_refused(throttle_rate: str, push_rate: str, arithmetic: str) -> None:
    """The refusal shows the arithmetic: each notified phone sends two requests."""
    with pytest.raises(DeployError, match=rf"PushRateLimit {push_rate}.*{arithmetic}") as refused:
        check_push_rate({"ThrottleRate": throttle_rate, "PushRateLimit": push_rate})
    assert "each notified phone sends 2 requests" in str(refused.value)


@given(throttle_rate=st.integers(2, 20_000), push_rate=st.integers(0, 20_000))
def test_accepted_rate_lets_every_notified_phone_through(throttle_rate: int, push_rate: int) -> None:
    try:
        check_push_rate({"ThrottleRate": str(throttle_rate), "PushRateLimit": str(push_rate)})
    except DeployError:
        assert push_rate == 0 or 2 * push_rate > throttle_rate
    else:
        assert 0 < 2 * push_rate <= throttle_rate

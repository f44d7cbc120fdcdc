"""Claims of the documentation about rollouts to up to a million phones, simulated in full: seconds each."""

import math
from dataclasses import replace

import pytest

from infra.simulation.constants import Constants, aws
from infra.simulation.rollout import Rollout, RolloutResult, simulate

DEFAULT = aws(gateway_rate=3000, gateway_burst=500, devices_per_second=1000)
LARGE = aws(gateway_rate=10_000, gateway_burst=5000, devices_per_second=5000)
UNCACHED = replace(LARGE, cache_seconds=0)
MILLION = 1_000_000


@pytest.mark.parametrize("passes", [1, MILLION])
def test_a_million_phones_take_less_than_twenty_minutes_with_default_quotas(passes: int) -> None:
    result = simulate(Rollout(MILLION, passes, paced=True), DEFAULT)
    assert (round(result.refused), round(result.gave_up)) == (0, 0)
    assert result.last_s < 20 * 60


@pytest.mark.parametrize("passes", [1, MILLION])
def test_a_million_phones_take_less_than_four_minutes_with_10_000_requests_per_second(passes: int) -> None:
    """`passwire simulate --phones 1000000 --set ThrottleRate=10000 --set ThrottleBurst=5000 --set PushRateLimit=5000`.

    A third of the rate kept free is the default; to keep it free takes longer.
    """
    result = simulate(Rollout(MILLION, passes, paced=True), LARGE)
    assert (round(result.refused), round(result.gave_up)) == (0, 0)
    assert result.last_s < 4 * 60


def test_unpaced_rollout_is_refused_and_given_up_by_most_phones() -> None:
    result = simulate(Rollout(MILLION, 1, paced=False), DEFAULT)
    assert result.refused > MILLION
    assert result.gave_up > MILLION / 2
    assert math.isinf(result.median_s)


def last_of_shared(stage: Constants, devices_per_second: float) -> RolloutResult:
    constants = replace(stage, devices_per_second=devices_per_second, lane_share=1.0)
    return simulate(Rollout(200_000, 1, paced=True), constants)


def test_recent_versions_serve_at_least_twice_the_phones_of_one_pass_if_the_gateway_can() -> None:
    """Without them, the row of the version is the limit: 1,500 phones per second. Each environment has its own."""
    without = last_of_shared(UNCACHED, 1450)
    assert (round(without.gave_up), without.failed < 0.01 * 200_000) == (0, True)
    assert last_of_shared(UNCACHED, 2000).failed > 0.1 * 200_000
    recent = last_of_shared(LARGE, 4500)
    assert (round(recent.refused), recent.failed < 0.01 * 200_000) == (0, True)
    assert without.last_s > 2 * recent.last_s


def test_recent_versions_are_read_by_each_environment() -> None:
    """Never less than by as many environments as the calls keep busy, once per second."""
    result = last_of_shared(LARGE, 4500)
    busy = LARGE.listing.seconds * 4500
    rollout_seconds = 200_000 / 4500
    lists, _ = result.read
    assert busy * rollout_seconds < lists < result.served[0]

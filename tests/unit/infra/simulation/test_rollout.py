"""Tests of the simulated rollout: nothing is lost, limits are kept, and pacing avoids refusals."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.core.phone_retries import Retries
from infra.simulation.constants import Constants, aws
from infra.simulation.limits import limits_of
from infra.simulation.rollout import Result, Rollout, simulate

DEFAULT = aws(gateway_rate=3000, gateway_burst=500, devices_per_second=1000)
LARGE = aws(gateway_rate=10_000, gateway_burst=5000, devices_per_second=5000)
UNCACHED = replace(LARGE, cache_seconds=0)
MILLION = 1_000_000
WARM = 5
"""Seconds after which execution environments are warm."""


@st.composite
def stages(draw: st.DrawFn) -> Constants:
    """Stages with every limit low enough to matter."""
    return replace(
        DEFAULT,
        gateway_rate=draw(st.floats(20, 5000)),
        gateway_burst=draw(st.floats(1, 1000)),
        devices_per_second=draw(st.floats(10, 2000)),
        unpaced_devices_per_second=draw(st.floats(100, 50_000)),
        partition_read_units=draw(st.floats(20, 5000)),
        concurrency=draw(st.floats(1, 1000)),
        cache_seconds=draw(st.sampled_from((0, 1))),
        retries=Retries(attempts=draw(st.integers(1, 5)), first_delay_seconds=draw(st.floats(0.1, 5))),
    )


rollouts = st.builds(Rollout, phones=st.integers(1, 3000), passes=st.sampled_from((1, 1, 5)), paced=st.booleans()).map(
    lambda rollout: replace(rollout, passes=min(rollout.passes, rollout.phones))
)


@settings(max_examples=15)
@given(rollouts, stages())
def test_each_phone_shows_the_change_or_gives_up(rollout: Rollout, stage: Constants) -> None:
    result = simulate(rollout, stage)
    assert result.updated + result.gave_up == pytest.approx(rollout.phones, abs=1)
    assert sum(second.pushes for second in result.seconds) == pytest.approx(rollout.phones, abs=1)
    lists, downloads = result.served
    assert lists >= downloads - 1
    assert downloads == pytest.approx(result.updated, abs=1)


@settings(max_examples=15)
@given(rollouts, stages())
def test_no_more_requests_are_served_than_the_limits_allow(rollout: Rollout, stage: Constants) -> None:
    result = simulate(rollout, stage)
    served = sum(result.served)
    duration = len(result.seconds)
    assert served <= stage.gateway_rate * (duration + 1) + stage.gateway_burst
    assert all(second.environments <= stage.concurrency + 1e-6 for second in result.seconds)
    if not stage.cache_seconds:
        units = result.served[0] * stage.listing.version_units + result.served[1] * stage.download.version_units
        assert units <= stage.partition_read_units * rollout.passes * (duration + 2)


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


def last_of_shared(stage: Constants, devices_per_second: float) -> Result:
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


def test_recent_versions_do_not_help_a_rollout_of_many_passes() -> None:
    result = simulate(Rollout(100_000, 1000, paced=True), DEFAULT)
    assert result.read == result.served


def test_limits_name_the_phones_per_second_of_each_part() -> None:
    def found(constants: Constants) -> dict[str, float]:
        return {limit.what: limit.phones_per_second for limit in limits_of(constants, passes=1)}

    parts = {"gateway": 5000, "Lambda, API": 9000}
    assert found(UNCACHED) == {**parts, "version row of a pass": 1500, "item of a pass": 3000}
    assert found(LARGE) == {**parts, "version row of a pass": 15_000, "item of a pass": 30_000}


def test_phones_take_longer_if_environments_start_cold() -> None:
    cold = simulate(Rollout(1000, 1, paced=True), DEFAULT)
    warm = simulate(Rollout(1000, 1, paced=True), replace(DEFAULT, cold_start_seconds=0))
    assert cold.first_s > warm.first_s + 0.5

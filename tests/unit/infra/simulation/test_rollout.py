"""Tests of the simulated rollout: nothing is lost, limits are kept, and pacing avoids refusals."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.core.phone_retries import Retries
from infra.simulation.constants import Constants, aws
from infra.simulation.rollout import Rollout, simulate

DEFAULT = aws(gateway_rate=3000, gateway_burst=500, devices_per_second=1000)
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


rollouts = st.builds(Rollout, phones=st.integers(1, 1000), passes=st.sampled_from((1, 1, 5)), paced=st.booleans()).map(
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


def test_recent_versions_do_not_help_a_rollout_of_many_passes() -> None:
    result = simulate(Rollout(10_000, 100, paced=True), DEFAULT)
    assert result.read == result.served


def test_phones_take_longer_if_environments_start_cold() -> None:
    cold = simulate(Rollout(1000, 1, paced=True), DEFAULT)
    warm = simulate(Rollout(1000, 1, paced=True), replace(DEFAULT, cold_start_seconds=0))
    assert cold.first_s > warm.first_s + 0.5


def test_calls_wait_until_they_can_be_received() -> None:
    """They are refused later, in their order, so that fewer are refused and fewer phones give up."""
    herd, at_once = Rollout(600, 1, paced=False), replace(DEFAULT, gateway_rate=10, gateway_burst=10)
    slowly = simulate(herd, replace(at_once, received_per_second=30))
    quickly = simulate(herd, at_once)
    assert quickly.refusal_s == 0
    assert 600 / 30 / 4 < slowly.refusal_s < 600 / 30
    assert slowly.refused < quickly.refused
    assert slowly.gave_up < quickly.gave_up
    assert all(second.refused <= 30 + 1e-6 for second in slowly.seconds)

"""Rates, costs and lanes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.updates.pacing import NARROW_DEVICES, Lane, PushRate, default_push_rate, lane_for


@given(
    rate=st.floats(min_value=0.1, max_value=10_000), sends=st.lists(st.integers(min_value=1, max_value=500), min_size=1)
)
def test_cost_of_sends_never_allows_more_than_the_rate(rate: float, sends: list[int]) -> None:
    """Each cost is rounded up, so that many small sends do not exceed the rate together."""
    seconds = sum(PushRate(rate).stage_cost(devices) for devices in sends) / 1_000_000
    assert sum(sends) <= rate * seconds * (1 + 1e-9)


@pytest.mark.parametrize(("devices", "lane"), [(1, Lane.NARROW), (NARROW_DEVICES, Lane.NARROW), (21, Lane.WIDE)])
def test_lane_depends_on_the_number_of_devices(devices: int, lane: Lane) -> None:
    assert lane_for(devices) is lane


def test_lane_leaves_a_share_of_the_rate() -> None:
    assert PushRate(100).stage_cost(90) == 900_000
    assert PushRate(100).lane_cost(90) == 1_000_000


def test_fan_outs_wait_for_the_stage_for_a_shorter_time_than_narrow_changes() -> None:
    """So they cannot fill the time that narrow changes wait for."""
    assert Lane.WIDE.patience_seconds < Lane.NARROW.patience_seconds


@pytest.mark.parametrize(("throttle_rate", "devices"), [(3000, 1000), (10_000, 3333), (1, 1)])
def test_default_rate_keeps_a_third_of_the_gateway_free(throttle_rate: int, devices: int) -> None:
    assert default_push_rate(throttle_rate) == devices

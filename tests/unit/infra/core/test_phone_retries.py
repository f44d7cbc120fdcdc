"""Tests of how phones repeat failed calls."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.core.phone_retries import Retries


def test_delays_grow() -> None:
    assert [Retries().delay_seconds(failed, 0.5) for failed in (1, 2, 3, 4)] == [5, 10, 20, 40]


@given(failed=st.integers(1, 8), chance=st.floats(0, 1), spread=st.floats(0, 1))
def test_random_deviation_is_within_the_spread(failed: int, chance: float, spread: float) -> None:
    middle = Retries().delay_seconds(failed, 0.5)
    delay = Retries(spread=spread).delay_seconds(failed, chance)
    assert delay == pytest.approx(middle * (1 + spread * (2 * chance - 1)))
    assert middle * (1 - spread) - 1e-9 <= delay <= middle * (1 + spread) + 1e-9

"""Tests of measuring age with two clocks."""

from hypothesis import given
from hypothesis import strategies as st

from chalicelib.aws.clocks import Clocks

SECONDS = st.floats(min_value=-1e6, max_value=1e6)


@given(wall=SECONDS, monotonic=SECONDS)
def test_age_is_the_longer_time_of_both_clocks(wall: float, monotonic: float) -> None:
    now = {"wall": 0.0, "monotonic": 0.0}
    clocks = Clocks(lambda: now["wall"], lambda: now["monotonic"])
    start = clocks.now()
    now.update(wall=wall, monotonic=monotonic)
    assert clocks.seconds_since(start) == max(wall, monotonic)

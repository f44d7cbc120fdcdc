"""Tests of limiting a rate."""

import time

from infra.operate.pace import Pace


def test_units_are_limited_to_the_rate() -> None:
    """The first wait returns at once, and each further one when the units before it are due."""
    pace = Pace(100)
    started = time.monotonic()
    for _ in range(4):
        pace.wait(5)
    assert 0.15 <= time.monotonic() - started < 2


def test_delay_is_not_caught_up_in_a_burst() -> None:
    pace = Pace(100)
    time.sleep(0.2)
    started = time.monotonic()
    for _ in range(3):
        pace.wait(5)
    assert time.monotonic() - started >= 0.1


def test_infinite_rate_does_not_wait() -> None:
    pace = Pace(float("inf"))
    started = time.monotonic()
    for _ in range(1000):
        pace.wait(25)
    assert time.monotonic() - started < 1

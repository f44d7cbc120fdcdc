"""Tests of limiting a rate."""

from infra.operate.pace import RateLimit


class Time:
    """A clock that only sleeping and the test move."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def paced(time: Time, rate: float) -> RateLimit:
    return RateLimit(rate, timer=time, sleep=time.sleep)


def test_units_are_limited_to_the_rate() -> None:
    """The first wait returns at once, and each further one when the units before it are due."""
    time = Time()
    pace = paced(time, 100)
    reached = []
    for _ in range(4):
        pace.wait(5)
        reached.append(round(time.now, 9))
    assert reached == [0, 0.05, 0.1, 0.15]


def test_delay_is_not_caught_up_in_a_burst() -> None:
    time = Time()
    pace = paced(time, 100)
    time.now = 2.0
    for _ in range(3):
        pace.wait(5)
    assert round(time.now, 9) == 2.1


def test_infinite_rate_does_not_wait() -> None:
    time = Time()
    pace = paced(time, float("inf"))
    for _ in range(1000):
        pace.wait(25)
    assert time.now == 0

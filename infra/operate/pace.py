"""Limits the rate of an activity."""

import time


class Pace:
    """Limits an activity to a rate, without a burst after a delay.

    Args:
        rate: units per second.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._due = time.monotonic()

    def wait(self, count: int) -> None:
        """Sleep until this number of units may proceed."""
        now = time.monotonic()
        if self._due > now:
            time.sleep(self._due - now)
        self._due = max(self._due, now) + count / self._rate

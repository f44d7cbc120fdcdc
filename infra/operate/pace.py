"""Limits the rate of an activity."""

import time
from collections.abc import Callable


class RateLimit:
    """Limits an activity to a rate, without a burst after a delay.

    Args:
        rate: units per second.
        timer: monotonic seconds.
        sleep: waits some seconds.
    """

    def __init__(
        self,
        rate: float,
        *,
        timer: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate = rate
        self._timer = timer
        self._sleep = sleep
        self._due = timer()

    def wait(self, count: int) -> None:
        """Sleep until this number of units may proceed."""
        now = self._timer()
        if self._due > now:
            self._sleep(self._due - now)
        self._due = max(self._due, now) + count / self._rate

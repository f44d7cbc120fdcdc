"""Holding a rate: so many a second, whatever else takes its time."""

import time


class Pace:
    """Lets so many a second through; what was missed while something else was slow is not caught up in a burst."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._due = time.monotonic()

    def wait(self, count: int) -> None:
        """Sleep until as many may go on."""
        now = time.monotonic()
        if self._due > now:
            time.sleep(self._due - now)
        self._due = max(self._due, now) + count / self._rate

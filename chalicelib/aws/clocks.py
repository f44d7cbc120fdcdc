"""Measures the age of cached values with two clocks.

Lambda freezes an execution environment between invocations, and its monotonic clock may stop meanwhile. The wall clock
continues, but it may be set back. The longer of the two times counts.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NewType

Moment = NewType("Moment", tuple[float, float])
"""Epoch seconds and monotonic seconds."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """A wall clock and a monotonic clock.

    Args:
        clock: epoch seconds.
        timer: monotonic seconds.
    """

    clock: Callable[[], float] = time.time
    timer: Callable[[], float] = time.monotonic

    def now(self) -> Moment:
        """Read both clocks."""
        return Moment((self.clock(), self.timer()))

    def seconds_since(self, moment: Moment) -> float:
        """Return the seconds since `moment`: the longer time of the two clocks."""
        return max(now - then for now, then in zip(self.now(), moment, strict=True))

"""Measures how long something has been kept, by two clocks.

Lambda freezes an execution environment between invocations, and its monotonic clock may stand still meanwhile. The wall
clock does not, but it may be set back. The longer of the two times counts.
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
        return Moment((self.clock(), self.timer()))

    def seconds_since(self, moment: Moment) -> float:
        """Seconds that have passed since `moment`, by the clock that says more."""
        return max(now - then for now, then in zip(self.now(), moment, strict=True))

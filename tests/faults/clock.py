"""The clock of a rig, which moves on instead of waiting."""

import time


class Clock:
    """The epoch seconds of this machine and those that the rig did not wait."""

    def __init__(self) -> None:
        self.skew = 0.0

    def __call__(self) -> float:
        return time.time() + self.skew

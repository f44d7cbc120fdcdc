"""Shared by the programs in Python: the job and the stopwatch."""

import json
import os
import sys
import time
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class Job:
    """A task for a program; see the package's docstring."""

    url: str
    host: str
    port: int
    ca: str
    key: str
    identity: str
    key_id: str
    team_id: str
    topic: str
    authorization: str
    tokens: list[str]
    count: int
    streams: int

    @classmethod
    def read(cls) -> Self:
        return cls(**json.loads(Path(sys.argv[-1]).read_text()))

    def due(self) -> list[str]:
        """The push tokens of the measured part."""
        return list(islice(cycle(self.tokens), self.count))


class Stopwatch:
    """Starts when it is created."""

    def __init__(self) -> None:
        self._wall = time.perf_counter()
        self._cpu = sum(os.times()[:2])

    def report(self, delivered: int) -> None:
        """Print the measurements."""
        seconds, cpu = time.perf_counter() - self._wall, sum(os.times()[:2]) - self._cpu
        sys.stdout.write(json.dumps({"seconds": seconds, "cpu_seconds": cpu, "delivered": delivered}) + "\n")

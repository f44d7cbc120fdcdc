"""Metrics: one log line each, which CloudWatch reads as a metric (AWS, "Embedded metric format specification").

No request is made and no library imported: a line costs what a log line costs.
"""

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum

NAMESPACE = "Passwire"


class Unit(Enum):
    """CloudWatch's names."""

    COUNT = "Count"
    MILLISECONDS = "Milliseconds"
    PERCENT = "Percent"


@dataclass(frozen=True, slots=True)
class Metrics:
    """What counts and measures.

    Args:
        stage: a dimension of every metric.
    """

    stage: str

    def count(self, name: str, value: int, **dimensions: str) -> None:
        """Add to a counter. It is kept by stage, and by stage with the dimensions one after the other."""
        self.put({name: value}, Unit.COUNT, **dimensions)

    @contextmanager
    def duration(self, name: str, **dimensions: str) -> Iterator[None]:
        """Measure how long something takes, however it ends; how often it happens is the metric's sample count."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.put({name: round((time.perf_counter() - started) * 1000, 1)}, Unit.MILLISECONDS, **dimensions)

    def put(self, values: Mapping[str, float], unit: Unit, **dimensions: str) -> None:
        """Write values of one unit. A dimension's name is given in Python's form and written in CloudWatch's."""
        named = {"Stage": self.stage, **{_title(name): value for name, value in dimensions.items()}}
        names = list(named)
        line = {
            "_aws": {
                "Timestamp": int(time.time() * 1000),
                "CloudWatchMetrics": [
                    {
                        "Namespace": NAMESPACE,
                        "Dimensions": [names[:size] for size in range(1, len(names) + 1)],
                        "Metrics": [{"Name": name, "Unit": unit.value} for name in values],
                    }
                ],
            },
            **named,
            **values,
        }
        sys.stdout.write(json.dumps(line, separators=(",", ":")) + "\n")
        sys.stdout.flush()


def _title(name: str) -> str:
    return "".join(part.title() for part in name.split("_"))

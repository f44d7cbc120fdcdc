"""Metrics: log lines that CloudWatch reads as metrics (AWS, "Embedded metric format specification").

Writing a metric sends no request and imports no library; it costs as much as a log line.
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
    """Units, by CloudWatch's names."""

    COUNT = "Count"
    MILLISECONDS = "Milliseconds"
    PERCENT = "Percent"


@dataclass(frozen=True, slots=True)
class Metrics:
    """Writer of metrics to standard output.

    Args:
        stage: the value of the dimension `Stage` of every metric.
    """

    stage: str

    def count(self, name: str, value: int, **dimensions: str) -> None:
        """Add `value` to a counter, by stage and by stage with the first, the first two, ... dimensions."""
        self.put({name: value}, Unit.COUNT, **dimensions)

    @contextmanager
    def duration(self, name: str, **dimensions: str) -> Iterator[None]:
        """Measure the duration of the block in milliseconds, also if it raises; the sample count counts the runs."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.put({name: round((time.perf_counter() - started) * 1000, 1)}, Unit.MILLISECONDS, **dimensions)

    def put(self, values: Mapping[str, float], unit: Unit, **dimensions: str) -> None:
        """Write values of one unit by metric name. Names of dimensions are converted: `pass_type` to `PassType`."""
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

"""Metrics: log lines that CloudWatch reads as metrics (AWS, "Embedded metric format specification").

Writing a metric sends no request and imports no library; it costs as much as a log line.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum

from chalicelib.telemetry import log

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

    def gauge(self, name: str, value: float, **dimensions: str) -> None:
        """Write a level by stage with all dimensions; a sum over a dimension would need all of its levels at once."""
        log.write(self._line({name: value}, Unit.COUNT, dimensions, sets=slice(-1, None)))

    @contextmanager
    def duration(self, name: str, **dimensions: str) -> Iterator[None]:
        """Measure the duration of the block in milliseconds, also if it raises; the sample count counts the runs.

        The metric joins the line of the block's last event, so that a request with one event has one line.
        """
        started = time.perf_counter()

        def measured() -> Mapping[str, object]:
            values = {name: round((time.perf_counter() - started) * 1000, 1)}
            return self._line(values, Unit.MILLISECONDS, dimensions)

        with log.last_event_joined(measured):
            yield

    def put(self, values: Mapping[str, float], unit: Unit, **dimensions: str) -> None:
        """Write values of one unit by metric name. Names of dimensions are converted: `pass_type` to `PassType`."""
        log.write(self._line(values, unit, dimensions))

    def _line(
        self, values: Mapping[str, float], unit: Unit, dimensions: Mapping[str, str], *, sets: slice = slice(None)
    ) -> dict[str, object]:
        named = {"Stage": self.stage, **{_title(name): value for name, value in dimensions.items()}}
        names = list(named)
        return {
            "_aws": {
                "Timestamp": int(time.time() * 1000),
                "CloudWatchMetrics": [
                    {
                        "Namespace": NAMESPACE,
                        "Dimensions": [names[:size] for size in range(1, len(names) + 1)][sets],
                        "Metrics": [{"Name": name, "Unit": unit.value} for name in values],
                    }
                ],
            },
            **named,
            **values,
        }


def _title(name: str) -> str:
    return "".join(part.title() for part in name.split("_"))

"""Estimates times and prices per memory size from measured times: Lambda gives CPU in proportion to memory.

A whole core comes with 1,769 MB (AWS, "Configure Lambda function memory"), and our code uses no second one. Waiting for
AWS takes as long at every size, and is counted as `SERVICE_MS` a request, since the tape answers at once.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

CONFIG = Path(__file__).parents[2] / ".chalice" / "config.json"
SIZES = (128, 256, 512, 768, 1024, 1769)
CORE_MB = 1769
SERVICE_MS = 5.0
"""Assumed for a request to DynamoDB, S3, SQS or Secrets Manager."""
DOLLARS_PER_GB_SECOND = 0.0000166667
"""x86, list price as of November 2026; arm64 costs a fifth less."""
MAX_FIRST_MS = 1000.0
"""The longest cold call of a function that a person or device waits for."""
NOBODY_WAITS = ("push_worker", "check_certificates")
"""Functions for queued work and the daily schedule. Their memory must suffice; beyond that, the price decides."""
ROOM = 2.0
"""The ratio of memory to the measured peak, since templates and batches can be larger than the benchmark's."""


@dataclass(frozen=True)
class Work:
    """The cost of a flow.

    Args:
        function: its name in `.chalice/config.json`.
        first_cpu_ms: of import and first call.
        warm_cpu_ms: of a later call.
        requests: to AWS, of a call.
        peak_mb: of memory.
    """

    function: str
    first_cpu_ms: float
    warm_cpu_ms: float
    requests: float
    peak_mb: float

    def first_ms(self, size: int) -> float:
        return self.first_cpu_ms * max(1.0, CORE_MB / size) + self.requests * SERVICE_MS

    def warm_ms(self, size: int) -> float:
        return self.warm_cpu_ms * max(1.0, CORE_MB / size) + self.requests * SERVICE_MS

    def dollars_per_million(self, size: int) -> float:
        """The price of a million warm calls, without the price of the requests."""
        return self.warm_ms(size) / 1000 * size / 1024 * DOLLARS_PER_GB_SECOND * 1e6

    @property
    def smallest(self) -> int:
        """The smallest size that has enough memory, and for which cold calls are fast enough where that matters."""
        quick = (s for s in SIZES if self.function in NOBODY_WAITS or self.first_ms(s) <= MAX_FIRST_MS)
        fitting = (s for s in quick if self.peak_mb * ROOM <= s)
        return next(fitting, SIZES[-1])


def configured() -> dict[str, int]:
    """The deployed memory size by function."""
    settings = json.loads(CONFIG.read_text())["lambda_functions"]
    return {name: int(of["lambda_memory_size"]) for name, of in settings.items()}


def memory_table(works: Mapping[str, Work]) -> Table:
    """Tabulate first and warm calls per size, the price at the configured size, and the smallest sufficient size."""
    table = Table(title=f"first/warm call in ms by memory (at most {MAX_FIRST_MS:.0f} ms cold where a person waits)")
    table.add_column("flow", no_wrap=True)
    for heading in (*(f"{size} MB" for size in SIZES), "peak MB", "smallest", "now", "$ per million"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, work in works.items():
        now = configured()[work.function]
        figures = (f"{work.first_ms(size):.0f}/{work.warm_ms(size):.0f}" for size in SIZES)
        price = f"{work.dollars_per_million(now):.2f}"
        table.add_row(name, *figures, f"{work.peak_mb:.0f}", str(work.smallest), str(now), price)
    return table

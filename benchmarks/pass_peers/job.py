"""Shared by the programs in Python: the job, and the loop that makes passes. Imports the standard library only."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True)
class PassJob:
    """A task for a program.

    Args:
        folder: the template, `NAME.pass`.
        certificate: PEM file of the pass type.
        private_key: PEM file.
        intermediate: PEM file.
        pass_type_identifier: of the certificate.
        team_identifier: of the certificate.
        web_service_url: for pass.json.
        authentication_token: for pass.json.
        seconds: how long.
        output: where the last pass goes.
    """

    folder: str
    certificate: str
    private_key: str
    intermediate: str
    pass_type_identifier: str
    team_identifier: str
    web_service_url: str
    authentication_token: str
    seconds: float
    output: str

    @classmethod
    def read(cls) -> Self:
        return cls(**json.loads(Path(sys.argv[-1]).read_text()))

    def content(self) -> dict[str, Any]:
        """Read the template's pass.json."""
        return dict(json.loads((Path(self.folder) / "pass.json").read_text()))

    def images(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(Path(self.folder).glob("*.png"))}

    def run(self, make: Callable[[str, str], bytes]) -> None:
        """Make passes with a function of serial number and gate, and print the report."""
        make("WARM-UP", "A1")
        count, last = 0, b""
        started = time.perf_counter()
        while time.perf_counter() - started < self.seconds:
            count += 1
            last = make(f"BENCH-{count}", f"B{count % 60}")
        seconds = time.perf_counter() - started
        Path(self.output).write_bytes(last)
        sys.stdout.write(json.dumps({"count": count, "seconds": seconds}) + "\n")

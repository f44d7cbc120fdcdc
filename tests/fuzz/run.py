"""Fuzzes the targets with atheris: `make fuzz`.

Each target runs in a process of its own, guided by the branches of the code that its inputs reach, beginning with the
stored corpus and what earlier runs found. An input that raises an error, takes too long or needs too much memory ends
its target's run and is kept in `.passwire/fuzz`. Exit code 1 if there was one.
"""

import argparse
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from infra.local.processes import PROJECT
from tests.fuzz.corpus import CORPUS, GROWN

MAX_MEMORY_MB = 1024
"""For the process. It begins with about 200 MB."""


@dataclass(frozen=True)
class Tried:
    """The run of one target."""

    name: str
    inputs: int
    per_second: int
    peak_mb: int
    slowest_seconds: int
    failure: str


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz the parsers and the HTTP surface.")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: 60)")
    parser.add_argument("--target", action="append", help="only this target; can be repeated")
    parser.add_argument("--seed", type=int, default=0, help="of the random numbers; 0 for a new one")
    given = parser.parse_args()
    try:
        import atheris  # noqa: F401, PLC0415 - not on every machine
    except ImportError:
        sys.stderr.write("atheris has no wheel for this machine: use Linux on x86-64\n")
        return 1
    names = given.target or sorted(path.name for path in CORPUS.iterdir())
    _print(f"{'target':22} {'inputs':>12} {'per second':>11} {'peak MB':>8} {'slowest s':>9}  result")
    tried = []
    for name in names:
        tried.append(fuzz(name, seconds=given.seconds, seed=given.seed))
        one = tried[-1]
        _print(
            f"{name:22} {one.inputs:12,} {one.per_second:11,} {one.peak_mb:8,} {one.slowest_seconds:9}  "
            f"{one.failure or 'nothing found'}",
        )
    _print(f"{'all':22} {sum(one.inputs for one in tried):12,}")
    return 1 if any(one.failure for one in tried) else 0


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def fuzz(name: str, *, seconds: int, seed: int) -> Tried:
    """Run one target."""
    grown = GROWN / name
    grown.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.fuzz.one", name, str(grown), str(CORPUS / name)]
    command += [f"-max_total_time={seconds}", f"-rss_limit_mb={MAX_MEMORY_MB}", f"-seed={seed}", "-print_final_stats=1"]
    command += [f"-artifact_prefix={GROWN}/{name}-", "-timeout=20"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, errors="replace", check=False)
    shown = done.stdout + done.stderr
    (GROWN / f"{name}.log").write_text(shown)

    def number(statistic: str) -> int:
        found = re.search(rf"stat::{statistic}:\s+(\d+)", shown)
        return int(found[1]) if found else 0

    return Tried(
        name,
        number("number_of_executed_units"),
        number("average_exec_per_sec"),
        number("peak_rss_mb"),
        number("slowest_unit_time_sec"),
        "" if done.returncode == 0 else _failure(name, shown),
    )


def _failure(name: str, shown: str) -> str:
    error = re.search(r"=== Uncaught Python exception: ===\n(.*)", shown) or re.search(r"ERROR: (.*)", shown)
    kept = re.search(r"Test unit written to (\S+)", shown)
    path = Path(kept[1]).relative_to(PROJECT) if kept else GROWN.relative_to(PROJECT) / f"{name}.log"
    return f"FOUND {error[1][:100] if error else 'an error'}: {path}"


if __name__ == "__main__":
    raise SystemExit(main())

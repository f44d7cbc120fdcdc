"""Runs a soak from the command line.

`python -m tests.soak --seconds 600 --seed 7`: a soak on a local run of its own; exit code 1 if anything is lost.
"""

import argparse
import asyncio
import random
import sys
import time

from infra.core.terminal import write_text
from infra.local.processes import PROJECT
from infra.local.run import local_run
from tests.soak.plan import Plan
from tests.soak.report import report_lines
from tests.soak.run import soak

FOLDER = PROJECT / ".passwire" / "soak"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="A soak on a local run of its own.")
    parser.add_argument("--seconds", type=float, default=120, help="length of the load (120)")
    parser.add_argument("--seed", type=int, default=None, help="of the plan; a failed soak prints it (random)")
    parser.add_argument("--no-faults", action="store_true", help="the load alone")
    chosen = parser.parse_args()
    seed = random.randrange(1_000_000) if chosen.seed is None else chosen.seed  # noqa: S311 - no secret
    plan = Plan.of(seed, seconds=chosen.seconds, faults=not chosen.no_faults)
    command = f"python -m tests.soak --seconds {chosen.seconds:g} --seed {seed}{' --no-faults' * chosen.no_faults}"
    write_text(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {command}")
    with local_run(FOLDER, on_progress=lambda _: None, fresh=True) as stack:
        report = asyncio.run(soak(stack, plan, on_progress=write_text))
    write_text("\n".join(report_lines(report)))
    if not report.passed:
        write_text(f"FAILED; to replay it: {command}")
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())

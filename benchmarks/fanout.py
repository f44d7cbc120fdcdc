"""`make bench-fanout`: measures the time from a write to its pushes, through the deployed stack on the embedded AWS.

Passes are held by 1, 100, 10,000 and 100,000 devices, whose rows are written directly into the tables. They are changed
with PutItem, and the stand-in for APNs reports when each device got its push. Passes of one holder each are changed
alone and during the largest fan-out, which must not delay their pushes. The number of concurrent functions that the
stage allows is more than the embedded AWS can serve, so that all requests wait for each other. The largest fan-out is
therefore also measured with the smallest number that SQS allows.

All of AWS is one Python process here, and it shares this machine with the functions and the APNs stand-in. CPU time is
measured for each of them: that of the functions is the cost of this service, and the rest shows what limits the times.
"""

import argparse
import json
import math
import re
import secrets
import statistics
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import boto3
import httpx
import psutil
from rich.console import Console
from rich.table import Table

from infra.local.ministack import STARTER
from infra.local.run import LocalRun, local_run
from tests.support.strict import StrictAws

FOLDER = Path(__file__).parents[1] / ".passwire" / "bench"
ROUNDS = {1: 50, 100: 10, 10_000: 3, 100_000: 1}
"""The number of changes of a pass, by the number of its holders."""
NEIGHBOURS = 40
NEIGHBOUR_EVERY_SECONDS = 0.5
WRITERS = 4
ROWS_PER_REQUEST = 25
SEEDING_SECONDS = 120.0
"""Rows that are not written by then are left out; the figures name the number of registrations that were written."""
PATIENCE_SECONDS = 120.0
FEWEST_FUNCTIONS = 2
"""The smallest maximum concurrency of an SQS trigger (AWS, "ScalingConfig")."""
DURATION = re.compile(r"REPORT .*\tDuration: (\d+)")
QUIET_SECONDS = 2.0
"""The time to wait for repeated pushes after the last expected one."""

UNPACED = {"ThrottleRate": "1000000", "PushRateLimit": "500000"}
"""More than this machine can send: the benchmark measures the service, not its limit."""

console = Console(width=130)


@dataclass(frozen=True)
class FanoutFigures:
    """The results of some changes of a pass.

    Args:
        rounds: the number of changes.
        due: the number of expected pushes.
        delivered: the number of devices that got a push, added up over the rounds.
        repeated: the number of pushes to a device beyond the first in a round.
        latency_p50: seconds from the write to a device's push, median.
        latency_p99: the same, 99th percentile.
        last_push: seconds from the write to the last push, median of the rounds.
        per_second: pushes per second, from the first to the last; None if there are too few.
        function_cpu_seconds_per_10000: CPU seconds of the functions per 10,000 pushes; None if too little to measure.
        machine_share: the share of the machine's CPU until the last push, by process (functions, embedded AWS, APNs).
        connections: the number of open connections to APNs at the end.
    """

    rounds: int
    due: int
    delivered: int
    repeated: int
    latency_p50: float
    latency_p99: float
    last_push: float
    per_second: float | None
    function_cpu_seconds_per_10000: float | None
    machine_share: dict[str, float]
    connections: int


@dataclass(frozen=True)
class WidelyHeldPass:
    """A pass and the push tokens of its holders."""

    pass_id: str
    tokens: tuple[str, ...]


class Processes:
    """Measures the CPU seconds of the functions, the embedded AWS and the stand-in for APNs."""

    @staticmethod
    def cpu_seconds() -> dict[str, float]:
        used: dict[str, float] = defaultdict(float)
        for process in psutil.Process().children(recursive=True):
            try:
                command, times = " ".join(process.cmdline()), process.cpu_times()
            except psutil.Error:
                continue
            used[_role(command)] += times.user + times.system
        return used


def _role(command: str) -> str:
    if "infra.local.apns" in command:
        return "apns"
    return "embedded_aws" if command.endswith(STARTER.name) else "functions"


class FanoutBench:
    """A deployed stack with passes that many devices hold."""

    def __init__(self, stack: LocalRun) -> None:
        self._stack = stack
        self._items = boto3.resource("dynamodb").Table(stack.tables["passes"])
        self._apns = httpx.Client(base_url=stack.apns_control_url, timeout=60)
        self._written = 0
        self._put_seconds: list[float] = []
        """The durations of this program's PutItem calls, which show how long requests to the embedded DynamoDB wait."""

    def issue_passes(self, holders: Sequence[int]) -> list[WidelyHeldPass]:
        """Issue passes, then write their registrations: one pass per number of holders."""
        held = [
            WidelyHeldPass(
                f"{self._stack.pass_type_identifier}/{secrets.token_hex(8)}",
                tuple(secrets.token_hex(32) for _ in range(count)),
            )
            for count in holders
        ]
        for one in held:
            self._write(one)
        versions = boto3.resource("dynamodb").Table(self._stack.tables["versions"])
        for one in held:
            while "Item" not in versions.get_item(Key={"pass_id": one.pass_id}, ConsistentRead=True):
                time.sleep(0.05)
        return self._register(held)

    def _register(self, held: Iterable[WidelyHeldPass]) -> list[WidelyHeldPass]:
        """Write registration and device rows with BatchWriteItem; rows that are not written in time are left out.

        Their events are not published, which would keep the embedded AWS busy for minutes during the measurement.
        """
        table = self._stack.tables["registrations"]
        self._change_trigger("publish_events", of=f":table/{table}/", Enabled=False)
        rows = [(one.pass_id, token, secrets.token_hex(16)) for one in held for token in one.tokens]
        until = time.monotonic() + SEEDING_SECONDS
        done: dict[str, list[str]] = defaultdict(list)
        tables, client, now = self._stack.tables, boto3.client("dynamodb"), int(time.time())

        def write(batch: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
            if time.monotonic() > until:
                return []
            put: dict[str, list[Any]] = {tables["registrations"]: [], tables["devices"]: []}
            for pass_id, token, device in batch:
                key = {"pass_id": {"S": pass_id}, "device_library_identifier": {"S": device}}
                registration = {**key, "registered_at": {"N": str(now)}}
                row = {
                    "device_library_identifier": {"S": device},
                    "push_token": {"S": token},
                    "passes": {"SS": [pass_id]},
                    "updated_at": {"N": str(now * 1000)},
                }
                put[tables["registrations"]].append({"PutRequest": {"Item": registration}})
                put[tables["devices"]].append({"PutRequest": {"Item": row}})
            for table, requests in put.items():
                left: dict[str, Any] = {table: requests}
                while left:
                    left = client.batch_write_item(RequestItems=left).get("UnprocessedItems") or {}
            return batch

        unlimited = StrictAws(self._stack).limits(write_units_per_second=0)  # else 1,000 of one pass per second
        with unlimited, ThreadPoolExecutor(WRITERS) as writers:
            for batch in writers.map(write, _chunks(rows, ROWS_PER_REQUEST)):
                for pass_id, token, _ in batch:
                    done[pass_id].append(token)
        return [WidelyHeldPass(one.pass_id, tuple(done[one.pass_id])) for one in held]

    def _write(self, held: WidelyHeldPass) -> float:
        """Change a pass as a pipeline does; returns the time in epoch seconds."""
        self._written += 1
        written_at = time.time()
        item = {"pass_id": held.pass_id, "template": self._stack.template, "fields": {"gate": f"G{self._written}"}}
        self._items.put_item(Item=item)
        self._put_seconds.append(time.time() - written_at)
        return written_at

    def limit_push_workers(self, functions_at_once: int) -> None:
        """Limit the number of functions that process the push queue at the same time."""
        self._change_trigger("push_worker", ScalingConfig={"MaximumConcurrency": functions_at_once})

    def _change_trigger(self, role: str, *, of: str = "", **changed: Any) -> None:  # noqa: ANN401 - any property
        """Change properties of a function's only event source mapping, or of the one whose ARN contains `of`."""
        client = boto3.client("lambda")
        found = client.list_event_source_mappings(FunctionName=self._stack.functions[role])["EventSourceMappings"]
        (trigger,) = (mapping for mapping in found if of in mapping["EventSourceArn"])
        client.update_event_source_mapping(UUID=trigger["UUID"], **changed)

    def _invocations(self, *, since: float) -> list[float]:
        """Durations in seconds of the push function's invocations, from Lambda's log; `since` is in epoch seconds."""
        pages = boto3.client("logs").get_paginator("filter_log_events")
        group = f"/aws/lambda/{self._stack.functions['push']}"
        lines = (
            event["message"]
            for page in pages.paginate(logGroupName=group, startTime=int(since * 1000))
            for event in page["events"]
        )
        return [int(found[1]) / 1000 for line in lines if (found := DURATION.match(line))]

    def measures(self, held: WidelyHeldPass, rounds: int, *, neighbours: Iterator[WidelyHeldPass]) -> "PassFigures":
        """Change a pass `count` times and wait for the pushes each time; change the neighbours meanwhile."""
        latencies: list[float] = []
        last: list[float] = []
        delivered = repeated = 0
        spread = 0.0
        beside: list[float] = []
        connections = 0
        since = self._begin()
        before = Processes.cpu_seconds()
        for _ in range(rounds):
            self._apns.delete("/pushes").raise_for_status()
            changed = _Changes(self._write(held))
            self._wait(len(held.tokens), changed, neighbours)
            if len(held.tokens) > 1:
                time.sleep(QUIET_SECONDS)
            connections = max(connections, self._apns.get("/summary").json()["open_connections"])
            arrivals = self._arrivals()
            own = [arrivals[token] for token in held.tokens if token in arrivals]
            delivered += len(own)
            repeated += sum(len(times) - 1 for times in own)
            firsts = [times[0] for times in own]
            latencies += [at - changed.written_at for at in firsts]
            last.append(max(firsts, default=math.nan) - changed.written_at)
            spread += max(firsts, default=0.0) - min(firsts, default=0.0)
            beside += [arrivals[one.tokens[0]][0] - at for one, at in changed.beside if one.tokens[0] in arrivals]
        used = Processes.cpu_seconds()
        due = len(held.tokens) * rounds
        cpu = {role: used[role] - before[role] for role in used}
        return PassFigures(
            FanoutFigures(
                rounds=rounds,
                due=due,
                delivered=delivered,
                repeated=repeated,
                latency_p50=_percentile(latencies, 50),
                latency_p99=_percentile(latencies, 99),
                last_push=round(statistics.median(last), 3),
                per_second=round(delivered / spread) if spread > 1 else None,
                function_cpu_seconds_per_10000=round(cpu["functions"] / due * 10_000, 2) if due > 1000 else None,
                machine_share={
                    role: round(spent / sum(last) / (psutil.cpu_count() or 1), 2) for role, spent in sorted(cpu.items())
                },
                connections=connections,
            ),
            self._neighbours(beside, since=since),
        )

    def measures_alone(self, neighbours: Iterator[WidelyHeldPass]) -> "Neighbours":
        """Change passes that one device holds, while nothing else runs."""
        since = self._begin()
        self._apns.delete("/pushes").raise_for_status()
        changes: list[tuple[WidelyHeldPass, float]] = []
        for one in neighbours:
            changes.append((one, self._write(one)))
            time.sleep(NEIGHBOUR_EVERY_SECONDS)
        time.sleep(QUIET_SECONDS)
        arrivals = self._arrivals()
        latencies = [arrivals[one.tokens[0]][0] - at for one, at in changes if one.tokens[0] in arrivals]
        return self._neighbours(latencies, since=since)

    def _begin(self) -> float:
        self._put_seconds.clear()
        return time.time()

    def _neighbours(self, latencies: Sequence[float], *, since: float) -> "Neighbours":
        return Neighbours(latencies, self._invocations(since=since), tuple(self._put_seconds))

    def _wait(self, due: int, changed: "_Changes", neighbours: Iterator[WidelyHeldPass]) -> None:
        until = time.monotonic() + PATIENCE_SECONDS
        pause = 0.02 if due == 1 else NEIGHBOUR_EVERY_SECONDS
        while time.monotonic() < until:
            found = self._apns.get("/summary").json()
            if found["devices"] >= due + len(changed.beside):
                return
            for one in islice(neighbours, 1):
                changed.beside.append((one, self._write(one)))
            time.sleep(pause)

    def _arrivals(self) -> dict[str, list[float]]:
        arrivals: dict[str, list[float]] = self._apns.get("/arrivals").json()
        return arrivals


class _Changes:
    """A write, and the writes of neighbours before its last push."""

    def __init__(self, written_at: float) -> None:
        self.written_at = written_at
        self.beside: list[tuple[WidelyHeldPass, float]] = []


@dataclass(frozen=True)
class PassFigures:
    """The figures of a pass, and of its neighbours at the same time."""

    figures: FanoutFigures
    beside: "Neighbours"


@dataclass(frozen=True)
class Neighbours:
    """Changes of passes that one device holds: seconds to each push, of its function alone, and of each write alone."""

    latencies: Sequence[float]
    function_seconds: Sequence[float]
    put_seconds: Sequence[float]

    def summary(self) -> dict[str, float]:
        return {
            "changes": len(self.latencies),
            "p50": _percentile(self.latencies, 50),
            "p99": _percentile(self.latencies, 99),
            "function_p50": _percentile(self.function_seconds, 50),
            "one_request_p50": _percentile(self.put_seconds, 50),
        }


def main() -> None:
    """Measure, print, write `.passwire/bench/fanout.json`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fanout", description=__doc__)
    parser.add_argument("--largest", type=int, default=max(ROUNDS), help="leave out passes with more holders than this")
    options = parser.parse_args()
    rounds = {size: count for size, count in ROUNDS.items() if size <= options.largest}
    on_progress = partial(console.print, highlight=False)
    with local_run(FOLDER / "fanout", on_progress=on_progress, parameters=UNPACED) as stack:
        stack.use()
        bench = FanoutBench(stack)
        started = time.monotonic()
        console.print(f"writing {sum(rounds) + 3 * NEIGHBOURS:,} registrations")
        held = bench.issue_passes([*rounds, *[1] * (3 * NEIGHBOURS)])
        console.print(f"written in {time.monotonic() - started:.0f} s")
        passes, neighbours = held[: len(rounds)], iter(held[len(rounds) :])
        report: dict[str, FanoutFigures] = {}
        for one, count in zip(passes[:-1], rounds.values(), strict=False):
            console.print(f"{len(one.tokens):,} registrations, {count} changes")
            report[str(len(one.tokens))] = bench.measures(one, count, neighbours=iter(())).figures
        largest, count = passes[-1], list(rounds.values())[-1]
        console.print(f"{len(largest.tokens):,} registrations, {count} changes, and other passes beside them")
        alone = bench.measures_alone(islice(neighbours, NEIGHBOURS))
        full = bench.measures(largest, count, neighbours=islice(neighbours, NEIGHBOURS))
        report[str(len(largest.tokens))] = full.figures
        console.print(f"the same with {FEWEST_FUNCTIONS} functions at once")
        bench.limit_push_workers(FEWEST_FUNCTIONS)
        bounded = bench.measures(largest, count, neighbours=islice(neighbours, NEIGHBOURS))
    written = {
        "unit": "seconds",
        "registrations": {size: asdict(figures) for size, figures in report.items()},
        "largest_with_fewest_functions": asdict(bounded.figures),
        "change_of_another_pass": {
            "alone": alone.summary(),
            "during_the_largest": full.beside.summary(),
            "during_the_largest_with_fewest_functions": bounded.beside.summary(),
        },
    }
    (FOLDER / "fanout.json").write_text(json.dumps(written, indent=2) + "\n")
    named = f"by {FEWEST_FUNCTIONS} functions at once"
    _print(
        {**report, named: bounded.figures},
        {"alone": alone, "during the largest fan-out": full.beside, named: bounded.beside},
    )
    console.print(f"written to {FOLDER / 'fanout.json'}")


def _percentile(values: Sequence[float], percent: int) -> float:
    """Return a percentile by the nearest-rank method."""
    if not values:
        return math.nan
    return round(sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)], 3)


def _chunks(rows: Sequence[tuple[str, str, str]], size: int) -> list[list[tuple[str, str, str]]]:
    return [list(rows[start : start + size]) for start in range(0, len(rows), size)]


def _print(report: dict[str, FanoutFigures], others: dict[str, Neighbours]) -> None:
    table = Table(title="from the write of a pass to its pushes, in seconds", box=None)
    for heading in ("holders", "p50", "p99", "last", "pushes/s", "CPU s/10,000", "due", "delivered", "repeated"):
        table.add_column(heading, justify="right", no_wrap=True)
    for size, figures in report.items():
        table.add_row(
            f"{int(size):,}" if size.isdecimal() else size,
            f"{figures.latency_p50:.2f}",
            f"{figures.latency_p99:.2f}",
            f"{figures.last_push:.2f}",
            f"{figures.per_second:,.0f}" if figures.per_second else "-",
            f"{figures.function_cpu_seconds_per_10000:.2f}" if figures.function_cpu_seconds_per_10000 else "-",
            f"{figures.due:,}",
            f"{figures.delivered:,}",
            f"{figures.repeated:,}",
        )
    console.print(table)
    table = Table(title="the same for a pass that one device holds", box=None)
    for heading in ("", "changes", "p50", "p99", "in the function, p50", "one request to DynamoDB, p50"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, neighbours in others.items():
        found = neighbours.summary()
        keys = ("p50", "p99", "function_p50", "one_request_p50")
        table.add_row(name, str(found["changes"]), *(f"{found[key]:.3f}" for key in keys))
    console.print(table)
    for size, figures in list(report.items())[-2:]:
        shares = ", ".join(f"{role.replace('_', ' ')} {share:.0%}" for role, share in figures.machine_share.items())
        console.print(f"{size}: of the machine's {psutil.cpu_count()} cores: {shares}", highlight=False)
    console.print("the embedded AWS is one Python process and limits these times; CPU s are those of this service only")


if __name__ == "__main__":
    main()

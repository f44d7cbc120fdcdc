"""`make bench-import`: compares an import of 100,000 rows with a bare BatchWriteItem loop, and resumes a killed one.

All write the same items into separate tables of an embedded AWS, without a stream, so that no function runs at the same
time. The loops get finished requests; the import reads a CSV file, validates each row with its template, and records
its progress. Rounds are interleaved, each in a process of its own.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
from boto3.dynamodb.types import TypeSerializer
from botocore.config import Config
from rich.console import Console
from rich.table import Table

from chalicelib.aws.templates import Templates
from infra.local.ministack import running
from infra.operate.bulk.files.kinds import open_rows
from infra.operate.bulk.importing import REQUESTS_AT_ONCE, ROWS_PER_REQUEST, import_passes
from infra.operate.bulk.plan import ImportPlan
from infra.stage.stage import Stage

REPOSITORY = Path(__file__).parents[1]
FOLDER = REPOSITORY / ".passwire" / "bench"
PASS_TYPE, TEMPLATE = "pass.dev.passwire.boarding", "boarding"
COLUMNS = ("serial_number", "gate", "seat", "passenger", "flight", "boarding")
KILLED_AT = 0.5
console = Console()


def values(number: int) -> tuple[str, ...]:
    """Make the values of a row."""
    return (
        f"P-{number:07}",
        f"B{number % 40}",
        f"{number % 60}A",
        f"Person {number}",
        "PW 104",
        "2026-12-24T18:30:00Z",
    )


def requests(count: int) -> list[dict[str, Any]]:
    """Make the same rows as finished write requests."""
    serializer = TypeSerializer()
    made = []
    for number in range(count):
        serial_number, *fields = values(number)
        item = {
            "pass_id": f"{PASS_TYPE}/{serial_number}",
            "template": TEMPLATE,
            "fields": dict(zip(COLUMNS[1:], fields, strict=True)),
        }
        made.append({"PutRequest": {"Item": serializer.serialize(item)["M"]}})
    return made


def loop(table: str, count: int, *, threads: int) -> dict[str, float]:
    """Write the rows with a simple loop: 25 per request, `threads` requests at a time."""
    client = boto3.client("dynamodb", config=Config(max_pool_connections=threads))
    made = requests(count)
    pieces = [made[start : start + ROWS_PER_REQUEST] for start in range(0, count, ROWS_PER_REQUEST)]

    def write(piece: list[dict[str, Any]]) -> None:
        answer = client.batch_write_item(RequestItems={table: piece})
        if answer.get("UnprocessedItems"):
            sys.exit(
                "the embedded AWS left items unprocessed, which this loop does not repeat; run the benchmark again"
            )

    started = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(write, pieces):
            pass
    return {"rows_per_second": count / (time.perf_counter() - started)}


def imported(table: str, path: Path) -> dict[str, float]:
    """Measure an import, from opening the file to its summary."""
    started = time.perf_counter()
    plan = ImportPlan(Stage("bench", {"PassesTableName": table}), pass_type=PASS_TYPE, template=TEMPLATE)
    done = import_passes(open_rows(path), plan, Templates(), on_rows=lambda _: None, on_progress=lambda _: None)
    seconds = time.perf_counter() - started
    status = Path("/proc/self/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    return {
        "rows_per_second": done.written / seconds,
        "written": done.written,
        "skipped": done.skipped,
        "seconds": seconds,
        "peak_megabytes": peak / 1024,
    }


def work(kind: str, table: str, count: int, path: Path) -> dict[str, float]:
    """Make one measurement in this process."""
    match kind:
        case "bare":
            return loop(table, count, threads=1)
        case "bare-parallel":
            return loop(table, count, threads=REQUESTS_AT_ONCE)
    return imported(table, path)


def measured(kind: str, count: int, path: Path) -> dict[str, float]:
    """Make one measurement in a new process with a new table."""
    table = _new_table()
    done = subprocess.run(_command(kind, table, count, path), stdout=subprocess.PIPE, text=True, check=True)
    boto3.client("dynamodb").delete_table(TableName=table)
    return dict(json.loads(done.stdout))


def killed_and_resumed(count: int, path: Path) -> dict[str, float]:
    """Kill an import half way, start it again, and measure it."""
    table, client = _new_table(), boto3.client("dynamodb")
    process = subprocess.Popen(_command("passwire", table, count, path), stdout=subprocess.DEVNULL)
    journal = path.with_name(f"{path.name}.bench.progress")
    while not journal.exists() or journal.read_bytes().count(b"\n") * ROWS_PER_REQUEST < count * KILLED_AT:
        time.sleep(0.01)
    process.kill()
    process.wait()
    there = _count(client, table)
    done = subprocess.run(_command("passwire", table, count, path), stdout=subprocess.PIPE, text=True, check=True)
    again = json.loads(done.stdout)
    whole = _count(client, table)
    client.delete_table(TableName=table)
    if whole != count:
        sys.exit(f"only {whole:,} of {count:,} rows were written after the resume")
    return {
        "there_at_the_kill": there,
        "skipped": again["skipped"],
        "written_again": there + again["written"] - count,
        "seconds": round(again["seconds"], 2),
    }


def _command(kind: str, table: str, count: int, path: Path) -> list[str]:
    return [sys.executable, "-m", "benchmarks.imports", "--work", kind, table, str(count), str(path)]


def _count(client: Any, table: str) -> int:  # noqa: ANN401 - a boto3 client
    pages = client.get_paginator("scan").paginate(TableName=table, Select="COUNT", ConsistentRead=True)
    return sum(page["Count"] for page in pages)


def _new_table() -> str:
    name = f"bench-{time.time_ns()}"
    boto3.client("dynamodb").create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "pass_id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pass_id", "KeyType": "HASH"}],
    )
    return name


def _file(path: Path, count: int) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(values(number) for number in range(count))
    return path


def main() -> None:
    """Measure, print, write `.passwire/bench/import.json`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.imports", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        kind, table, count, path = options.work
        print(json.dumps(work(kind, table, int(count), Path(path))))  # noqa: T201 - to the process that started this
        return
    folder = FOLDER / "import"
    folder.mkdir(parents=True, exist_ok=True)
    path = _file(folder / "rows.csv", options.rows)
    small = _file(folder / "small.csv", options.rows // 10)
    figures: dict[str, list[dict[str, float]]] = {"bare": [], "bare-parallel": [], "passwire": []}
    with running(folder / "ministack", port=None, on_progress=console.print) as ministack:
        os.environ.update(ministack.environment)
        for number in range(options.rounds):
            console.print(f"round {number + 1} of {options.rounds}")
            for kind, of in figures.items():
                of.append(measured(kind, options.rows, path))
        tenth = measured("passwire", options.rows // 10, small)
        resumed = killed_and_resumed(options.rows, path)
    medians = {kind: statistics.median(run["rows_per_second"] for run in of) for kind, of in figures.items()}
    peak = statistics.median(run["peak_megabytes"] for run in figures["passwire"])
    report = {
        "unit": "rows/s",
        "rounds": options.rounds,
        "rows": options.rows,
        "median": {kind: round(median) for kind, median in medians.items()},
        "peak_megabytes": {"passwire": round(peak, 1), "passwire-tenth-of-the-rows": round(tenth["peak_megabytes"], 1)},
        "resume_after_kill": resumed,
    }
    (FOLDER / "import.json").write_text(json.dumps(report, indent=2) + "\n")
    shown = Table(title=f"{options.rows:,} rows into a table without a stream")
    for heading in ("", "rows/s", "lowest", "highest", "passwire is"):
        shown.add_column(heading, justify="right" if heading else "left")
    for kind, of in figures.items():
        speeds = [run["rows_per_second"] for run in of]
        ratio = f"{medians['passwire'] / medians[kind]:.2f} times"
        shown.add_row(kind, f"{medians[kind]:,.0f}", f"{min(speeds):,.0f}", f"{max(speeds):,.0f}", ratio)
    console.print(shown)
    console.print(f"peak memory {peak:.0f} MB; with a tenth of the rows {tenth['peak_megabytes']:.0f} MB")
    console.print(
        f"killed with {resumed['there_at_the_kill']:,} rows there; resumed: {resumed['skipped']:,} passed over, "
        f"{resumed['written_again']:,} written a second time, in {resumed['seconds']} s"
    )
    console.print(f"written to {FOLDER / 'import.json'}")


if __name__ == "__main__":
    main()

"""Tests of `pass import`: written and refused rows, and interrupted imports that are resumed."""

import csv
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chalicelib.core.errors import RefusedError
from infra.local.processes import PROJECT
from infra.local.run import LocalRun
from infra.operate.bulk.importing import ImportStoppedError
from infra.operate.bulk.journal import ImportRunsError, Journal
from tests.support.bulk_files import TYPE, imports
from tests.support.command_line import COMMAND, infra
from tests.support.wire import Wire

RUN = """
import sys
from pathlib import Path
from tests.support.bulk_files import imports
print(imports(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])))
"""


@pytest.fixture
def wire(stack: LocalRun) -> Iterator[Wire]:
    """A proxy through which this test's requests to AWS go."""
    found = Wire(stack.aws_endpoint_url)
    os.environ["AWS_ENDPOINT_URL"] = found.url
    yield found
    os.environ["AWS_ENDPOINT_URL"] = stack.aws_endpoint_url
    found.close()


def items_of(table: str) -> dict[str, dict[str, Any]]:
    """Return the items by serial number."""
    found: dict[str, dict[str, Any]] = {}
    for page in boto3.client("dynamodb").get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
        for item in page["Items"]:
            plain = boto3.dynamodb.types.TypeDeserializer().deserialize({"M": item})
            found[plain.pop("pass_id").removeprefix(f"{TYPE}/")] = plain
    return found


def fields(table: str) -> dict[str, Mapping[str, Any]]:
    return {serial_number: item.get("fields", {}) for serial_number, item in items_of(table).items()}


def many(path: Path, count: int) -> Path:
    """Write a file with this number of rows, of which every hundredth is invalid."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["serial_number", "member", "visits"])
        writer.writerows([f"S-{n:06}", f"Person {n}", "many" if n % 100 == 50 else n] for n in range(count))
    return path


def test_cells_are_converted_to_the_types_of_the_template(table: str, folder: Path, tmp_path: Path) -> None:
    """The file is as a spreadsheet saves it: byte order mark, semicolons, CRLF, quoted line breaks, empty cells."""
    path = tmp_path / "members.csv"
    path.write_bytes(
        "\ufeffCard no;member;visits;since;level;voided;overrides.maxDistance;overrides.logoText;customer;notes\r\n"
        '0012;"Ada ""the first""";12.50;2019-03-01T00:00:00Z;7;TRUE;50;2026;0815;x\r\n'
        '13;"Two\r\nlines";;;;;;;;\r\n'.encode()
    )
    mapping = {"Card no": "serial_number", "customer": "attributes.customer", "notes": ""}
    assert imports(path, table, folder, mapping=mapping).written == 2
    assert items_of(table) == {
        "0012": {
            "template": "member",
            "fields": {
                "member": 'Ada "the first"',
                "visits": Decimal("12.5"),
                "since": "2019-03-01T00:00:00Z",
                "level": "7",
            },
            "overrides": {"maxDistance": 50, "logoText": "2026"},
            "voided": True,
            "customer": "0815",
        },
        "13": {"template": "member", "fields": {"member": "Two\r\nlines"}},
    }


def test_invalid_rows_are_rejected_with_line_and_reason_and_the_others_written(
    table: str, folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "members.csv"
    path.write_text(
        "serial_number,member,visits,since,voided\n"
        "1,Ada,1,,\n"
        '2,"Bob,2,,\n'
        "3,Cy\n"
        "4,Dee,many,,\n"
        "5,Eve,5,yesterday,\n"
        ",Fay,6,,\n"
        "\n"
        "7,Gus,7,,perhaps\n"
        "8,Hal,8,,\n"
    )
    done = imports(path, table, folder)
    assert (done.written, done.rejected, sorted(items_of(table))) == (2, 6, ["1", "8"])
    assert done.rejects == tmp_path / "members.rejected.csv"
    header, *lines = done.rejects.read_text().splitlines()
    assert header == 'passwire_line,"passwire_reason",serial_number,member,visits,since,voided'
    for line, (number, reason, original) in zip(
        lines,
        [
            (3, "is not valid CSV", '2,"Bob,2,,'),
            (4, "has 2 cells, the header has 5", "3,Cy"),
            (5, "'many' must be a number", "4,Dee,many,,"),
            (6, "'yesterday' must be a date", "5,Eve,5,yesterday,"),
            (7, "no serial number", ",Fay,6,,"),
            (9, "'perhaps' must be true or false", "7,Gus,7,,perhaps"),
        ],
        strict=True,
    ):
        assert line.startswith(f'{number},"')
        assert reason in line
        assert line.endswith(f'",{original}')
    fixed = done.rejects.read_text().replace('"Bob', "Bob").replace("many", "4").replace("yesterday", "")
    done.rejects.write_text(fixed)
    again = imports(done.rejects, table, folder)
    assert (again.written, again.rejected) == (3, 3)
    assert fields(table)["2"] == {"member": "Bob", "visits": 2}


def test_json_lines_are_imported_as_they_are_and_invalid_ones_rejected(
    table: str, folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "members.jsonl"
    path.write_text(
        '{"pass_id": "pass.com.example/1", "fields": {"visits": 0.1}, "attributes": {"own": [1, null]}}\n'
        '{"pass_id": "pass.com.example/2", "member"\n'
        '{"pass_id": "pass.com.example/3", "visits": "12"}\n'
        '{"pass_id": "pass.com.example/4", "member": "", "delete_after": 1.5}\n'
        "7\n"
        '{"pass_id": "pass.com.example/6", "member": ""}\n'
    )
    done = imports(path, table, folder, pass_type=None)
    assert items_of(table) == {
        "1": {"template": "member", "fields": {"visits": Decimal("0.1")}, "own": [1, None]},
        "6": {"template": "member", "fields": {"member": ""}},
    }
    assert done.rejects is not None
    refused = [json.loads(line) for line in done.rejects.read_text().splitlines()]
    assert [row["passwire_line"] for row in refused] == [2, 3, 4, 5]
    assert refused[0]["passwire_text"] == '{"pass_id": "pass.com.example/2", "member"'
    assert refused[1]["visits"] == "12"
    assert "must be a number" in refused[1]["passwire_reason"]
    assert "epoch seconds" in refused[2]["passwire_reason"]


def test_numbers_and_times_of_parquet_are_imported_and_nan_is_an_absent_value(
    table: str, folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "members.parquet"
    at = datetime(2026, 12, 24, 18, 30, 1, 5000, tzinfo=UTC)
    pq.write_table(
        pa.table(
            {
                "serial_number": [1, 2, 3],
                "visits": [3.0, float("nan"), 1.5],
                "since": pa.array([at, None, at], pa.timestamp("us", "UTC")),
                "level": ["Gold", "", None],
            }
        ),
        path,
    )
    assert imports(path, table, folder).written == 3
    assert fields(table) == {
        "1": {"visits": 3, "since": "2026-12-24T18:30:01+00:00", "level": "Gold"},
        "2": {},
        "3": {"visits": Decimal("1.5"), "since": "2026-12-24T18:30:01+00:00"},
    }


@pytest.mark.parametrize(
    ("header", "plan", "message"),
    [
        (
            "serial_number,Member,gaet",
            {},
            "column 'Member', 'gaet': neither a field of template 'member'.*--map Member=",
        ),
        ("serial_number,fields.gaet", {}, "column 'fields.gaet': neither a field"),
        ("serial_number,member", {"mapping": {"membr": "member"}}, "--map: the file has no column 'membr'"),
        ("serial_number,member,x", {"mapping": {"x": "member"}}, "two columns have the target fields.member"),
        ("number,member", {"mapping": {"number": ""}}, "no column contains the serial number"),
        ("serial_number,pass_id", {}, "both pass_id and serial_number"),
        ("serial_number", {"pass_type": None}, "give --type"),
        ("serial_number", {"template": None}, "give --template"),
        ("serial_number,member", {"template": None}, "column 'member'.*give --template"),
        ("serial_number", {"template": "unknown"}, "template 'unknown' does not exist"),
    ],
)
def test_invalid_columns_are_reported_before_anything_is_written(
    table: str, folder: Path, tmp_path: Path, header: str, plan: Mapping[str, Any], message: str
) -> None:
    path = tmp_path / "members.csv"
    path.write_text(header + "\n" + "1" + "," * header.count(",") + "\n")
    with pytest.raises(RefusedError, match=message):
        imports(path, table, folder, **plan)
    assert items_of(table) == {}
    assert list(tmp_path.iterdir()) == [path]


def test_later_row_of_a_pass_wins(table: str, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "members.csv"
    lines = [f"{number % 7},Person {number}" for number in range(300)]
    path.write_text("\n".join(["serial_number,member", *lines]))
    assert imports(path, table, folder).written == 300
    last = {str(number % 7): {"member": f"Person {number}"} for number in range(300)}
    assert fields(table) == last


def test_unprocessed_items_are_written_again(table: str, folder: Path, tmp_path: Path, wire: Wire) -> None:
    wire.unprocessed_every = 2
    done = imports(many(tmp_path / "members.csv", 500), table, folder)
    assert (done.written, done.rejected) == (495, 5)
    assert len(items_of(table)) == wire.writes() == 495


def test_row_that_dynamodb_refuses_does_not_affect_others(table: str, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "members.jsonl"
    texts = {"1": "Ada", "2": "x" * 410_000, "3": "Cy"}
    path.write_text("".join(json.dumps({"serial_number": s, "member": text}) + "\n" for s, text in texts.items()))
    done = imports(path, table, folder)
    assert sorted(items_of(table)) == ["1", "3"]
    assert done.rejects is not None
    assert "DynamoDB: Item size has exceeded" in done.rejects.read_text()


def test_import_is_limited_to_the_rate(table: str, folder: Path, tmp_path: Path) -> None:
    done = imports(many(tmp_path / "members.csv", 100), table, folder, rate=60)
    assert done.seconds >= (99 - 25) / 60


def test_killed_import_is_resumed_without_writing_twice(table: str, folder: Path, tmp_path: Path, wire: Wire) -> None:
    """Killed twice during the requests of eight threads; writes are counted by the proxy."""
    path = many(tmp_path / "members.csv", 3000)
    for until in (700, 1700):
        process = subprocess.Popen([sys.executable, "-c", RUN, path, table, folder], cwd=PROJECT)
        while wire.writes() < until:
            assert process.poll() is None
            time.sleep(0.001)
        process.kill()
        process.wait()
    before = wire.writes()
    done = imports(path, table, folder)
    assert before < 2970
    assert done.skipped >= 1700
    assert len(items_of(table)) == wire.writes() == 2970
    assert done.rejected == 30
    assert done.rejects is not None
    lines = [line.split(",")[0] for line in done.rejects.read_text().splitlines()[1:]]
    assert sorted(map(int, lines)) == list(range(52, 3000, 100))
    assert not (tmp_path / "members.csv.test.progress").exists()


def test_import_stops_without_a_network_and_is_resumed(table: str, folder: Path, tmp_path: Path, wire: Wire) -> None:
    path = many(tmp_path / "members.csv", 2000)
    wire.cut_after = 800
    with pytest.raises(ImportStoppedError, match=r"stopped after [\d,]+ rows of .*members.csv") as stopped:
        imports(path, table, folder)
    (settled,) = re.findall(r"([\d,]+) rows of", str(stopped.value))
    assert int(settled.replace(",", "")) >= 800
    wire.cut_after = None
    done = imports(path, table, folder)
    assert done.skipped >= int(settled.replace(",", ""))
    assert len(items_of(table)) == wire.writes() == 1980


def test_changed_file_is_imported_from_the_first_row(
    table: str, folder: Path, tmp_path: Path, wire: Wire, capsys: pytest.CaptureFixture[str]
) -> None:
    path = many(tmp_path / "members.csv", 600)
    wire.cut_after = 300
    with pytest.raises(ImportStoppedError):
        imports(path, table, folder)
    wire.cut_after = None
    path.write_text(path.read_text().replace("Person", "Member"))
    done = imports(path, table, folder)
    assert (done.skipped, done.written) == (0, 594)
    assert "starting with the first row" in capsys.readouterr().out
    assert all(values["member"].startswith("Member") for values in fields(table).values())


def test_file_is_imported_by_one_process_at_a_time(table: str, folder: Path, tmp_path: Path) -> None:
    path = many(tmp_path / "members.csv", 10)
    with (
        Journal(tmp_path / "members.csv.test.progress", "key"),
        pytest.raises(ImportRunsError, match="wait until it ends"),
    ):
        imports(path, table, folder)


@pytest.fixture
def boarding(tmp_path: Path, stack: LocalRun) -> Iterator[Path]:
    """A file of passes for the stage's table, which are deleted after the test."""
    serial_numbers = [f"{secrets.token_hex(4)}-{number}" for number in range(24)]
    path = tmp_path / "boarding.csv"
    path.write_text("\n".join(["serial_number,Gate", *(f"{number},A1" for number in serial_numbers)]) + "\n")
    yield path
    with boto3.resource("dynamodb").Table(stack.tables["passes"]).batch_writer() as batch:
        for number in serial_numbers:
            batch.delete_item(Key={"pass_id": f"{stack.pass_type_identifier}/{number}"})


def test_command_reports_counts_as_json_and_exit_code_1_for_refused_rows(stack: LocalRun, boarding: Path) -> None:
    command = ["pass", "import", boarding, "--stage", stack.stage, "--type", stack.pass_type_identifier]
    done = infra(*command, "--template", "boarding", "--map", "Gate=gate", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["written"], report["skipped"], report["rejected"], report["rejects"]) == (24, 0, 0, None)
    done = infra(*command, "--template", "boarding")
    assert done.returncode == 1
    assert re.fullmatch(r"error: column 'Gate': neither a field of template 'boarding' .*\n", done.stderr), done.stderr
    boarding.write_text(boarding.read_text() + "x\n")
    done = infra(*command, "--template", "boarding", "--map", "Gate=gate")
    assert done.returncode == 1
    assert "24 written, 1 refused" in done.stdout
    assert "boarding.rejected.csv" in done.stdout


def test_ctrl_c_ends_an_import_with_130_and_the_same_command_resumes_it(stack: LocalRun, boarding: Path) -> None:
    command = ["pass", "import", boarding, "--stage", stack.stage, "--type", stack.pass_type_identifier]
    command += ["--template", "boarding", "--map", "Gate=gate"]
    process = subprocess.Popen(
        [*COMMAND, *map(str, command), "--rate", "1"],
        cwd=PROJECT,
        stderr=subprocess.PIPE,
        text=True,
    )
    journal = boarding.with_name(f"boarding.csv.{stack.stage}.progress")
    while not journal.exists() or journal.read_text().count("\n") < 5:  # the header and four rows
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in errors
    done = infra(*command, "--json")
    report = json.loads(done.stdout)
    assert 4 <= report["skipped"] < 24
    assert report["written"] == 24 - report["skipped"]
    assert "resuming after" in done.stderr

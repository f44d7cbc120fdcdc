"""Many passes from a file: what is written, what is refused and why, and what a broken-off import leaves."""

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
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chalicelib.aws.templates import Templates
from chalicelib.core.errors import RefusedError
from infra.local.processes import PROJECT
from infra.local.run import LocalRun
from infra.operate.bulk.importing import Imported, ImportStoppedError, Plan, import_passes
from infra.operate.bulk.journal import ImportRunsError, Journal, Settled
from infra.operate.bulk.rows import open_rows
from infra.stage.stage import Stage
from tests.support import samples
from tests.support.command_line import infra
from tests.support.wire import Wire

TYPE = "pass.com.example"
RUN = """
import sys
from pathlib import Path
from tests.stack.infra.operate.bulk.test_import import imports
print(imports(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])))
"""


@pytest.fixture
def table(stack: LocalRun) -> Iterator[str]:
    """A passes table of a test's own: without a stream, so that nobody else has work with it."""
    client = boto3.client("dynamodb")
    name = f"import-{secrets.token_hex(4)}"
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "pass_id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pass_id", "KeyType": "HASH"}],
    )
    assert stack
    yield name
    client.delete_table(TableName=name)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the template `member`: `visits` is a number, `since` a date, `member` and `level` are texts."""
    made: Path = tmp_path_factory.mktemp("templates")
    (made / "member.pass").mkdir()
    for path, data in samples.files_of("generic").items():
        (made / "member.pass" / path).write_bytes(data)
    return made


@pytest.fixture
def wire(stack: LocalRun) -> Iterator[Wire]:
    """The only way to AWS in this test."""
    found = Wire(stack.aws_endpoint_url)
    os.environ["AWS_ENDPOINT_URL"] = found.url
    yield found
    os.environ["AWS_ENDPOINT_URL"] = stack.aws_endpoint_url
    found.close()


def imports(path: Path, table: str, folder: Path, **plan: Any) -> Imported:  # noqa: ANN401 - Plan's own
    what = replace(Plan(Stage("test", {"PassesTableName": table}), pass_type=TYPE, template="member"), **plan)
    return import_passes(open_rows(path), what, Templates(folder=folder), on_rows=lambda _: None, on_progress=print)


def held(table: str) -> dict[str, dict[str, Any]]:
    """The items by serial number."""
    found: dict[str, dict[str, Any]] = {}
    for page in boto3.client("dynamodb").get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
        for item in page["Items"]:
            plain = boto3.dynamodb.types.TypeDeserializer().deserialize({"M": item})
            found[plain.pop("pass_id").removeprefix(f"{TYPE}/")] = plain
    return found


def fields(table: str) -> dict[str, Mapping[str, Any]]:
    return {serial_number: item.get("fields", {}) for serial_number, item in held(table).items()}


def many(path: Path, count: int) -> Path:
    """A file of so many rows, each hundredth of them broken."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["serial_number", "member", "visits"])
        writer.writerows([f"S-{n:06}", f"Person {n}", "many" if n % 100 == 50 else n] for n in range(count))
    return path


def test_cells_become_what_the_template_s_fields_are(table: str, folder: Path, tmp_path: Path) -> None:
    """A file as a spreadsheet saves it: a byte order mark, semicolons, CRLF, quotes over lines, empty cells."""
    path = tmp_path / "members.csv"
    path.write_bytes(
        "\ufeffCard no;member;visits;since;level;voided;overrides.maxDistance;overrides.logoText;customer;notes\r\n"
        '0012;"Ada ""the first""";12.50;2019-03-01T00:00:00Z;7;TRUE;50;2026;0815;x\r\n'
        '13;"Two\r\nlines";;;;;;;;\r\n'.encode()
    )
    mapping = {"Card no": "serial_number", "customer": "attributes.customer", "notes": ""}
    assert imports(path, table, folder, mapping=mapping).written == 2
    assert held(table) == {
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


def test_broken_rows_in_the_middle_are_kept_with_line_and_reason_and_their_neighbours_are_written(
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
    assert (done.written, done.rejected, sorted(held(table))) == (2, 6, ["1", "8"])
    assert done.rejects == tmp_path / "members.rejected.csv"
    header, *lines = done.rejects.read_text().splitlines()
    assert header == 'passwire_line,"passwire_reason",serial_number,member,visits,since,voided'
    for line, (number, reason, original) in zip(
        lines,
        [
            (3, "is broken", '2,"Bob,2,,'),
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
    mended = done.rejects.read_text().replace('"Bob', "Bob").replace("many", "4").replace("yesterday", "")
    done.rejects.write_text(mended)
    again = imports(done.rejects, table, folder)
    assert (again.written, again.rejected) == (3, 3)
    assert fields(table)["2"] == {"member": "Bob", "visits": 2}


def test_lines_of_json_are_taken_as_they_are_and_broken_ones_refused(table: str, folder: Path, tmp_path: Path) -> None:
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
    assert held(table) == {
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


def test_parquet_s_numbers_and_times_are_taken_and_its_nan_is_nothing(table: str, folder: Path, tmp_path: Path) -> None:
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


def test_without_pyarrow_it_is_said_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(RefusedError, match="pip install pyarrow"):
        open_rows(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", "serial_number,member\n1,Zoë\n2,Zoë\n".encode("cp1252"), r"line 2: byte 0xeb is not UTF-8.*iconv"),
        ("a.csv", b"serial_number\n" + b"1\n" * 600_000 + b"\xff\n", "line 600002: byte 0xff is not UTF-8"),
        ("a.csv", "serial_number,member\n1,Zoë"[:-1].encode() + b"\xc3", "line 2: ends in half a character"),
        ("a.csv", b"", "is empty"),
        ("a.csv", b"\n\n", "first line must name the columns"),
        ("a.csv", b"serial_number,serial_number\n", "each column a name of its own"),
        ("a.csv", b"x" * 5_000_000, "line 1: is over"),
        ("a.parquet", b"no parquet", "is no Parquet file"),
        ("a.xlsx", b"PK", "must end in one of .csv, .jsonl, .parquet"),
    ],
)
def test_a_file_that_is_none_is_one_clear_error(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RefusedError, match=told):
        open_rows(tmp_path / name)


@pytest.mark.parametrize(
    ("header", "plan", "told"),
    [
        ("serial_number,Member,gaet", {}, "column 'Member', 'gaet': is no field of template 'member'.*--map 'Member'="),
        ("serial_number,fields.gaet", {}, "column 'fields.gaet': is no field"),
        ("serial_number,member", {"mapping": {"membr": "member"}}, "--map: there is no column 'membr'"),
        ("serial_number,member,x", {"mapping": {"x": "member"}}, "two columns are fields.member"),
        ("number,member", {"mapping": {"number": ""}}, "no column is the serial number"),
        ("serial_number,pass_id", {}, "both pass_id and serial_number"),
        ("serial_number", {"pass_type": None}, "give --type"),
        ("serial_number", {"template": None}, "give --template"),
        ("serial_number,member", {"template": None}, "column 'member'.*give --template"),
        ("serial_number", {"template": "nobodys"}, "template 'nobodys' does not exist"),
    ],
)
def test_columns_that_cannot_make_passes_are_one_clear_error_before_the_first_write(
    table: str, folder: Path, tmp_path: Path, header: str, plan: Mapping[str, Any], told: str
) -> None:
    path = tmp_path / "members.csv"
    path.write_text(header + "\n" + "1" + "," * header.count(",") + "\n")
    with pytest.raises(RefusedError, match=told):
        imports(path, table, folder, **plan)
    assert held(table) == {}
    assert list(tmp_path.iterdir()) == [path]


def test_of_two_rows_of_one_pass_the_later_wins(table: str, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "members.csv"
    lines = [f"{number % 7},Person {number}" for number in range(300)]
    path.write_text("\n".join(["serial_number,member", *lines]))
    assert imports(path, table, folder).written == 300
    last = {str(number % 7): {"member": f"Person {number}"} for number in range(300)}
    assert fields(table) == last


def test_what_dynamodb_leaves_unprocessed_is_written_all_the_same(
    table: str, folder: Path, tmp_path: Path, wire: Wire
) -> None:
    wire.unprocessed_every = 2
    done = imports(many(tmp_path / "members.csv", 500), table, folder)
    assert (done.written, done.rejected) == (495, 5)
    assert len(held(table)) == wire.writes() == 495


def test_a_row_that_dynamodb_refuses_is_refused_alone(table: str, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "members.jsonl"
    texts = {"1": "Ada", "2": "x" * 410_000, "3": "Cy"}
    path.write_text("".join(json.dumps({"serial_number": s, "member": text}) + "\n" for s, text in texts.items()))
    done = imports(path, table, folder)
    assert sorted(held(table)) == ["1", "3"]
    assert done.rejects is not None
    assert "DynamoDB: Item size has exceeded" in done.rejects.read_text()


def test_an_import_keeps_to_its_rate(table: str, folder: Path, tmp_path: Path) -> None:
    done = imports(many(tmp_path / "members.csv", 100), table, folder, rate=60)
    assert done.seconds >= (99 - 25) / 60


def test_a_killed_import_goes_on_with_what_was_not_written(
    table: str, folder: Path, tmp_path: Path, wire: Wire
) -> None:
    """Killed with the requests of eight threads under way, twice; counted on the wire."""
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
    assert len(held(table)) == wire.writes() == 2970
    assert done.rejected == 30
    assert done.rejects is not None
    lines = [line.split(",")[0] for line in done.rejects.read_text().splitlines()[1:]]
    assert sorted(map(int, lines)) == list(range(52, 3000, 100))
    assert not (tmp_path / "members.csv.test.progress").exists()


def test_a_network_that_goes_away_stops_the_import_which_goes_on_when_it_is_back(
    table: str, folder: Path, tmp_path: Path, wire: Wire
) -> None:
    path = many(tmp_path / "members.csv", 2000)
    wire.cut_after = 800
    with pytest.raises(ImportStoppedError, match=r"[\d,]+ rows of .*members.csv are settled, none by half") as stopped:
        imports(path, table, folder)
    (settled,) = re.findall(r"([\d,]+) rows of", str(stopped.value))
    assert int(settled.replace(",", "")) >= 800
    wire.cut_after = None
    done = imports(path, table, folder)
    assert done.skipped >= int(settled.replace(",", ""))
    assert len(held(table)) == wire.writes() == 1980


def test_a_file_that_changed_is_imported_from_its_first_row(
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
    assert "from the first row" in capsys.readouterr().out
    assert all(said["member"].startswith("Member") for said in fields(table).values())


def test_a_file_is_imported_by_one_at_a_time(table: str, folder: Path, tmp_path: Path) -> None:
    path = many(tmp_path / "members.csv", 10)
    with Journal(tmp_path / "members.csv.test.progress", "key"), pytest.raises(ImportRunsError, match="wait for it"):
        imports(path, table, folder)


@pytest.mark.parametrize("torn", [b"51 7", b"51 783 85 3 0 99\n", b"51 75 25 0 9986 90 5 0 99\n"])
def test_a_journal_is_read_to_the_line_that_was_torn(tmp_path: Path, torn: bytes) -> None:
    """By a kill, or by a full disk with more written after it."""
    path = tmp_path / "journal"
    with Journal(path, "key") as journal:
        journal.note(Settled(26, 50, 25, 0, 0))
        journal.note(Settled(1, 25, 20, 5, 99))
        journal.note(Settled(76, 80, 5, 0, 99))
    with path.open("ab") as file:
        file.write(torn)
    with Journal(path, "key") as journal:
        assert [n for n in range(1, 100) if journal.settled(n)] == [*range(1, 51), *range(76, 81)]
        assert (journal.written, journal.rejected, journal.rejects_size) == (50, 5, 99)
        journal.note(Settled(51, 82, 27, 0, 99))
        assert [n for n in range(1, 100) if not journal.settled(n)] == list(range(83, 100))


@pytest.fixture
def boarding(tmp_path: Path, stack: LocalRun) -> Iterator[Path]:
    """A file of passes of the stage's own table, which are taken away in the end."""
    serial_numbers = [f"{secrets.token_hex(4)}-{number}" for number in range(24)]
    path = tmp_path / "boarding.csv"
    path.write_text("\n".join(["serial_number,Gate", *(f"{number},A1" for number in serial_numbers)]) + "\n")
    yield path
    with boto3.resource("dynamodb").Table(stack.tables["passes"]).batch_writer() as batch:
        for number in serial_numbers:
            batch.delete_item(Key={"pass_id": f"{stack.pass_type_identifier}/{number}"})


def test_the_command_tells_a_script_what_it_did_and_ends_with_1_where_rows_were_refused(
    stack: LocalRun, boarding: Path
) -> None:
    command = ["pass", "import", boarding, "--stage", stack.stage, "--type", stack.pass_type_identifier]
    done = infra(*command, "--template", "boarding", "--map", "Gate=gate", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["written"], told["skipped"], told["rejected"], told["rejects"]) == (24, 0, 0, None)
    done = infra(*command, "--template", "boarding")
    assert done.returncode == 1
    assert re.fullmatch(r"error: column 'Gate': is no field of template 'boarding' .*\n", done.stderr), done.stderr
    boarding.write_text(boarding.read_text() + "x\n")
    done = infra(*command, "--template", "boarding", "--map", "Gate=gate")
    assert done.returncode == 1
    assert "24 written, 1 refused" in done.stdout
    assert "boarding.rejected.csv" in done.stdout


def test_ctrl_c_ends_an_import_with_130_and_the_same_command_goes_on(stack: LocalRun, boarding: Path) -> None:
    command = ["pass", "import", boarding, "--stage", stack.stage, "--type", stack.pass_type_identifier]
    command += ["--template", "boarding", "--map", "Gate=gate"]
    process = subprocess.Popen(
        [sys.executable, "-m", "infra", *map(str, command), "--rate", "1"],
        cwd=PROJECT,
        stderr=subprocess.PIPE,
        text=True,
    )
    journal = boarding.with_name(f"boarding.csv.{stack.stage}.progress")
    while not journal.exists() or journal.read_text().count("\n") < 5:  # a head and four rows
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in said
    done = infra(*command, "--json")
    told = json.loads(done.stdout)
    assert 4 <= told["skipped"] < 24
    assert told["written"] == 24 - told["skipped"]
    assert "going on after" in done.stderr


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """Rows are read one at a time: of a file of 10 MB, some hundred kilobytes are in memory."""
    import tracemalloc  # noqa: PLC0415 - slows down whatever runs while it is on

    path = tmp_path / "members.csv"
    with path.open("w") as file:
        file.write("serial_number,member\n")
        file.writelines(f"{number},{'x' * 90}\n" for number in range(100_000))
    found = open_rows(path)
    tracemalloc.start()
    count = sum(1 for _ in zip(found.rows(), range(10_000), strict=False))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 10_000
    assert peak < 1_000_000

"""Tests of links in bulk and of links to several passes, by the command line and over HTTP."""

import csv
import io
import json
import stat
import zipfile
from pathlib import Path

import httpx
import pytest

from infra.local.phone import SAFARI
from infra.local.run import LocalRun
from tests.conftest import Pipeline
from tests.support.command_line import infra

PKPASSES = "application/vnd.apple.pkpasses"


def table_of(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def is_private(path: Path) -> bool:
    return stat.S_IMODE(path.stat().st_mode) == 0o600


def test_link_to_several_passes_gives_an_iphone_all_of_them(
    stack: LocalRun, pipeline: Pipeline, serial_number: str
) -> None:
    pass_ids = [str(pipeline.writes(f"{serial_number}-{number}")) for number in range(3)]
    done = infra("pass", "link", *pass_ids, "--json", "--stage", stack.stage)
    printed = json.loads(done.stdout)
    assert printed["pass_ids"] == pass_ids
    answer = httpx.get(printed["link"], headers={"User-Agent": SAFARI})
    assert answer.headers["Content-Type"] == PKPASSES
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.namelist() == ["1.pkpass", "2.pkpass", "3.pkpass"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "give one to ten passes"),
        (["--all"], "give --type and --output"),
        (["pass.a/1", "--all", "--type", "pass.a", "--output", "x.csv"], "neither PASS"),
        (["pass.a/1", "--output", "x.csv"], "--all with --type"),
    ],
)
def test_unclear_choice_of_passes_is_an_invalid_value(stack: LocalRun, arguments: list[str], problem: str) -> None:
    done = infra("pass", "link", *arguments, "--stage", stack.stage)
    assert (done.returncode, problem in " ".join(done.stderr.split())) == (2, True), done.stderr


def test_eleven_passes_or_one_twice_are_refused(stack: LocalRun, pipeline: Pipeline, serial_number: str) -> None:
    pass_ids = [str(pipeline.writes(f"{serial_number}-{number}")) for number in range(11)]
    for wrong, problem in ((pass_ids, "1 to 10"), (pass_ids[:1] * 2, "named twice")):
        done = infra("pass", "link", *wrong, "--stage", stack.stage)
        assert (done.returncode, problem in done.stderr) == (1, True), done.stderr


def test_link_for_each_pass_of_a_type_and_an_interrupted_run_is_resumed(
    stack: LocalRun, pipeline: Pipeline, serial_number: str, tmp_path: Path
) -> None:
    first, second = (str(pipeline.writes(f"{serial_number}-{number}")) for number in range(2))
    output = tmp_path / "links.csv"
    interrupted = f"pass_id,link\r\n{first},https://kept.example/p/x\r\n{second},https://cut".encode()
    output.with_name("links.csv.partial").write_bytes(interrupted)
    chosen = ("pass", "link", "--type", stack.pass_type_identifier, "--all", "--output", output, "--stage", stack.stage)
    done = infra(*chosen, "--json")
    links = dict(table_of(output)[1:])
    assert json.loads(done.stdout) == {"links": len(links), "from_interrupted_run": 1, "file": str(output)}
    assert links[first] == "https://kept.example/p/x"
    assert httpx.get(links[second], headers={"User-Agent": SAFARI}).status_code == 200
    assert len(links) == len(table_of(output)) - 1
    assert is_private(output)
    assert not output.with_name("links.csv.partial").exists()
    shown = infra(*chosen[:6], "-", *chosen[7:])
    assert shown.stdout.splitlines()[0] == "pass_id,link"
    assert len(shown.stdout.splitlines()) == len(links) + 1
    again = infra(*chosen)
    assert (again.returncode, "exists" in again.stderr) == (2, True)


def test_import_writes_its_accepted_rows_with_a_column_of_links(
    stack: LocalRun, pipeline: Pipeline, serial_number: str, tmp_path: Path
) -> None:
    file, output = tmp_path / "tickets.csv", tmp_path / "links.csv"
    file.write_text(
        "serial_number,gate,email,authentication_token\n"
        f"{serial_number}-1,A1,ada@example.com,secret-token-of-the-pass\n"
        f"{serial_number}-2,A2,grace@example.com,\n"
        ",A3,no-serial@example.com,\n"
    )
    done = infra(
        "pass", "import", file, "--type", pipeline.pass_type_identifier, "--template", pipeline.template,
        "--map", "email=attributes.email", "--links", output, "--yes", "--stage", stack.stage,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr  # one row is refused
    header, *rows = table_of(output)
    assert header == ["serial_number", "gate", "email", "link"]
    assert [row[:3] for row in rows] == [
        [f"{serial_number}-1", "A1", "ada@example.com"],
        [f"{serial_number}-2", "A2", "grace@example.com"],
    ]
    assert [httpx.get(row[3], headers={"User-Agent": SAFARI}).status_code for row in rows] == [200, 200]
    assert is_private(output)

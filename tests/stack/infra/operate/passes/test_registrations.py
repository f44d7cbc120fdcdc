"""Tests of counting the devices that commands notify, and of the question before more than 100 are notified."""

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from chalicelib.core.identifiers import PassId
from infra.local.run import LocalRun
from infra.operate.passes.registrations import QUERIED_PASSES, RegistrationCounter
from infra.stage.stage import Stage
from tests.conftest import Pipeline
from tests.support import samples
from tests.support.command_line import AtTerminal, infra

CROWD = 101


@pytest.fixture
def popular(stack: LocalRun, pipeline: Pipeline, serial_number: str) -> Iterator[PassId]:
    """A pass with 101 registered devices, which do not exist."""
    pass_id = pipeline.writes(serial_number, fields={"gate": "A1"})
    table = boto3.resource("dynamodb").Table(stack.tables["registrations"])
    keys = [
        {"pass_id": str(pass_id), "device_library_identifier": f"{serial_number}-{number:04}"}
        for number in range(CROWD)
    ]
    with table.batch_writer() as batch:
        for key in keys:
            batch.put_item(Item={**key, "registered_at": 1})
    yield pass_id
    with table.batch_writer() as batch:
        for key in keys:
            batch.delete_item(Key=key)
    pipeline.deletes(pass_id)


def test_each_device_counts_once_however_many_passes_are_counted(stack: LocalRun, popular: PassId) -> None:
    registrations = RegistrationCounter(Stage.open(stack.stage))
    assert registrations.devices([]) == 0
    assert registrations.devices([str(popular)]) == CROWD
    assert registrations.devices([str(popular), "pass.x/none"]) == CROWD
    many = [f"pass.x/{number}" for number in range(QUERIED_PASSES)]
    assert registrations.devices([*many, str(popular)]) == CROWD
    assert registrations.has_more_than(CROWD - 1)


@pytest.mark.parametrize(
    "command",
    [
        ["pass", "update", "PASS", "--field", "gate=B2"],
        ["pass", "void", "PASS"],
        ["push", "send", "PASS"],
        ["push", "send", "--changed-since", "10m"],
        ["pass", "import", "FILE", "--template", "boarding"],
    ],
    ids=" ".join,
)
def test_more_than_100_devices_are_not_notified_without_an_answer(
    stack: LocalRun, pipeline: Pipeline, popular: PassId, tmp_path: Path, command: list[str]
) -> None:
    file = tmp_path / "passes.csv"
    file.write_text(f"pass_id,gate\n{popular},B2\n")
    arguments = [{"PASS": str(popular), "FILE": str(file)}.get(word, word) for word in command]
    done = infra(*arguments, "--stage", stack.stage)
    assert done.returncode == 2, done.stderr
    assert "and notify 1" in done.stderr
    assert "confirmation needs a terminal" in done.stderr
    item = pipeline.table.get_item(Key={"pass_id": str(popular)}, ConsistentRead=True)["Item"]
    assert item["fields"] == {"gate": "A1"}
    assert "voided" not in item


def test_question_at_a_terminal_has_the_number(stack: LocalRun, popular: PassId) -> None:
    terminal = AtTerminal("pass", "update", str(popular), "--field", "gate=B2", "--stage", stack.stage)
    terminal.until(f"change pass {popular} and notify 101 devices? [y/N]")
    terminal.types("n\n")
    assert terminal.ends() == 1
    assert "declined; nothing was changed" in terminal.shown


def test_dry_runs_count_and_change_nothing(
    stack: LocalRun, pipeline: Pipeline, popular: PassId, tmp_path: Path
) -> None:
    file = tmp_path / "passes.csv"
    kind = popular.pass_type_identifier
    file.write_text(
        f"pass_id,gate\n{popular},B2\n{kind}/{secrets.token_hex(4)},A1\n{kind}/x,A1\npass.com.example.unknown/1,A1\n"
    )
    unchanged = pipeline.writes("x", fields={"gate": "A1"})
    options = ("--stage", stack.stage, "--dry-run", "--json")

    def planned(*arguments: str) -> dict[str, Any]:
        done = infra(*arguments, *options)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    plan = planned("pass", "import", str(file), "--template", "boarding")
    assert {name: plan[name] for name in ("new", "changed", "unchanged", "rejected", "devices")} == {
        "new": 1, "changed": 1, "unchanged": 1, "rejected": 1, "devices": CROWD,
    }  # fmt: skip
    assert plan["refusals"][0].startswith("line 5: pass type pass.com.example.unknown: stage local has no certificate")
    assert planned("push", "send", str(popular)) == {"passes": 1, "devices": CROWD, "dry_run": True}
    folder = tmp_path / "boarding.pass"
    folder.mkdir()
    for name, data in samples.files_of("boardingPass").items():
        (folder / name).write_bytes(data)
    pushed = planned("template", "push", str(folder), "--notify")
    assert pushed["devices"] >= CROWD
    assert pushed["revision"] != pushed["before"]
    assert pipeline.table.get_item(Key={"pass_id": str(popular)})["Item"]["fields"] == {"gate": "A1"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["boarding.pass", "passes.csv"]
    pipeline.deletes(unchanged)


def test_import_of_a_pass_type_without_a_certificate_is_refused(stack: LocalRun, tmp_path: Path) -> None:
    file = tmp_path / "passes.csv"
    file.write_text("serial_number,gate\n1,A1\n")
    arguments = ["--type", "pass.com.example.unknown", "--template", "boarding", "--stage", stack.stage]
    done = infra("pass", "import", str(file), *arguments)
    assert done.returncode == 1
    assert "stage local has no certificate for it, so its passes cannot be signed; nothing was written" in done.stderr
    assert "cert import pass.com.example.unknown FILE --stage local" in done.stderr
    assert list(tmp_path.iterdir()) == [file]

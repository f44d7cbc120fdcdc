"""Tests of `pass issue|link|update|void|unvoid|show|list|delete` on the command line."""

import json
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import boto3
import httpx
import pytest
from typer.testing import CliRunner, Result

from chalicelib.core.identifiers import PassId
from infra.commands import app
from infra.local.phone import Phone
from infra.local.run import LocalRun
from tests.conftest import Issuer, Pipeline
from tests.support.command_line import AtTerminal
from tests.support.eventually import eventually
from tests.support.qr import read_qr


def run(*arguments: object, answer: str | None = None) -> Result:
    return CliRunner().invoke(app, ["pass", *map(str, arguments)], input=answer)


@dataclass(frozen=True)
class PassCommands:
    """Runs `pass` commands for the local run, and reads its passes table."""

    stack: LocalRun
    table: Any

    def run(self, command: str, *arguments: object, answer: str | None = None) -> Result:
        return run(command, *arguments, "--stage", self.stack.stage, answer=answer)

    def run_json(self, command: str, *arguments: object) -> dict[str, Any]:
        done = self.run(command, *arguments, "--json")
        assert done.exit_code == 0, done.output
        return dict(json.loads(done.stdout))

    def error_of(self, command: str, *arguments: object) -> str:
        done = self.run(command, *arguments)
        assert done.exit_code == 1
        return str(done.exception)

    def item(self, pass_id: object) -> dict[str, Any] | None:
        item: dict[str, Any] | None = self.table.get_item(Key={"pass_id": str(pass_id)}, ConsistentRead=True).get(
            "Item"
        )
        return item


@pytest.fixture
def cli(stack: LocalRun) -> PassCommands:
    return PassCommands(stack, boto3.resource("dynamodb").Table(stack.tables["passes"]))


@pytest.fixture
def pass_id(cli: PassCommands, serial_number: str) -> Iterator[PassId]:
    """Id of a pass that does not exist yet."""
    named = PassId(cli.stack.pass_type_identifier, serial_number)
    yield named
    cli.table.delete_item(Key={"pass_id": str(named)})


def test_issued_pass_has_the_given_values_and_a_working_link(cli: PassCommands, pass_id: PassId) -> None:
    issued = cli.run_json(
        "issue", pass_id, "--template", "rewards", "--field", "member=Ada=Lovelace", "--field", "points:=1200",
        "--override", '{"userInfo": {"rate": 1.5}}', "--expires", "12h",
    )  # fmt: skip
    assert cli.item(pass_id) == {
        "pass_id": str(pass_id),
        "template": "rewards",
        "fields": {"member": "Ada=Lovelace", "points": 1200},
        "overrides": {"userInfo": {"rate": Decimal("1.5")}},
    }
    assert issued["pass_id"] == str(pass_id)
    page = httpx.get(issued["link"], timeout=30)
    assert "Ada=Lovelace" in page.text


def test_standard_output_contains_only_the_link(cli: PassCommands, pass_id: PassId) -> None:
    done = cli.run("issue", pass_id, "--template", "boarding")
    assert httpx.head(done.stdout.strip(), timeout=30).status_code == 200
    assert f"issued pass {pass_id}; until " in done.stderr


def test_new_serial_number_is_the_default(cli: PassCommands) -> None:
    kind = cli.stack.pass_type_identifier
    issued = [cli.run_json("issue", "--type", kind, "--template", "boarding")["pass_id"] for _ in range(2)]
    assert len(set(issued)) == 2
    assert all(re.fullmatch(rf"{re.escape(kind)}/[2-9A-Z]{{12}}", pass_id) for pass_id in issued)
    for pass_id in issued:
        assert cli.item(pass_id) == {"pass_id": pass_id, "template": "boarding"}
        cli.table.delete_item(Key={"pass_id": pass_id})


def test_serial_number_of_a_deleted_pass_is_refused_without_reuse_serial(
    cli: PassCommands, issuer: Issuer, pass_id: PassId
) -> None:
    """A pass's token is derived from its pass id, so the former holder's token would open the new pass."""
    cli.run_json("issue", pass_id, "--template", "boarding")
    eventually(lambda: cli.run_json("show", pass_id)["revision"], "the first stamp")
    cli.run("delete", pass_id, "--yes")
    refusal = cli.error_of("issue", pass_id, "--template", "boarding")
    assert "give another serial number, or --reuse-serial if it is for the same person" in refusal
    assert issuer.issues(pass_id).status_code == 401
    assert cli.run_json("issue", pass_id, "--template", "boarding", "--reuse-serial")["pass_id"] == str(pass_id)
    assert issuer.issues(pass_id).status_code == 200


def test_existing_pass_is_not_issued_again(cli: PassCommands, pass_id: PassId) -> None:
    cli.run_json("issue", pass_id, "--template", "boarding", "--field", "gate=A7")
    refusal = cli.error_of("issue", pass_id, "--template", "boarding")
    assert "already exists; to change it, run `pass update`; to get a new link, `pass link`" in refusal
    assert (cli.item(pass_id) or {})["fields"] == {"gate": "A7"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--template", "boarding", "--field", "gaet=A7"], "template 'boarding' has no such field; it has"),
        (["--template", "no-such"], "template 'no-such' does not exist"),
        (["--template", "rewards", "--field", "points=many"], "must be a number"),
        (["--template", "boarding", "--override", '{"serialNumber": "x"}'], "is set by the service"),
        (["--template", "boarding", "--override", '{"relevantDate": "tomorrow"}'], "relevantDate"),
    ],
)
def test_invalid_pass_is_not_written(cli: PassCommands, pass_id: PassId, arguments: list[str], message: str) -> None:
    assert message in cli.error_of("issue", pass_id, *arguments)
    assert cli.item(pass_id) is None


def test_pass_of_a_type_without_a_certificate_is_not_issued(cli: PassCommands, serial_number: str) -> None:
    pass_id = f"pass.com.example.unknown/{serial_number}"
    assert "has no certificate for it" in cli.error_of("issue", pass_id, "--template", "boarding")
    assert cli.item(pass_id) is None


@pytest.mark.parametrize(
    "arguments",
    [
        ["issue", "a/b", "--template", "t", "--field", "gate"],
        ["issue", "a/b", "--template", "t", "--field", "=x"],
        ["issue", "a/b", "--template", "t", "--field", "n:=NaN"],
        ["issue", "a/b", "--template", "t", "--override", "[]"],
        ["issue", "a/b", "--template", "t", "--override", "{"],
        ["issue", "a/b", "--template", "t", "--expires", "1y"],
        ["issue", "a/b", "--template", "t", "--expires", "367d"],
        ["link", "a/b", "--expires", "999999d"],
        ["issue", "a/b", "--template", "t", "--type", "a"],
        ["issue", "a/b", "--template", "t", "--serial", "b"],
        ["issue", "--template", "t"],
        ["issue", "a/b"],
        ["update", "a/b"],
    ],
    ids=" ".join,
)
def test_invalid_arguments_end_with_2(arguments: list[str]) -> None:
    """They are reported before the stage is looked up."""
    assert run(*arguments, "--stage", "no-such-stage").exit_code == 2


def test_update_keeps_all_other_values_of_the_item(cli: PassCommands, pass_id: PassId) -> None:
    before = {
        "pass_id": str(pass_id),
        "template": "boarding",
        "fields": {"gate": "A7", "seat": {"value": "14C", "label": "SITZ"}},
        "the_pipelines_own": {"booking": "Q"},
        "authentication_token": "its-own-token-of-old",
    }
    cli.table.put_item(Item=before)
    done = cli.run_json("update", pass_id, "--field", "seat=15A", "--override", '{"groupingIdentifier": "g"}')
    paths = ["fields.seat", "overrides.groupingIdentifier"]
    assert done == {"pass_id": str(pass_id), "changed": paths, "devices": 0, "notified": 0}
    changed = {
        **before,
        "fields": {"gate": "A7", "seat": {"value": "15A", "label": "SITZ"}},
        "overrides": {"groupingIdentifier": "g"},
    }
    assert cli.item(pass_id) == changed
    cli.run_json("update", pass_id, "--field", 'seat:={"value": "16B"}', "--override", '{"userInfo": 1}')
    changed = {
        **changed,
        "fields": {"gate": "A7", "seat": {"value": "16B"}},
        "overrides": {"groupingIdentifier": "g", "userInfo": 1},
    }
    assert cli.item(pass_id) == changed
    cli.run_json("void", pass_id)
    assert cli.item(pass_id) == {**changed, "voided": True}
    cli.run_json("unvoid", pass_id)
    assert cli.item(pass_id) == {**changed, "voided": False}


def test_update_reports_each_changed_value_and_that_nothing_changed(
    cli: PassCommands, issuer: Issuer, pass_id: PassId, phone: Phone
) -> None:
    cli.table.put_item(Item={"pass_id": str(pass_id), "template": "boarding", "fields": {"gate": "A7"}})
    phone.adds(issuer.issues(pass_id).content)
    done = cli.run("update", pass_id, "--field", "gate=B22", "--field", "seat=1A")
    assert done.stdout == (
        f"updated pass {pass_id}; 1 device to notify\n  fields.gate: A7 -> B22\n  fields.seat: (none) -> 1A\n"
    )
    done = cli.run("update", pass_id, "--field", "gate=B22")
    assert "nothing was changed, and no device is notified" in done.stdout
    assert cli.run_json("void", pass_id)["changed"] == ["voided"]
    cli.run_json("unvoid", pass_id)
    assert cli.run_json("unvoid", pass_id) == {"pass_id": str(pass_id), "changed": [], "devices": 1, "notified": 0}


def test_unset_removes_values_wherever_they_are(cli: PassCommands, pass_id: PassId) -> None:
    cli.table.put_item(
        Item={
            "pass_id": str(pass_id),
            "template": "boarding",
            "fields": {"gate": "A7", "seat": "1A"},
            "overrides": {"groupingIdentifier": "g"},
            "note": "of the pipeline",
        }
    )
    unset = ["--unset", "gate", "--unset", "overrides.groupingIdentifier", "--unset", "attributes.note"]
    done = cli.run_json("update", pass_id, *unset, "--unset", "passenger", "--field", "seat=2B")
    assert set(done["changed"]) == {"fields.gate", "fields.seat", "overrides.groupingIdentifier", "note"}
    assert cli.item(pass_id) == {
        "pass_id": str(pass_id), "template": "boarding", "fields": {"seat": "2B"}, "overrides": {},
    }  # fmt: skip


@pytest.mark.parametrize(
    "key",
    ["no-slash", "/serial-only", "a b/\x1b[2J", "é" * 1024],
    ids=["no slash", "no pass type", "control characters", "too long"],
)
def test_any_item_is_shown_and_deleted_by_its_key(cli: PassCommands, key: str) -> None:
    cli.table.put_item(Item={"pass_id": key, "fields": "of a broken pipeline"})
    shown = cli.run_json("show", key)
    assert shown["item"] == {"pass_id": key, "fields": "of a broken pipeline"}
    assert "\x1b" not in cli.run("show", key).stdout
    assert cli.run("delete", key, "--yes").exit_code == 0
    assert cli.item(key) is None


def test_invalid_change_is_not_written(cli: PassCommands, pass_id: PassId) -> None:
    cli.table.put_item(Item={"pass_id": str(pass_id), "template": "boarding", "fields": {"gate": "A7"}})
    assert "has no such field" in cli.error_of("update", pass_id, "--field", "gate=B1", "--field", "gaet=B2")
    assert (cli.item(pass_id) or {})["fields"] == {"gate": "A7"}
    cli.table.put_item(Item={"pass_id": str(pass_id), "template": "boarding", "fields": ["of a pipeline"]})
    assert "attribute 'fields': must be a map" in cli.error_of("update", pass_id, "--field", "gate=B1")


def test_missing_pass_is_reported_and_not_created(cli: PassCommands, pass_id: PassId) -> None:
    for command in (["show"], ["update", "--field", "gate=B1"], ["void"], ["unvoid"], ["link"], ["delete", "--yes"]):
        refusal = cli.error_of(command[0], pass_id, *command[1:])
        assert "does not exist; `pass list` shows the passes of the stage" in refusal
        assert cli.item(pass_id) is None


def test_show_prints_version_and_number_of_devices_and_no_secrets(
    cli: PassCommands, pipeline: Pipeline, issuer: Issuer, phone: Phone, pass_id: PassId
) -> None:
    own = "an-own-token-of-the-pass"
    pipeline.writes(
        pass_id.serial_number,
        fields={"gate": "A7"},
        authentication_token=own,
        personalization={"fullName": "Ada"},
        tags={"b", "a"},
        note="[red]\x1b[2J",
    )
    phone.adds(issuer.issues(pass_id).content)
    shown = cli.run_json("show", pass_id)
    assert shown["item"] == {
        "pass_id": str(pass_id),
        "template": "boarding",
        "fields": {"gate": "A7"},
        "tags": ["a", "b"],
        "note": "[red]\x1b[2J",
    }
    assert shown["devices"] == 1
    eventually(lambda: cli.run_json("show", pass_id)["revision"] == 1, "the first stamp")
    text = cli.run("show", pass_id).stdout
    assert '"[red]\\u001b[2J"' in text
    for secret in (own, "Ada", phone.device_library_identifier, phone.push_token):
        assert secret not in text


@pytest.fixture
def template(cli: PassCommands) -> Iterator[str]:
    """Name of a template with three passes, one of them void."""
    name = f"t-{secrets.token_hex(4)}"
    items = [{"pass_id": f"pass.listed/{name}-{n}", "template": name, "voided": n == 1} for n in range(3)]
    with cli.table.batch_writer() as batch:
        for item in items:
            batch.put_item(Item=item)
    yield name
    with cli.table.batch_writer() as batch:
        for item in items:
            batch.delete_item(Key={"pass_id": item["pass_id"]})


def listed(done: Result) -> list[dict[str, Any]]:
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_passes_are_listed_one_per_line_and_in_pages(cli: PassCommands, template: str) -> None:
    everything = listed(cli.run("list", "--template", template, "--json"))
    assert {item["pass_id"] for item in everything} == {f"pass.listed/{template}-{n}" for n in range(3)}
    assert sum(item["voided"] for item in everything) == 1
    first = cli.run("list", "--template", template, "--limit", 2, "--json")
    assert "2 passes listed, " in first.stderr
    after = listed(first)[-1]["pass_id"]
    assert f"to continue, add: --after {after}" in first.stderr
    rest = cli.run("list", "--template", template, "--limit", 2, "--after", after, "--json")
    assert [*listed(first), *listed(rest)] == everything
    assert "--after" not in rest.stderr


def test_list_of_a_type_has_only_its_passes_and_the_cost(cli: PassCommands, template: str, pass_id: PassId) -> None:
    cli.run_json("issue", pass_id, "--template", "boarding")
    done = cli.run("list", "--type", "pass.listed", "--limit", 1000)
    assert template in done.stdout
    assert str(pass_id) not in done.stdout
    assert re.search(r"[1-9][\d,]* items read for [\d.]+ read units", done.stderr)


def test_delete_asks_and_describes_the_consequences_on_phones(cli: PassCommands, pass_id: PassId, phone: Phone) -> None:
    link = cli.run_json("issue", pass_id, "--template", "boarding")["link"]
    phone.opens(link)
    refused = cli.run("delete", pass_id, answer="y\n")
    assert refused.exit_code == 2
    assert "confirmation needs a terminal" in refused.stderr
    terminal = AtTerminal("pass", "delete", str(pass_id), "--stage", cli.stack.stage)
    terminal.until("[y/N]")
    assert "1 device has the pass: it stays there unchanged" in terminal.shown
    assert "run `pass void` first" in terminal.shown
    terminal.types("n\n")
    assert terminal.ends() == 1
    assert "declined; nothing was deleted" in terminal.shown
    assert cli.item(pass_id)
    assert cli.run("delete", pass_id, "--yes").exit_code == 0
    assert cli.item(pass_id) is None
    assert httpx.get(link, timeout=30).status_code == 410


def test_scanner_reads_the_link_from_the_terminal(cli: PassCommands, pass_id: PassId, phone: Phone) -> None:
    done = cli.run("issue", pass_id, "--template", "boarding", "--qr")
    read = read_qr([line for line in done.stderr.splitlines() if set(line) <= set(" ▀▄█") and line], dark=False)
    assert read is not None
    assert read.text == done.stdout.strip()
    assert phone.opens(read.text) == 201


def test_ctrl_c_at_the_prompt_deletes_nothing(cli: PassCommands, pass_id: PassId) -> None:
    cli.run_json("issue", pass_id, "--template", "boarding")
    terminal = AtTerminal("pass", "delete", str(pass_id), "--stage", cli.stack.stage)
    terminal.until("[y/N]")
    terminal.interrupts()
    assert terminal.ends() == 130
    assert cli.item(pass_id)

"""`pass issue|link|update|void|unvoid|show|list|delete`, as a person or a script calls them."""

import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from io import StringIO
from typing import Any

import boto3
import httpx
import pytest
import zxingcpp
from rich.console import Console
from typer.testing import CliRunner, Result

from chalicelib.core.identifiers import PassId
from infra.commands import app
from infra.local.phone import Phone
from infra.local.processes import PROJECT
from infra.local.run import LocalRun
from infra.operate.passes.qr import terminal_qr
from tests.conftest import Issuer, Pipeline
from tests.support.command_line import interrupt
from tests.support.eventually import eventually

SCALE = 4


def run(*arguments: object, answer: str | None = None) -> Result:
    return CliRunner().invoke(app, ["pass", *map(str, arguments)], input=answer)


@dataclass(frozen=True)
class Desk:
    """Somebody at the command line, with the table to look into."""

    stack: LocalRun
    table: Any

    def does(self, command: str, *arguments: object, answer: str | None = None) -> Result:
        return run(command, *arguments, "--stage", self.stack.stage, answer=answer)

    def tells(self, command: str, *arguments: object) -> dict[str, Any]:
        done = self.does(command, *arguments, "--json")
        assert done.exit_code == 0, done.output
        return dict(json.loads(done.stdout))

    def refuses(self, command: str, *arguments: object) -> str:
        done = self.does(command, *arguments)
        assert done.exit_code == 1
        return str(done.exception)

    def item(self, pass_id: object) -> dict[str, Any] | None:
        item: dict[str, Any] | None = self.table.get_item(Key={"pass_id": str(pass_id)}, ConsistentRead=True).get(
            "Item"
        )
        return item


@pytest.fixture
def desk(stack: LocalRun) -> Desk:
    return Desk(stack, boto3.resource("dynamodb").Table(stack.tables["passes"]))


@pytest.fixture
def pass_id(desk: Desk, serial_number: str) -> Iterator[PassId]:
    """One that is not there yet."""
    named = PassId(desk.stack.pass_type_identifier, serial_number)
    yield named
    desk.table.delete_item(Key={"pass_id": str(named)})


def test_a_pass_is_issued_with_what_was_given_and_its_link_leads_to_it(desk: Desk, pass_id: PassId) -> None:
    issued = desk.tells(
        "issue", pass_id, "--template", "rewards", "--field", "member=Ada=Lovelace", "--field", "points:=1200",
        "--override", '{"userInfo": {"rate": 1.5}}', "--expires", "12h",
    )  # fmt: skip
    assert desk.item(pass_id) == {
        "pass_id": str(pass_id),
        "template": "rewards",
        "fields": {"member": "Ada=Lovelace", "points": 1200},
        "overrides": {"userInfo": {"rate": Decimal("1.5")}},
    }
    assert issued["pass_id"] == str(pass_id)
    page = httpx.get(issued["link"], timeout=30)
    assert "Ada=Lovelace" in page.text


def test_only_the_link_is_printed_so_that_a_script_can_take_it(desk: Desk, pass_id: PassId) -> None:
    done = desk.does("issue", pass_id, "--template", "boarding")
    assert httpx.head(done.stdout.strip(), timeout=30).status_code == 200
    assert f"issued pass {pass_id}; until " in done.stderr


def test_a_serial_number_is_made_where_none_is_given(desk: Desk) -> None:
    kind = desk.stack.pass_type_identifier
    issued = [desk.tells("issue", "--type", kind, "--template", "boarding")["pass_id"] for _ in range(2)]
    assert len(set(issued)) == 2
    assert all(re.fullmatch(rf"{re.escape(kind)}/[2-9A-Z]{{12}}", pass_id) for pass_id in issued)
    for pass_id in issued:
        assert desk.item(pass_id) == {"pass_id": pass_id, "template": "boarding"}
        desk.table.delete_item(Key={"pass_id": pass_id})


def test_a_serial_number_of_a_deleted_pass_is_not_given_to_another_by_mistake(
    desk: Desk, issuer: Issuer, pass_id: PassId
) -> None:
    """The token of a pass follows from its pass id, so the former holder's opens the next pass of that name."""
    desk.tells("issue", pass_id, "--template", "boarding")
    eventually(lambda: desk.tells("show", pass_id)["revision"], "the first stamp")
    desk.does("delete", pass_id, "--yes")
    refusal = desk.refuses("issue", pass_id, "--template", "boarding")
    assert "give another serial number, or --reuse-serial if it is for the same person" in refusal
    assert issuer.issues(pass_id).status_code == 401
    assert desk.tells("issue", pass_id, "--template", "boarding", "--reuse-serial")["pass_id"] == str(pass_id)
    assert issuer.issues(pass_id).status_code == 200


def test_a_pass_that_is_there_is_not_issued_again(desk: Desk, pass_id: PassId) -> None:
    desk.tells("issue", pass_id, "--template", "boarding", "--field", "gate=A7")
    refusal = desk.refuses("issue", pass_id, "--template", "boarding")
    assert "is there already; `pass update` changes it, `pass link` hands it out again" in refusal
    assert (desk.item(pass_id) or {})["fields"] == {"gate": "A7"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--template", "boarding", "--field", "gaet=A7"], "template 'boarding' has no such field; it has"),
        (["--template", "no-such"], "template 'no-such' does not exist"),
        (["--template", "rewards", "--field", "points=many"], "must be a number"),
        (["--template", "boarding", "--override", '{"serialNumber": "x"}'], "is set by the service"),
        (["--template", "boarding", "--override", '{"relevantDate": "tomorrow"}'], "relevantDate"),
    ],
)
def test_what_cannot_become_a_pass_is_not_written(desk: Desk, pass_id: PassId, arguments: list[str], said: str) -> None:
    assert said in desk.refuses("issue", pass_id, *arguments)
    assert desk.item(pass_id) is None


def test_a_pass_type_without_a_certificate_is_not_issued(desk: Desk, serial_number: str) -> None:
    pass_id = f"pass.of.nobody/{serial_number}"
    assert "has no certificate for it" in desk.refuses("issue", pass_id, "--template", "boarding")
    assert desk.item(pass_id) is None


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
def test_a_command_that_is_not_understood_ends_with_2(arguments: list[str]) -> None:
    """Before any stage is looked for."""
    assert run(*arguments, "--stage", "there-is-none").exit_code == 2


def test_a_change_leaves_everything_else_of_the_item_as_it_is(desk: Desk, pass_id: PassId) -> None:
    before = {
        "pass_id": str(pass_id),
        "template": "boarding",
        "fields": {"gate": "A7", "seat": {"value": "14C", "label": "SITZ"}},
        "the_pipelines_own": {"booking": "Q"},
        "authentication_token": "its-own-token-of-old",
    }
    desk.table.put_item(Item=before)
    done = desk.tells("update", pass_id, "--field", "seat=15A", "--override", '{"groupingIdentifier": "g"}')
    assert done == {"pass_id": str(pass_id), "devices": 0}
    changed = {
        **before,
        "fields": {"gate": "A7", "seat": {"value": "15A", "label": "SITZ"}},
        "overrides": {"groupingIdentifier": "g"},
    }
    assert desk.item(pass_id) == changed
    desk.tells("update", pass_id, "--field", 'seat:={"value": "16B"}', "--override", '{"userInfo": 1}')
    changed = {
        **changed,
        "fields": {"gate": "A7", "seat": {"value": "16B"}},
        "overrides": {"groupingIdentifier": "g", "userInfo": 1},
    }
    assert desk.item(pass_id) == changed
    desk.tells("void", pass_id)
    assert desk.item(pass_id) == {**changed, "voided": True}
    desk.tells("unvoid", pass_id)
    assert desk.item(pass_id) == {**changed, "voided": False}


def test_a_change_that_would_break_the_pass_is_not_written(desk: Desk, pass_id: PassId) -> None:
    desk.table.put_item(Item={"pass_id": str(pass_id), "template": "boarding", "fields": {"gate": "A7"}})
    assert "has no such field" in desk.refuses("update", pass_id, "--field", "gate=B1", "--field", "gaet=B2")
    assert (desk.item(pass_id) or {})["fields"] == {"gate": "A7"}
    desk.table.put_item(Item={"pass_id": str(pass_id), "template": "boarding", "fields": ["of a pipeline"]})
    assert "attribute 'fields': must be a map" in desk.refuses("update", pass_id, "--field", "gate=B1")


def test_a_pass_that_is_not_there_is_said_to_be_none_and_not_made(desk: Desk, pass_id: PassId) -> None:
    for command in (["show"], ["update", "--field", "gate=B1"], ["void"], ["unvoid"], ["link"], ["delete", "--yes"]):
        refusal = desk.refuses(command[0], pass_id, *command[1:])
        assert "there is none; `pass list` shows those that there are" in refusal
        assert desk.item(pass_id) is None


def test_a_pass_is_shown_with_its_version_and_devices_and_without_secrets(
    desk: Desk, pipeline: Pipeline, issuer: Issuer, phone: Phone, pass_id: PassId
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
    shown = desk.tells("show", pass_id)
    assert shown["item"] == {
        "pass_id": str(pass_id),
        "template": "boarding",
        "fields": {"gate": "A7"},
        "tags": ["a", "b"],
        "note": "[red]\x1b[2J",
    }
    assert shown["devices"] == 1
    eventually(lambda: desk.tells("show", pass_id)["revision"] == 1, "the first stamp")
    text = desk.does("show", pass_id).stdout
    assert '"[red]\\u001b[2J"' in text
    for secret in (own, "Ada", phone.device_library_identifier, phone.push_token):
        assert secret not in text


@pytest.fixture
def template(desk: Desk) -> Iterator[str]:
    """One that three passes name, one of them void."""
    name = f"t-{secrets.token_hex(4)}"
    items = [{"pass_id": f"pass.listed/{name}-{n}", "template": name, "voided": n == 1} for n in range(3)]
    with desk.table.batch_writer() as batch:
        for item in items:
            batch.put_item(Item=item)
    yield name
    with desk.table.batch_writer() as batch:
        for item in items:
            batch.delete_item(Key={"pass_id": item["pass_id"]})


def listed(done: Result) -> list[dict[str, Any]]:
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_passes_are_listed_a_line_each_and_in_pages(desk: Desk, template: str) -> None:
    everything = listed(desk.does("list", "--template", template, "--json"))
    assert {item["pass_id"] for item in everything} == {f"pass.listed/{template}-{n}" for n in range(3)}
    assert sum(item["voided"] for item in everything) == 1
    first = desk.does("list", "--template", template, "--limit", 2, "--json")
    assert "2 passes listed, " in first.stderr
    after = listed(first)[-1]["pass_id"]
    assert f"--after '{after}'" in first.stderr
    rest = desk.does("list", "--template", template, "--limit", 2, "--after", after, "--json")
    assert [*listed(first), *listed(rest)] == everything
    assert "--after" not in rest.stderr


def test_a_list_of_a_type_names_no_other_and_says_what_was_read(desk: Desk, template: str, pass_id: PassId) -> None:
    desk.tells("issue", pass_id, "--template", "boarding")
    done = desk.does("list", "--type", "pass.listed", "--limit", 1000)
    assert template in done.stdout
    assert str(pass_id) not in done.stdout
    assert re.search(r"[1-9][\d,]* items read for [\d.]+ read units", done.stderr)


def test_deleting_asks_and_says_what_phones_will_show(desk: Desk, pass_id: PassId, phone: Phone) -> None:
    link = desk.tells("issue", pass_id, "--template", "boarding")["link"]
    phone.opens(link)
    asked = desk.does("delete", pass_id, answer="n\n")
    assert asked.exit_code == 1
    assert "1 device holds it: the pass stays there as it is" in asked.stderr
    assert "`pass void` it first" in asked.stderr
    assert desk.item(pass_id)
    assert desk.does("delete", pass_id, answer="y\n").exit_code == 0
    assert desk.item(pass_id) is None
    assert httpx.get(link, timeout=30).status_code == 410


def drawn(lines: list[str], *, dark: bool) -> zxingcpp.Barcode | None:
    """What a camera reads from a terminal that shows these lines in one colour, two modules to a character."""
    upper_lower = {" ": (0, 0), "▀": (1, 0), "▄": (0, 1), "█": (1, 1)}
    rows = [[upper_lower[c][half] for c in line] for line in lines for half in (0, 1)]
    width, height = len(rows[0]) * SCALE, len(rows) * SCALE
    paint = (0, 255) if dark else (255, 0)
    pixels = bytes(paint[rows[y // SCALE][x // SCALE]] for y in range(height) for x in range(width))
    return zxingcpp.read_barcode(memoryview(pixels).cast("B", (height, width)))


def test_a_phone_reads_the_link_from_the_terminal(desk: Desk, pass_id: PassId, phone: Phone) -> None:
    done = desk.does("issue", pass_id, "--template", "boarding", "--qr")
    read = drawn([line for line in done.stderr.splitlines() if set(line) <= set(" ▀▄█") and line], dark=False)
    assert read is not None
    assert read.text == done.stdout.strip()
    assert phone.opens(read.text) == 201


def test_a_terminal_shows_black_on_white_whatever_its_own_colours_are() -> None:
    """Each character sets both of its colours, and a code is read in either theme, even where colours are off."""
    message = "https://abc123.execute-api.eu-central-1.amazonaws.com/api/p/" + "Ab1-_" * 36
    lines = terminal_qr(message)
    output = StringIO()
    console = Console(file=output, force_terminal=True, color_system="truecolor", width=200)
    for line in lines:
        console.print(line, soft_wrap=True)
    for printed in output.getvalue().splitlines():
        cells = re.findall(r"\x1b\[38;2;0;0;0;48;2;(255;255;255|0;0;0)m([ ▀▄█]+)\x1b\[0m", printed)
        assert sum(len(text) for _, text in cells) == len(lines[0])
        assert all((background == "0;0;0") is (set(text) == {"█"}) for background, text in cells)
    assert len(lines[0]) <= 80
    for dark in (False, True):
        read = drawn([line.plain for line in lines], dark=dark)
        assert read is not None
        assert read.text == message


def test_ctrl_c_at_the_question_deletes_nothing(desk: Desk, pass_id: PassId) -> None:
    desk.tells("issue", pass_id, "--template", "boarding")
    process = subprocess.Popen(
        [sys.executable, "-m", "infra", "pass", "delete", str(pass_id), "--stage", desk.stack.stage],
        cwd=PROJECT, env=dict(os.environ), stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    said = ""
    while "delete pass" not in said:
        said += process.stderr.read(1)
    interrupt(process)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert desk.item(pass_id)

"""The life of a pass from its template to its deletion, by commands only."""

import json
from typing import Any

import httpx
from typer.testing import CliRunner

from infra.commands import app
from infra.local.phone import Phone
from infra.local.run import LocalRun
from tests.support.eventually import Apns, eventually


def command(stack: LocalRun, *arguments: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["pass", *arguments, "--stage", stack.stage, "--json"])
    assert done.exit_code == 0, done.output
    return dict(json.loads(done.stdout))


def test_commands_issue_show_update_and_delete_a_pass(stack: LocalRun, apns: Apns, phone: Phone) -> None:
    kind = stack.pass_type_identifier
    issued = command(stack, "issue", "--type", kind, "--template", "boarding", "--field", "gate=A7")
    pass_id, link = issued["pass_id"], issued["link"]
    serial_number = pass_id.partition("/")[2]

    assert phone.opens(link) == 201
    assert phone.passes[kind, serial_number].fields()["gate"]["value"] == "A7"
    assert command(stack, "show", pass_id)["devices"] == 1

    assert command(stack, "update", pass_id, "--field", "gate=B22")["devices"] == 1
    eventually(lambda: apns.pushes_to(phone), "the push of the new gate")
    assert phone.receives_push(kind) == ["Gate changed to B22"]

    command(stack, "void", pass_id)
    eventually(lambda: len(apns.pushes_to(phone)) == 2, "the push of the void pass")
    phone.receives_push(kind)
    assert phone.passes[kind, serial_number].content["voided"] is True

    command(stack, "unvoid", pass_id)
    eventually(lambda: len(apns.pushes_to(phone)) == 3, "the push of the pass that is good again")
    phone.receives_push(kind)
    assert "voided" not in phone.passes[kind, serial_number].content

    assert command(stack, "delete", pass_id, "--yes")["devices"] == 1
    assert httpx.get(link, timeout=30).status_code == 410
    assert (kind, serial_number) in phone.passes
    phone.receives_push(kind)
    assert phone.passes[kind, serial_number].fields()["gate"]["value"] == "B22"

"""`pass show`, as a person or a script calls it."""

import json

from typer.testing import CliRunner, Result

from infra.commands import app
from infra.local.phone import Phone
from infra.local.stack import LocalStack
from tests.conftest import Issuer, Pipeline
from tests.end_to_end.eventually import eventually


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["pass", *map(str, arguments)])


def test_a_pass_is_shown_with_its_version_and_devices_and_without_secrets(
    stack: LocalStack, pipeline: Pipeline, issuer: Issuer, phone: Phone, serial_number: str
) -> None:
    own = "an-own-token-of-the-pass"
    pass_id = pipeline.writes(
        serial_number,
        fields={"gate": "A7"},
        authentication_token=own,
        personalization={"fullName": "Ada"},
        tags={"b", "a"},
        note="[red]\x1b[2J",
    )
    phone.adds(issuer.issues(pass_id).content)
    command = ("show", pass_id, "--stage", stack.stage)
    shown = json.loads(run(*command, "--json").stdout)
    assert shown["item"] == {
        "pass_id": str(pass_id),
        "template": "boarding",
        "fields": {"gate": "A7"},
        "tags": ["a", "b"],
        "note": "[red]\x1b[2J",
    }
    assert shown["devices"] == 1
    eventually(lambda: json.loads(run(*command, "--json").stdout)["revision"] == 1, "the first stamp")
    text = run(*command).stdout
    assert '"[red]\\u001b[2J"' in text
    for secret in (own, "Ada", phone.device_library_identifier, phone.push_token):
        assert secret not in text


def test_a_pass_that_is_not_there_is_said_to_be_none(stack: LocalStack, serial_number: str) -> None:
    refused = run("show", f"{stack.pass_type_identifier}/{serial_number}", "--stage", stack.stage)
    assert "there is none; `pass list` shows those that there are" in str(refused.exception)

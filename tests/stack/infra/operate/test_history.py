"""Tests of `pass history` with the logs of the deployed functions."""

import json
import secrets
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from typer.testing import CliRunner

from chalicelib.core.identifiers import PassId
from infra.commands import app
from infra.local.phone import Phone
from infra.local.processes import PROJECT
from infra.local.run import LocalRun
from infra.operate.history import Entry, History
from infra.stage.stage import Stage
from tests.conftest import Issuer, Pipeline
from tests.support.command_line import COMMAND
from tests.support.eventually import Apns, eventually


@pytest.fixture
def history(stack: LocalRun) -> History:
    return History(Stage.open(stack.stage))


@pytest.fixture
def pass_id(pipeline: Pipeline, serial_number: str) -> Iterator[PassId]:
    pass_id = pipeline.writes(serial_number, fields={"gate": "A7"})
    yield pass_id
    pipeline.deletes(pass_id)


def descriptions(history: History, pass_id: PassId) -> list[str]:
    return [entry.description for entry in history.of(pass_id, since=time.time() - 600)]


def in_order(sentences: list[str], *expected: str) -> bool:
    """Return True if the expected texts are in sentences in this order, possibly with others in between."""
    rest = iter(sentences)
    return all(any(text in sentence for sentence in rest) for text in expected)


def test_history_contains_all_events_from_issue_to_removal(
    history: History, pass_id: PassId, pipeline: Pipeline, issuer: Issuer, phone: Phone, apns: Apns, stack: LocalRun
) -> None:
    """APNs refuses the first push, so that it is repeated through the queue."""
    phone.adds(issuer.issues(pass_id).content)
    apns.answers(phone, status=503, reason="ServiceUnavailable")
    pipeline.writes(pass_id.serial_number, fields={"gate": "B22"})
    eventually(lambda: apns.pushes_to(phone), "the first attempt")
    apns.is_well_again(phone)
    eventually(lambda: [push for push in apns.pushes_to(phone) if push["status"] == 200], "the second")
    assert phone.receives_push(pipeline.pass_type_identifier) == ["Gate changed to B22"]
    phone.removes(pipeline.pass_type_identifier, pass_id.serial_number)
    expected = (
        "issued: revision 1, Last-Modified 2",
        "downloaded, ",
        "added the pass",
        "changed: revision 2",
        "1 device to notify (",
        "was deferred (503 ServiceUnavailable) and will be repeated",
        "APNs accepted the push to device ",
        "requested the list of changed passes: this pass is one of 1",
        "downloaded, ",
        "removed the pass",
    )
    eventually(lambda: in_order(descriptions(history, pass_id), *expected), "the history")
    command = [*COMMAND, "pass", "history", str(pass_id), "--stage", stack.stage]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    assert in_order(done.stdout.splitlines(), *expected), done.stdout
    assert "acceptance does not mean delivery" in done.stdout
    for secret in (phone.device_library_identifier, phone.push_token, issuer.token(pass_id)):
        assert secret not in done.stdout


def test_push_for_another_pass_of_the_same_batch_is_left_out(
    history: History, pass_id: PassId, pipeline: Pipeline, issuer: Issuer, phone: Phone, apns: Apns
) -> None:
    other = pipeline.writes(f"{pass_id.serial_number}-other", fields={"gate": "A7"})
    others = Phone()
    phone.adds(issuer.issues(pass_id).content)
    others.adds(issuer.issues(other).content)
    with pipeline.table.batch_writer() as batch:
        for changed in (pass_id, other):
            batch.put_item(Item={"pass_id": str(changed), "template": pipeline.template, "fields": {"gate": "B1"}})
    eventually(lambda: apns.pushes_to(phone) and apns.pushes_to(others), "both pushes")
    pipeline.deletes(other)
    others.close()

    def pushes() -> list[Entry]:
        return [entry for entry in history.of(pass_id, since=time.time() - 600) if entry.event == "pushed"]

    (push,) = eventually(pushes, "the push in the history")
    (registered,) = (e for e in history.of(pass_id, since=time.time() - 600) if e.event == "registered")
    assert push.fields["device"] == registered.fields["device"]


def test_reading_waits_at_the_limit_of_cloudwatch(stack: LocalRun, pass_id: PassId) -> None:
    """Several people read at once: 5 FilterLogEvents per second are answered in an account, and others are refused."""

    def read(_: int) -> list[Entry]:
        return History(Stage.open(stack.stage)).of(pass_id, since=time.time() - 600)

    with ThreadPoolExecutor() as people:
        found = list(people.map(read, range(6)))
    assert len(found) == 6


def test_pushes_to_many_devices_are_counted(
    history: History, pass_id: PassId, pipeline: Pipeline, stack: LocalRun
) -> None:
    tables = boto3.resource("dynamodb")
    devices = [secrets.token_hex(16) for _ in range(25)]
    with (
        tables.Table(stack.tables["registrations"]).batch_writer() as registrations,
        tables.Table(stack.tables["devices"]).batch_writer() as rows,
    ):
        for device in devices:
            key = {"device_library_identifier": device}
            registrations.put_item(Item={"pass_id": str(pass_id), **key, "registered_at": int(time.time())})
            rows.put_item(Item={**key, "push_token": secrets.token_hex(32), "passes": {str(pass_id)}, "updated_at": 0})
    pipeline.writes(pass_id.serial_number, fields={"gate": "B1"})
    counted = "pushed to 25 devices of this pass type at once: 25 accepted by APNs"
    eventually(lambda: in_order(descriptions(history, pass_id), "25 devices to notify (", counted), "the counts")
    assert not [entry for entry in history.of(pass_id, since=0) if entry.event == "pushed"]


def test_push_by_hand_is_in_the_history(
    history: History, pass_id: PassId, issuer: Issuer, phone: Phone, stack: LocalRun
) -> None:
    phone.adds(issuer.issues(pass_id).content)
    assert CliRunner().invoke(app, ["push", "send", str(pass_id), "--stage", stack.stage]).exit_code == 0
    eventually(
        lambda: in_order(descriptions(history, pass_id), "added", "1 device to notify", "APNs accepted"), "the push"
    )


def test_json_output_is_a_list_of_events_which_may_be_empty(pass_id: PassId, history: History, stack: LocalRun) -> None:
    eventually(lambda: descriptions(history, pass_id), "the issue")

    def read(of: object) -> Any:  # noqa: ANN401 - JSON
        done = CliRunner().invoke(app, ["pass", "history", str(of), "--stage", stack.stage, "--since", "1h", "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    (issued,) = read(pass_id)
    assert issued["event"] == "stamped"
    assert issued["at"].endswith("Z")
    assert issued["fields"]["sequence_number"]
    assert read(f"{pass_id}-other") == []

"""A phone's registrations as events on the stage's bus, with counts that equal the registrations table."""

import json
import secrets
import time
from pathlib import Path

import boto3
import httpx
import pytest
from typer.testing import CliRunner

from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId
from chalicelib.updates.push_tasks import RemoveRegistrations, encode
from infra.commands import app
from infra.local.phone import Phone
from infra.local.run import LocalRun
from infra.operate.stats import read_stats
from infra.stage.stage import Stage
from tests.conftest import Issuer, Pipeline
from tests.support.eventually import Apns, eventually
from tests.support.in_process import InProcess
from tests.support.subscriber import Subscriber


@pytest.fixture
def held(pipeline: Pipeline, issuer: Issuer, phone: Phone, stack: LocalRun) -> PassId:
    """A pass that the phone has added."""
    pass_id = pipeline.writes(secrets.token_hex(8))
    url = f"{stack.api_url}/v1/passes/{pass_id.pass_type_identifier}/{pass_id.serial_number}"
    headers = {"Authorization": f"ApplePass {issuer.token(pass_id)}"}
    eventually(lambda: httpx.get(url, headers=headers, timeout=30).status_code == 200, "the pass")
    phone.adds(httpx.get(url, headers=headers, timeout=30).content)
    return pass_id


def test_person_adds_and_removes_a_pass(stack: LocalRun, subscriber: Subscriber, held: PassId, phone: Phone) -> None:
    (registered,) = subscriber.about(held, 1)
    assert (registered["name"], registered["holders"], registered["first_holder"]) == ("pass.registered", 1, True)
    assert registered["template"] == stack.template
    assert phone.device_library_identifier not in json.dumps(registered)
    phone.removes(held.pass_type_identifier, held.serial_number)
    _, unregistered = subscriber.about(held, 2)
    assert (unregistered["name"], unregistered["cause"]) == ("pass.unregistered", "person")
    assert (unregistered["holders"], unregistered["last_holder"]) == (0, True)
    assert unregistered["device"] == registered["device"]
    assert unregistered["id"] != registered["id"]
    row = boto3.resource("dynamodb").Table(stack.tables["counts"]).get_item(Key={"id": str(held)})["Item"]
    assert row["holders"] == 0


def test_registrations_from_before_are_counted_once(stack: LocalRun) -> None:
    """Rows as another version wrote them: each is counted once, however often the command runs."""
    pass_id = PassId(stack.pass_type_identifier, secrets.token_hex(8))
    with boto3.resource("dynamodb").Table(stack.tables["registrations"]).batch_writer() as rows:
        for _ in range(30):
            key = {"pass_id": str(pass_id), "device_library_identifier": secrets.token_hex(16)}
            rows.put_item(Item={**key, "registered_at": 1})
    for counted in (True, False):
        done = CliRunner().invoke(app, ["events", "count", "--stage", stack.stage, "--json"])
        assert (json.loads(done.stdout)["counted"] >= 30) is counted
    counts = boto3.resource("dynamodb").Table(stack.tables["counts"])
    eventually(
        lambda: counts.get_item(Key={"id": str(pass_id)}).get("Item", {}).get("holders") == 30, "the count of holders"
    )


def test_wrong_counts_are_found_and_corrected(stack: LocalRun, subscriber: Subscriber, held: PassId) -> None:
    """A count and a total that are wrong, as after a defect: one command sets them to the number of registrations."""
    subscriber.about(held, 1)
    counts = boto3.resource("dynamodb").Table(stack.tables["counts"])
    total = f"total:{stack.pass_type_identifier}/{stack.template}"
    for key, wrong in ((str(held), 7), (total, 3)):
        counts.update_item(
            Key={"id": key}, UpdateExpression="ADD holders :wrong", ExpressionAttributeValues={":wrong": wrong}
        )
    done = CliRunner().invoke(app, ["events", "count", "--stage", stack.stage, "--json"])
    assert json.loads(done.stdout)["corrected"] >= 2, done.output
    assert counts.get_item(Key={"id": str(held)})["Item"]["holders"] == 1
    again = CliRunner().invoke(app, ["events", "count", "--stage", stack.stage, "--json"])
    assert json.loads(again.stdout) == {"counted": 0, "corrected": 0}


def test_stats_show_holders_and_days(
    stack: LocalRun, subscriber: Subscriber, held: PassId, phone: Phone, tmp_path: Path
) -> None:
    def added() -> tuple[int, int, int]:
        done = CliRunner().invoke(app, ["stats", "--stage", stack.stage, "--since", "1d", "--json"])
        found = json.loads(done.stdout)
        mine = [one for one in found["holders"] if one["template"] == stack.template]
        days = [one for one in found["days"] if one["template"] == stack.template]
        return (
            sum(one["holders"] for one in mine),
            sum(one["added"] for one in days),
            sum(one["removed"] for one in days),
        )

    subscriber.about(held, 1)
    before = added()
    phone.removes(held.pass_type_identifier, held.serial_number)
    subscriber.about(held, 2)
    eventually(lambda: added() == (before[0] - 1, before[1], before[2] + 1), "the removal in the statistics")
    chart = tmp_path / "stats.svg"
    done = CliRunner().invoke(app, ["stats", "--stage", stack.stage, "--csv", "--plot", str(chart)])
    assert done.exit_code == 0
    assert chart.read_text().startswith("<svg")
    assert done.stdout.splitlines()[0] == "day,pass_type_identifier,template,added,removed,updated"
    assert any(
        line[10:].startswith(f",{held.pass_type_identifier},{stack.template},") for line in done.stdout.splitlines()
    )
    assert CliRunner().invoke(app, ["stats", "--stage", stack.stage, "--plot", str(chart)]).exit_code


def test_device_that_apns_reports_as_unregistered(
    subscriber: Subscriber, held: PassId, phone: Phone, pipeline: Pipeline, apns: Apns
) -> None:
    apns.answers(phone, status=410, reason="Unregistered", timestamp=int(time.time() * 1000) + 60_000)
    pipeline.writes(held.serial_number, fields={"gate": "B2"})
    found = {event["name"]: event for event in subscriber.about(held, 3)}
    assert found["pass.unregistered"]["cause"] == "device_unregistered"
    assert "pass.updated" in found


def test_life_of_a_pass(
    stack: LocalRun, subscriber: Subscriber, held: PassId, phone: Phone, pipeline: Pipeline, tmp_path: Path
) -> None:
    """Added, changed, written with a template that does not exist, corrected, removed."""
    subscriber.about(held, 1)
    pipeline.writes(held.serial_number, fields={"gate": "B2"})
    subscriber.about(held, 2)
    pipeline.writes(held.serial_number, template="missing")
    subscriber.about(held, 3)
    pipeline.writes(held.serial_number, fields={"gate": "B3"})
    subscriber.about(held, 4)
    phone.removes(held.pass_type_identifier, held.serial_number)
    found = subscriber.about(held, 5)
    assert [event["name"] for event in found] == [
        "pass.registered",
        "pass.updated",
        "pass.refused",
        "pass.updated",
        "pass.unregistered",
    ]
    assert [event.get("devices") for event in found] == [None, 1, None, 1, None]
    assert "missing" in found[2]["reason"]
    assert len({event["id"] for event in found}) == 5
    day = read_stats(Stage.open(stack.stage), since=time.time(), now=time.time()).days
    assert sum(one.updated for one in day if one.template == stack.template) >= 2
    (tmp_path / "events.json").write_text(json.dumps(found, indent=2))


def test_credential_that_apns_rejects(
    subscriber: Subscriber, held: PassId, phone: Phone, pipeline: Pipeline, apns: Apns
) -> None:
    """One event, although every push is rejected."""
    apns.answers(phone, status=403, reason="InvalidProviderToken")
    pipeline.writes(held.serial_number, fields={"gate": "B2"})
    (rejected,) = subscriber.named("pushes.rejected", 1)
    assert rejected["pass_type_identifier"] == held.pass_type_identifier
    assert rejected["reason"] == "InvalidProviderToken"


def test_pass_that_is_deleted(
    stack: LocalRun, subscriber: Subscriber, held: PassId, pipeline: Pipeline, phone: Phone
) -> None:
    pipeline.deletes(held)
    record = {
        "messageId": "1",
        "receiptHandle": "1",
        "attributes": {"ApproximateReceiveCount": "1"},
        "body": encode(RemoveRegistrations(held)),
    }
    InProcess(stack).invoke("push_worker", {"Records": [record]}, remaining_seconds=60)
    _, unregistered = subscriber.about(held, 2)
    assert (unregistered["name"], unregistered["cause"]) == ("pass.unregistered", "pass_deleted")
    assert DeviceLibraryIdentifier(phone.device_library_identifier).value not in json.dumps(unregistered)

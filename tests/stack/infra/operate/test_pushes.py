"""Tests of `push status|redrive|send|removals` with the deployed local run."""

import json
import re
import secrets
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest

from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId
from chalicelib.updates.fan_outs import FanOutProgress
from chalicelib.updates.pacing import FAN_OUTS_ROW, ROW, STOPS_SECONDS, microseconds
from chalicelib.updates.push_tasks import NotifyDevices, encode
from chalicelib.updates.removals import HeldDevice, HeldRemovals
from infra.local.phone import Phone
from infra.local.run import LocalRun
from tests.conftest import Issuer, Pipeline
from tests.support.command_line import infra
from tests.support.eventually import Apns, eventually
from tests.support.streams import newest_record


def status() -> dict[str, Any]:
    done = infra("push", "status", "--stage", "local", "--json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.fixture
def holder(pipeline: Pipeline, issuer: Issuer, phone: Phone, serial_number: str) -> Phone:
    pass_id = pipeline.writes(serial_number, fields={"gate": "A7"})
    phone.adds(issuer.issues(pass_id).content)
    return phone


@pytest.fixture
def empty_dead_letters(stack: LocalRun) -> Iterator[None]:
    sqs = boto3.client("sqs")
    for role in ("dead_letter", "stream_failure"):
        sqs.purge_queue(QueueUrl=stack.queues[role])
    yield
    for role in ("dead_letter", "stream_failure"):
        sqs.purge_queue(QueueUrl=stack.queues[role])


@pytest.mark.usefixtures("empty_dead_letters")
def test_dead_letter_is_shown_without_its_devices_and_redriven(
    stack: LocalRun, apns: Apns, holder: Phone, pipeline: Pipeline
) -> None:
    task = NotifyDevices(
        pipeline.pass_type_identifier, (DeviceLibraryIdentifier(holder.device_library_identifier),), time.time()
    )
    boto3.client("sqs").send_message(QueueUrl=stack.queues["dead_letter"], MessageBody=encode(task))
    shown = status()
    assert shown["queues"]["dead_letter"]["waiting"] == 1
    assert shown["dead_letters"] == {f"pushes of {pipeline.pass_type_identifier} that were given up": 1}
    assert holder.device_library_identifier not in json.dumps(shown)

    done = infra("push", "redrive", "--stage", "local", "--json")
    assert json.loads(done.stdout) == {
        "tasks": 1,
        "rechecks": 0,
        "batches": 0,
        "discarded": 0,
        "kept": {},
        "devices": 1,
    }
    eventually(lambda: apns.pushes_to(holder), "the push of the dead letter")
    assert status()["queues"]["dead_letter"]["waiting"] == 0


@pytest.mark.usefixtures("empty_dead_letters")
def test_refused_item_is_rechecked_and_stays_on_record_until_it_is_valid(
    pipeline: Pipeline, serial_number: str
) -> None:
    pass_id = pipeline.writes(serial_number, fields={"no_such_field": "x"})
    (summary,) = eventually(lambda: list(status()["dead_letters"]), "the refusal")
    assert str(pass_id) in summary
    assert "no_such_field" in summary
    done = json.loads(infra("push", "redrive", "--stage", "local", "--json").stdout)
    assert done == {"tasks": 0, "rechecks": 1, "batches": 0, "discarded": 0, "kept": {}, "devices": 0}
    assert eventually(lambda: status()["dead_letters"], "the second refusal") == {summary: 1}
    infra("push", "redrive", "--stage", "local", "--discard-refused")
    assert status()["dead_letters"] == {}


@pytest.mark.usefixtures("empty_dead_letters")
def test_redrive_pushes_passes_that_were_refused_and_are_valid_now(
    stack: LocalRun, apns: Apns, holder: Phone, pipeline: Pipeline, serial_number: str
) -> None:
    """Also for dead letters of versions that kept no record of refusals; once for several letters of a pass."""
    pass_id = PassId(pipeline.pass_type_identifier, serial_number)
    letter = {"refused": str(pass_id), "error": "no such template", "sequence_number": "1"}
    for body in (letter, letter, {"refused": "(without key)", "error": "pass_id is missing"}):
        boto3.client("sqs").send_message(QueueUrl=stack.queues["dead_letter"], MessageBody=json.dumps(body))
    eventually(lambda: sum(status()["dead_letters"].values()) == 3, "the dead letters")
    done = json.loads(infra("push", "redrive", "--stage", "local", "--json").stdout)
    assert (done["rechecks"], done["devices"], done["kept"]) == (1, 1, {"refused: pass_id is missing": 1})
    eventually(lambda: apns.pushes_to(holder), "the push of the redriven item")


@pytest.mark.usefixtures("empty_dead_letters")
def test_redrive_reads_a_given_up_stream_batch_again(
    stack: LocalRun, apns: Apns, holder: Phone, pipeline: Pipeline, serial_number: str
) -> None:
    pipeline.writes(serial_number, fields={"gate": "B1"})
    eventually(lambda: len(apns.pushes_to(holder)) == 1, "the push of the change")
    boto3.client("sqs").send_message(
        QueueUrl=stack.queues["stream_failure"], MessageBody=json.dumps({"DDBStreamBatchInfo": newest_record(stack)})
    )
    assert json.loads(infra("push", "redrive", "--yes", "--stage", "local", "--json").stdout)["batches"] == 1
    eventually(lambda: len(apns.pushes_to(holder)) == 2, "the push of the batch that was read again")


@pytest.fixture
def hold_removal(stack: LocalRun, holder: Phone, pipeline: Pipeline) -> Callable[..., str]:
    """Sends the removal of the holder to the emptied queue, as the push function does."""
    sqs = boto3.client("sqs")
    sqs.purge_queue(QueueUrl=stack.queues["held_removals"])
    key = {"device_library_identifier": holder.device_library_identifier}
    row = boto3.resource("dynamodb").Table(stack.tables["devices"]).get_item(Key=key)["Item"]

    def hold(*, as_it_is: bool = True) -> str:
        updated_at = int(row["updated_at"]) - (0 if as_it_is else 1)
        device = HeldDevice(DeviceLibraryIdentifier(holder.device_library_identifier), updated_at)
        held = HeldRemovals(pipeline.pass_type_identifier, "400 BadDeviceToken", (device,), 1_700_000_000.0)
        sqs.send_message(QueueUrl=stack.queues["held_removals"], MessageBody=held.encode())
        return held.pass_type_identifier

    return hold


def is_registered(stack: LocalRun, phone: Phone) -> bool:
    key = {"device_library_identifier": phone.device_library_identifier}
    return "Item" in boto3.resource("dynamodb").Table(stack.tables["devices"]).get_item(Key=key)


def test_held_removals_are_listed_by_pass_type_and_reason(hold_removal: Callable[..., str], holder: Phone) -> None:
    """A device that is held twice counts once, and no device is named; listing changes nothing."""
    hold_removal()
    pass_type_identifier = hold_removal()
    expected = {
        "pass_type_identifier": pass_type_identifier,
        "reason": "400 BadDeviceToken",
        "devices": 1,
        "oldest_change": "2023-11-14T22:13:20Z",
    }
    for _ in range(2):
        done = infra("push", "removals", "--stage", "local", "--json")
        assert json.loads(done.stdout) == [expected]
        assert holder.device_library_identifier not in done.stdout
    shown = infra("push", "removals", "--stage", "local")
    assert re.search(r"400 BadDeviceToken +1 +2023-11-14T22:13:20Z", shown.stdout)
    assert "python -m infra push removals accept --stage local" in shown.stderr


def test_accepting_removes_unchanged_devices(stack: LocalRun, hold_removal: Callable[..., str], holder: Phone) -> None:
    """Only devices of the given type are removed, and only once."""
    pass_type_identifier = hold_removal()
    done = infra("push", "removals", "accept", "--type", "pass.com.example.other", "--stage", "local", "--json")
    assert json.loads(done.stdout) == {"removed": 0, "pushed": 0, "unregistered": 0}
    assert is_registered(stack, holder)
    done = infra("push", "removals", "accept", "--type", pass_type_identifier, "--stage", "local", "--json", "--yes")
    assert json.loads(done.stdout) == {"removed": 1, "pushed": 0, "unregistered": 0}
    assert not is_registered(stack, holder)
    assert json.loads(infra("push", "removals", "--stage", "local", "--json").stdout) == []


def test_accepting_keeps_and_pushes_to_devices_that_registered_since(
    stack: LocalRun, hold_removal: Callable[..., str], holder: Phone, apns: Apns
) -> None:
    hold_removal(as_it_is=False)
    done = infra("push", "removals", "accept", "--stage", "local", "--json", "--yes")
    assert json.loads(done.stdout) == {"removed": 0, "pushed": 1, "unregistered": 0}
    assert is_registered(stack, holder)
    eventually(lambda: apns.pushes_to(holder), "the push that was kept")


def test_discarding_keeps_the_devices_and_pushes_to_them(
    stack: LocalRun, hold_removal: Callable[..., str], holder: Phone, apns: Apns
) -> None:
    hold_removal()
    done = infra("push", "removals", "discard", "--stage", "local")
    assert done.stdout == "0 devices removed, 1 to be pushed to again, 0 no longer existed\n"
    assert is_registered(stack, holder)
    eventually(lambda: apns.pushes_to(holder), "the push that was kept")
    assert infra("push", "removals", "--stage", "local").stderr == "no removals are held\n"


def test_push_by_hand_reaches_every_device(apns: Apns, holder: Phone, pipeline: Pipeline, serial_number: str) -> None:
    done = infra("push", "send", f"{pipeline.pass_type_identifier}/{serial_number}", "--stage", "local")
    assert done.returncode == 0, done.stderr
    eventually(lambda: apns.pushes_to(holder), "the push by hand")


def test_push_of_a_pass_without_devices_is_an_error(pipeline: Pipeline) -> None:
    pass_id = PassId(pipeline.pass_type_identifier, secrets.token_hex(4))
    done = infra("push", "send", str(pass_id), "--stage", "local")
    assert done.returncode == 1
    assert done.stderr == f"error: pass {pass_id}: no device is registered for it; nothing was sent\n"


def test_passes_changed_since_a_time_are_stamped_and_pushed_again(
    stack: LocalRun, apns: Apns, holder: Phone, pipeline: Pipeline, serial_number: str
) -> None:
    """After an outage in which downloads failed, phones have the newest tag already, so they need a new stamp."""
    versions = boto3.resource("dynamodb").Table(stack.tables["versions"])
    key = {"pass_id": f"{pipeline.pass_type_identifier}/{serial_number}"}
    old = eventually(lambda: versions.get_item(Key=key, ConsistentRead=True).get("Item"), "the first stamp")
    since = f"{datetime.fromtimestamp(int(old['modified_at']), UTC):%Y-%m-%dT%H:%M:%SZ}"
    done = infra("push", "send", "--changed-since", since, "--stage", "local")
    assert done.returncode == 0, done.stderr
    assert f"changed since {since}" in done.stdout
    eventually(lambda: apns.pushes_to(holder), "the push by hand")
    assert versions.get_item(Key=key, ConsistentRead=True)["Item"]["modified_at"] > old["modified_at"]


def test_time_in_the_future_matches_no_pass(stack: LocalRun) -> None:
    done = infra("push", "send", "--changed-since", "2099-01-01", "--stage", stack.stage)
    assert "pushes of 0 passes changed since 2099-01-01T00:00:00Z; 0 devices to notify" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [(), ("pass.a/1", "--changed-since", "1h"), ("--changed-since", "1h", "--lost-versions")],
    ids=["none", "name and time", "time and lost versions"],
)
def test_passes_are_selected_in_one_way(stack: LocalRun, arguments: tuple[str, ...]) -> None:
    done = infra("push", "send", *arguments, "--stage", stack.stage)
    assert done.returncode == 2
    assert "one of PASS..., --changed-since and --lost-versions" in done.stderr


def test_status_shows_what_is_scheduled_and_until_when(stack: LocalRun, serial_number: str) -> None:
    """The slots of a lane, and a fan-out that waits with the devices behind its progress."""
    pass_id = f"{stack.pass_type_identifier}/{serial_number}"
    resource, now = boto3.resource("dynamodb"), time.time()
    versions, registrations = (resource.Table(stack.tables[role]) for role in ("versions", "registrations"))
    with registrations.batch_writer() as batch:
        for number in range(30):
            row = {"pass_id": pass_id, "device_library_identifier": f"device-{number:02}", "registered_at": 1}
            batch.put_item(Item=row)
    progress = FanOutProgress(int(now), "", "device-09", "", int(now))
    versions.put_item(Item={"pass_id": pass_id, "fan_out": progress.encode()})
    versions.put_item(Item={"pass_id": ROW, "narrow_free_at": microseconds(now + 100), "wide_free_at": 1})
    versions.put_item(Item={"pass_id": FAN_OUTS_ROW, "fan_outs": {pass_id}})
    try:
        pacing = status()["pacing"]
        shown = infra("push", "status", "--stage", "local").stdout
    finally:
        for key in (ROW, FAN_OUTS_ROW, pass_id):
            versions.delete_item(Key={"pass_id": key})
    assert pacing["devices_per_second"] == 1000
    assert pacing["fan_outs"] == [{"pass_id": pass_id, "devices": 20}]
    assert 0 < pacing["lanes"]["narrow"]["devices"] <= 90_000
    assert pacing["lanes"]["narrow"]["until"] == pytest.approx(now + 100)
    assert pacing["lanes"]["wide"] == {"devices": 0, "until": None}
    assert pacing["until"] == pytest.approx(now + 100)
    assert "device-" not in json.dumps(pacing)
    assert f"20 devices of pass {pass_id} wait" in shown
    assert "all are notified by 20" in shown


def test_kept_pushes_of_a_pass_type_are_resumed(
    stack: LocalRun, apns: Apns, holder: Phone, pipeline: Pipeline, serial_number: str
) -> None:
    """The push waits in the queue meanwhile, and another stop may replace the first."""
    pushed = len(apns.pushes_to(holder))
    kept = infra("push", "stop", "--type", stack.pass_type_identifier, "--keep", "--stage", "local")
    assert kept.returncode == 0, kept.stderr
    try:
        time.sleep(STOPS_SECONDS)
        pipeline.writes(serial_number, fields={"gate": "B22"})
        eventually(lambda: status()["queues"]["push"]["delayed"], "that the push waits")
        assert len(apns.pushes_to(holder)) == pushed
        for stop in (("--drop",), ("--drop", "--keep", "--yes"), ()):
            refused = infra("push", "stop", "--type", stack.pass_type_identifier, *stop, "--stage", "local")
            assert refused.returncode == 2, refused.stderr
        dropped = infra("push", "stop", "--type", stack.pass_type_identifier, "--drop", "--yes", "--stage", "local")
        assert dropped.returncode == 0, dropped.stderr
    finally:
        resumed = infra("push", "resume", "--type", stack.pass_type_identifier, "--stage", "local")
    assert resumed.stdout.startswith("resumed"), resumed.stderr
    again = infra("push", "resume", "--type", stack.pass_type_identifier, "--stage", "local")
    assert "were not stopped" in again.stdout
    time.sleep(STOPS_SECONDS)
    pipeline.writes(serial_number, fields={"gate": "B23"})
    eventually(lambda: len(apns.pushes_to(holder)) > pushed, "the push of a later change")

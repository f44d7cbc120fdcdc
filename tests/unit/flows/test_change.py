"""Batches of the stream: stamps, pushes and push tasks."""

import json
import time
from collections.abc import Mapping

import pytest

from chalicelib.core.errors import ConfigurationError
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId
from chalicelib.telemetry import log
from chalicelib.updates.push_tasks import FanOut, NotifyDevices, RemoveRegistrations
from tests.support.stream_side import TYPE, StreamSide


@pytest.fixture
def side() -> StreamSide:
    return StreamSide()


def test_twenty_changed_passes_on_one_device_lead_to_one_push(side: StreamSide) -> None:
    names = [f"P{number}" for number in range(20)]
    side.holds("phone", *names)
    side.handles(*(side.changed(name) for name in names))
    assert side.tokens() == ["token-of-phone"]
    assert all(side.rows.versions[PassId(TYPE, name)].revision == 1 for name in names)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"fields": {"gate": "A"}}, {"fields": {"gate": "A"}}),
        ({"fields": {"gate": "A"}}, {"fields": {"gate": "A"}, "own": 1}),
        ({"fields": {"gate": "A"}}, {"fields": {"gate": {"value": "A"}}}),
        ({"voided": False}, {}),
        ({}, {"authentication_token": "0" * 32}),
        ({"personalization": {"fullName": "Ada"}}, {}),
        ({"template_revision": "abc"}, {}),
        ({}, {"delete_after": 1}),
    ],
    ids=["same", "own attribute", "other form", "default", "token", "wiped sign-up", "wiped revision", "TTL"],
)
def test_invisible_change_sends_no_push(side: StreamSide, old: Mapping[str, object], new: Mapping[str, object]) -> None:
    side.holds("phone", "P")
    side.handles(side.record("P", old=old, new=new))
    assert side.pushed == []
    assert side.tasks == []
    assert PassId(TYPE, "P") not in side.rows.versions


def test_first_issue_is_stamped_without_a_push(side: StreamSide) -> None:
    side.holds("phone", "P")
    side.handles(side.record("P", old=None, new={}))
    assert side.pushed == []
    assert side.rows.versions[PassId(TYPE, "P")].revision == 1


def test_revision_counts_every_change_of_a_batch(side: StreamSide) -> None:
    side.handles(*(side.changed("P") for _ in range(3)))
    assert side.rows.versions[PassId(TYPE, "P")].revision == 3


def test_pass_of_many_devices_is_fanned_out_by_the_push_worker(side: StreamSide) -> None:
    """The push function pushes to the devices of the other passes of the batch."""
    side.pushes_directly_to_passes_of_at_most(3)
    for number in range(4):
        side.holds(f"phone-{number}", "P", "Q" if number else "P")
    side.handles(side.changed("P"), side.changed("Q"))
    assert len(side.pushed) == 3
    fan_outs = [task for task in side.tasks if isinstance(task, FanOut)]
    assert [(task.pass_id.serial_number, task.after) for task in fan_outs] == [("P", None)]


def test_registrations_of_deleted_pass_are_removed(side: StreamSide) -> None:
    side.handles(side.record("P", old={}, new=None))
    (task,) = side.tasks
    version = side.rows.versions[PassId(TYPE, "P")]
    assert version.deleted
    assert isinstance(task, RemoveRegistrations)
    assert (task.pass_id, task.modified_at) == (PassId(TYPE, "P"), version.modified_at)
    assert task.not_before >= time.time() + 890


def test_repeated_deletion_does_not_hide_a_pass_that_was_created_again(side: StreamSide) -> None:
    side.holds("phone", "P")
    side.handles(side.record("P", old={}, new=None))
    assert not side.rows.versions[PassId(TYPE, "P")].deleted
    assert side.tokens() == ["token-of-phone"]


def test_pushes_without_credential_are_queued_and_counted(side: StreamSide, capsys: pytest.CaptureFixture[str]) -> None:
    side.credential_error = ConfigurationError("no certificate")
    side.holds("phone", "P")
    side.handles(side.changed("P"))
    (task,) = side.tasks
    assert isinstance(task, NotifyDevices)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["Pushes"] for line in lines if line.get("Outcome") == "configuration"] == [1]


def test_one_id_follows_a_change_from_its_record_to_its_pushes_and_push_tasks(
    side: StreamSide, capsys: pytest.CaptureFixture[str]
) -> None:
    side.pushes_directly_to_passes_of_at_most(1)
    side.holds("phone", "P")
    for device in ("phone-2", "phone-3"):
        side.holds(device, "Q")
    record = side.changed("P")
    with log.invocation(request_id="change-1"):
        side.handles(record, side.changed("Q"))
    printed = map(json.loads, capsys.readouterr().out.splitlines())
    lines = {line.get("event"): line for line in printed if line.get("pass_id") != f"{TYPE}/Q"}
    assert lines["stamped"]["sequence_number"] == record["dynamodb"]["SequenceNumber"]
    assert {lines[event]["request_id"] for event in ("stamped", "devices_found", "pushed", "pushes_sent")} == {
        "change-1"
    }
    assert lines["devices_found"]["shown"] == [lines["pushed"]["device"]]
    (task,) = side.tasks
    assert isinstance(task, FanOut)
    assert task.change == "change-1"


def test_unexpected_error_of_pushing_queues_the_devices(side: StreamSide) -> None:
    side.holds("phone", "P")
    side.client_error = RecursionError("an answer nested 2,000 deep")
    side.handles(side.changed("P"))
    (task,) = side.tasks
    assert isinstance(task, NotifyDevices)
    assert task.devices == (DeviceLibraryIdentifier("phone"),)

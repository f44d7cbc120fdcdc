"""The cost model: its requests and its log lines are those of the service."""

import secrets
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import boto3
import pytest

from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId
from chalicelib.http.events import stream_records
from chalicelib.updates.push_tasks import NotifyDevices
from infra.deploy.cost.flows import DOWNLOAD, REGISTER, UNREGISTER, Flow, change, listing
from infra.local.run import LocalRun
from tests.conftest import Issuer, Pipeline
from tests.support.caller import Caller
from tests.support.in_process import Answer, InProcess


@pytest.mark.parametrize("devices", [1, 20])
def test_change_makes_the_requests_of_the_model(
    stack: LocalRun, devices: int, serial_number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The pass is not in the table, so that the deployed function does not stamp it within the same second.

    Another device was pushed to before: an execution environment records its first delivery, then one per 20 minutes.
    """
    pass_id = PassId(stack.pass_type_identifier, serial_number)
    first = hold(stack, str(pass_id), devices)[0]
    service = InProcess(stack)
    task = NotifyDevices(stack.pass_type_identifier, (DeviceLibraryIdentifier(first),), time.time())
    service.app.services.push_sender.send(task, deadline=time.monotonic() + 20)
    counted = service.dynamodb_requests()
    key = {"pass_id": {"S": str(pass_id)}}
    item = {**key, "template": {"S": stack.template}}
    record = {
        "eventID": "1",
        "dynamodb": {
            "Keys": key,
            "SequenceNumber": "1",
            "ApproximateCreationDateTime": time.time(),
            "OldImage": {**item, "fields": {"M": {"gate": {"S": "A1"}}}},
            "NewImage": {**item, "fields": {"M": {"gate": {"S": "B2"}}}},
        },
    }
    capsys.readouterr()
    service.app.services.push_sender.pacer.stop_of(stack.pass_type_identifier, changed_at=0)  # read every five seconds
    counted.clear()
    assert (
        service.app.services.changes.handle(stream_records({"Records": [record]}), deadline=time.monotonic() + 20) == []
    )
    flow = change(devices=devices)
    assert counted == Counter(flow.requests)
    if devices == 1:
        assert flow.logged_bytes / 3 < len(capsys.readouterr().out) <= flow.logged_bytes


def hold(stack: LocalRun, pass_id: str, count: int) -> list[str]:
    """So many devices register, without each of them calling; their identifiers."""
    resource = boto3.resource("dynamodb")
    names = [secrets.token_hex(16) for _ in range(count)]
    with resource.Table(stack.tables["registrations"]).batch_writer() as batch:
        for name in names:
            batch.put_item(Item={"pass_id": pass_id, "device_library_identifier": name, "registered_at": 1})
    with resource.Table(stack.tables["devices"]).batch_writer() as batch:
        for name in names:
            device: dict[str, Any] = {"push_token": secrets.token_hex(32), "updated_at": 1, "passes": {pass_id}}
            batch.put_item(Item={"device_library_identifier": name, **device})
    return names


def test_requests_log_no_more_than_the_model_assumes(
    stack: LocalRun, pipeline: Pipeline, issuer: Issuer, capsys: pytest.CaptureFixture[str]
) -> None:
    caller = Caller(InProcess(stack), pipeline, issuer)
    serial_number = caller.gets_a_pass()
    calls: tuple[tuple[Flow, Callable[[], Answer]], ...] = (
        (REGISTER, lambda: caller.registers(serial_number)),
        (listing(held=1), caller.lists),
        (DOWNLOAD, lambda: caller.downloads(serial_number)),
        (UNREGISTER, lambda: caller.unregisters(serial_number)),
    )
    for flow, call in calls:
        capsys.readouterr()
        call()
        written = capsys.readouterr().out
        assert flow.logged_bytes / 3 < len(written) <= flow.logged_bytes
        assert written.count("\n") == 1, "a request has one line: its event, joined by its metric"

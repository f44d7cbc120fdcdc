"""The cost model: its requests are those of the service, and its bill is their product with list prices."""

import json
import re
import secrets
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from typer.testing import CliRunner

from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId
from chalicelib.http.events import stream_records
from chalicelib.updates.push_tasks import NotifyDevices
from infra.commands import app
from infra.deploy.cost.bill import Usage, bill
from infra.deploy.cost.flows import DOWNLOAD, REGISTER, UNREGISTER, Flow, change, listing
from infra.local.processes import PROJECT
from infra.local.run import LocalRun
from tests.conftest import Issuer, Pipeline
from tests.support.caller import Caller
from tests.support.in_process import Answer, InProcess

FIXED = {"CloudWatch, custom metrics", "CloudWatch, alarms", "CloudWatch, dashboards", "Secrets Manager, secrets"}


def dollars(usage: Usage) -> dict[str, float]:
    return {line.what: line.dollars for line in bill(usage)}


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


def test_pass_with_many_devices_uses_the_queue() -> None:
    assert change(devices=20).messages == 0
    many = change(devices=101_000)
    assert many.requests == {"UpdateItem": 1037, "GetItem": 12, "Query": 203, "BatchGetItem": 1010}
    assert many.messages == 214


def test_no_devices_cost_only_the_fixed_lines() -> None:
    bought = {what for what, amount in dollars(Usage(devices=0, updates_per_day=3)).items() if amount}
    assert bought == {*FIXED, "SQS, polls of an idle queue"}


def test_usage_cost_is_proportional_to_devices() -> None:
    once, twice = (dollars(Usage(devices=devices, updates_per_day=3)) for devices in (1000, 2000))
    for what in once.keys() - FIXED - {"SQS, polls of an idle queue"}:
        assert twice[what] == pytest.approx(2 * once[what]), what


def test_shared_pass_is_cheaper_to_change() -> None:
    own, shared = (
        sum(dollars(Usage(devices=10_000, updates_per_day=1, devices_per_pass=count)).values()) for count in (1, 1000)
    )
    assert shared < own


def test_bill_includes_costs_per_request_and_per_execution_environment() -> None:
    """Access logs, the surcharge of message groups, and the repeated reads of warm execution environments."""
    lines = {
        line.what: line for line in bill(Usage(devices=1_000_000, updates_per_day=1 / 30, devices_per_pass=1_000_000))
    }
    assert lines["CloudWatch, GB of logs"].quantity > lines["API Gateway, requests of phones"].quantity * 330 / 1e9
    assert lines["SQS, requests with a group"].price == pytest.approx(0.5e-6)
    assert lines["S3, reads of templates"].dollars > 0
    assert lines["Secrets Manager, reads"].dollars > 0
    rollout = sum(line.dollars for line in lines.values() if line.what not in FIXED)
    assert rollout > 15, "the phones' own calls are most of what a change of a shared pass costs"


def test_json_has_the_lines_and_their_sum() -> None:
    done = CliRunner().invoke(app, ["cost", "--devices", "100000", "--updates-per-day", "3", "--json"])
    report = json.loads(done.stdout)
    assert report["dollars_per_month"] == pytest.approx(sum(line["dollars"] for line in report["lines"]), abs=0.01)
    shown = CliRunner().invoke(app, ["cost", "--devices", "100000", "--updates-per-day", "3"]).stdout
    assert f"{report['dollars_per_month']:,.2f}" in shown
    assert report["prices_of"] in shown


def test_cost_page_shows_the_output_of_the_command() -> None:
    """Within 2 %, so that a new alarm does not require a new table."""
    page = (PROJECT / "docs" / "operations" / "cost.md").read_text()
    (total,) = re.findall(r"^total +([0-9.,]+)$", page, re.MULTILINE)
    assert "--devices 100000 --updates-per-day 3\nper month" in page
    expected = sum(dollars(Usage(devices=100_000, updates_per_day=3)).values())
    assert float(total.replace(",", "")) == pytest.approx(expected, rel=0.02)

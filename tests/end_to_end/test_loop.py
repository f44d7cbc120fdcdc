"""The main loop through the deployed stack: API Gateway, Lambdas, DynamoDB, its stream, SQS, HTTP/2, TLS."""

import time
from collections.abc import Iterator

import boto3
import pytest

from infra.local.phone import Phone
from infra.local.run import LocalRun
from tests.conftest import Issuer, Pipeline
from tests.support.eventually import Apns, eventually


@pytest.fixture
def holder(pipeline: Pipeline, issuer: Issuer, phone: Phone, serial_number: str) -> Iterator[Phone]:
    """A phone that holds one pass, gate A7."""
    pass_id = pipeline.writes(serial_number, fields={"gate": "A7"})
    issued = issuer.issues(pass_id)
    assert phone.adds(issued.content, last_modified=issued.headers.get("Last-Modified")) == 201
    yield phone
    pipeline.deletes(pass_id)


def test_changed_item_shows_a_change_message_on_the_phone(
    holder: Phone, pipeline: Pipeline, apns: Apns, serial_number: str
) -> None:
    pipeline.writes(serial_number, fields={"gate": "B22"})
    (push,) = eventually(lambda: apns.pushes_to(holder), "the push")
    assert push["body"] == "{}"
    assert push["topic"] == pipeline.pass_type_identifier
    assert holder.receives_push(pipeline.pass_type_identifier) == ["Gate changed to B22"]


def test_unchanged_content_sends_no_push(holder: Phone, pipeline: Pipeline, apns: Apns, serial_number: str) -> None:
    pipeline.writes(serial_number, fields={"gate": "A7"}, the_pipelines_own=1)
    pipeline.writes(serial_number, fields={"gate": "B1"})
    eventually(lambda: apns.pushes_to(holder), "the push of the second write")
    assert len(apns.pushes_to(holder)) == 1


def test_device_that_apns_reports_as_unregistered_is_removed(
    holder: Phone, pipeline: Pipeline, apns: Apns, stack: LocalRun, serial_number: str
) -> None:
    apns.answers(holder, status=410, reason="Unregistered", timestamp=int(time.time() * 1000) + 1000)
    pipeline.writes(serial_number, fields={"gate": "B1"})
    devices = boto3.resource("dynamodb").Table(stack.tables["devices"])
    key = {"device_library_identifier": holder.device_library_identifier}
    eventually(lambda: "Item" not in devices.get_item(Key=key, ConsistentRead=True), "forgetting the device")
    registrations = boto3.resource("dynamodb").Table(stack.tables["registrations"])
    row = registrations.get_item(Key={"pass_id": f"{pipeline.pass_type_identifier}/{serial_number}", **key})
    assert "Item" not in row


def test_push_is_repeated_after_apns_was_unavailable(
    holder: Phone, pipeline: Pipeline, apns: Apns, serial_number: str
) -> None:
    apns.answers(holder, status=503, reason="ServiceUnavailable")
    pipeline.writes(serial_number, fields={"gate": "B1"})
    eventually(lambda: apns.pushes_to(holder), "the first attempt")
    apns.is_well_again(holder)
    eventually(lambda: [p for p in apns.pushes_to(holder) if p["status"] == 200], "the push from the queue")


def test_invalid_item_is_reported_and_the_rest_of_its_batch_is_processed(
    holder: Phone, pipeline: Pipeline, apns: Apns, stack: LocalRun, serial_number: str
) -> None:
    bad = pipeline.writes(f"{serial_number}-bad", fields={"no_such_field": "x"})
    pipeline.writes(serial_number, fields={"gate": "B9"})
    eventually(lambda: apns.pushes_to(holder), "the neighbour's push")
    sqs = boto3.client("sqs")

    def refusal() -> str | None:
        received = sqs.receive_message(QueueUrl=stack.queues["dead_letter"], MaxNumberOfMessages=10)
        bodies = [message["Body"] for message in received.get("Messages", [])]
        return next((body for body in bodies if str(bad) in body), None)

    assert "no_such_field" in str(eventually(refusal, "the refusal in the dead-letter queue"))


def test_phone_that_removed_the_pass_gets_no_push(
    holder: Phone, pipeline: Pipeline, apns: Apns, issuer: Issuer, serial_number: str
) -> None:
    holder.removes(pipeline.pass_type_identifier, serial_number)
    other = Phone()
    pass_id = pipeline.writes(serial_number, fields={"gate": "B1"})
    other.adds(issuer.issues(pass_id).content)
    pipeline.writes(serial_number, fields={"gate": "B2"})
    eventually(lambda: apns.pushes_to(other), "the push to the phone that still has the pass")
    assert apns.pushes_to(holder) == []
    other.close()

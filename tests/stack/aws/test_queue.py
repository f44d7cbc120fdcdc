"""Orders in SQS, on the session's embedded AWS."""

import secrets
from collections.abc import Iterator

import boto3
import pytest

from chalicelib.aws.queue import Queue
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId
from chalicelib.updates.push_tasks import FanOut, NotifyDevices, PushTask, RemoveRegistrations, encode
from infra.local.run import LocalRun

PASS_ID = PassId("pass.com.example", "1")
DEVICE = DeviceLibraryIdentifier("d" * 32)


@pytest.fixture
def url(stack: LocalRun) -> Iterator[str]:
    """A queue that no function reads."""
    sqs = boto3.client("sqs", endpoint_url=stack.aws_endpoint_url)
    made: str = sqs.create_queue(QueueName=f"test-{secrets.token_hex(4)}")["QueueUrl"]
    yield made
    sqs.delete_queue(QueueUrl=made)


def received(url: str) -> list[tuple[str, str | None]]:
    """Every message's body and message group."""
    sqs = boto3.client("sqs")
    found: list[tuple[str, str | None]] = []
    while messages := sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["MessageGroupId"]
    ).get("Messages"):
        found += [(message["Body"], message.get("Attributes", {}).get("MessageGroupId")) for message in messages]
    return found


def test_push_tasks_of_one_change_share_a_message_group(url: str) -> None:
    """Tasks of other changes do not wait behind a long fan-out."""
    grouped: list[tuple[PushTask, str | None]] = [
        (NotifyDevices(PASS_ID.pass_type_identifier, (DEVICE,), 12.5, "change-1"), "change-1"),
        (FanOut(PASS_ID, DEVICE, 12.5, "change-1"), "change-1"),
        (FanOut(PASS_ID, None, 12.5, "change-2"), "change-2"),
        (NotifyDevices(PASS_ID.pass_type_identifier, (DEVICE,), 12.5), None),
        (NotifyDevices(PASS_ID.pass_type_identifier, (DEVICE,), 12.5, "no name that SQS takes"), None),
        (FanOut(PASS_ID, None, 12.5, "x" * 129), None),
        (RemoveRegistrations(PASS_ID), None),
    ]
    Queue(push_queue_url=url, dead_letter_queue_url=url).send([task for task, _ in grouped])
    assert sorted(received(url), key=str) == sorted(((encode(task), group) for task, group in grouped), key=str)


def test_many_and_long_push_tasks_arrive_once(url: str) -> None:
    """Ten messages and 256 KiB are what one request takes."""
    long = tuple(DeviceLibraryIdentifier(f"{number:0>250}") for number in range(500))
    tasks = [NotifyDevices(PASS_ID.pass_type_identifier, long, float(number), "many") for number in range(23)]
    Queue(push_queue_url=url, dead_letter_queue_url=url).send(tasks)
    assert sorted(received(url)) == sorted((encode(task), "many") for task in tasks)

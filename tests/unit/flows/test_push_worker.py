"""A push task that makes progress each time, and never ends: it waits longer each time, and has an end."""

import time
from collections.abc import Iterator
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.aws.queue import Queue
from chalicelib.aws.tables import Store
from chalicelib.core.identifiers import DeviceLibraryIdentifier
from chalicelib.flows.pace import Pacer
from chalicelib.flows.push_worker import PushWorker
from chalicelib.flows.send_pushes import PushSender, SendResult
from chalicelib.http.events import queue_messages
from chalicelib.updates.attempts import MAX_ATTEMPTS, attempts_of, with_attempts
from chalicelib.updates.pacing import PushRate
from chalicelib.updates.push_tasks import NotifyDevices, decode, encode
from tests.schedules.memory import Memory
from tests.support.aws_stand_in import aws_stand_in, json_answer

PUSH_QUEUE = "https://sqs.eu-central-1.amazonaws.com/123456789012/passwire-dev-push"


class Sqs:
    """Accepts messages and records their delays."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int]] = []
        self.postponed: list[int] = []

    def answers(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        if operation == "ChangeMessageVisibility":
            self.postponed.append(request["VisibilityTimeout"])
            return {}
        assert operation == "SendMessageBatch"
        self.sent += [(entry["MessageBody"], entry["DelaySeconds"]) for entry in request["Entries"]]
        taken = [{"Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": ""} for entry in request["Entries"]]
        return {"Successful": taken, "Failed": []}


class OneByOne:
    """A push sender that delivers one push per batch."""

    pacer = Pacer(Memory().store(), PushRate(1_000_000))

    def send(self, task: NotifyDevices, **_: object) -> SendResult:
        return SendResult(frozenset(sorted(task.devices)[1:]))


@pytest.fixture
def sqs() -> Iterator[Sqs]:
    service = Sqs()
    with aws_stand_in(lambda request: json_answer(service.answers(request.operation, request.content))):
        yield service


def record(body: str) -> dict[str, Any]:
    """A message on its first receive, as Lambda hands it over."""
    attributes = {"ApproximateReceiveCount": "1"}
    return {"messageId": "1", "receiptHandle": "r", "attributes": attributes, "body": body}


def task(devices: int) -> NotifyDevices:
    holders = tuple(DeviceLibraryIdentifier(f"{number:032x}") for number in range(devices))
    return NotifyDevices("pass.com.example", holders, changed_at=time.time())


def test_deferred_task_waits_longer_each_time_and_ends_as_a_dead_letter(sqs: Sqs) -> None:
    """SQS counts each new message from one, so the number of attempts is inside the task."""
    worker = PushWorker(
        store=cast("Store", None),
        queue=Queue(push_queue_url=PUSH_QUEUE, dead_letter_queue_url=PUSH_QUEUE + "-dead"),
        push_sender=cast("PushSender", OneByOne()),
        rechecker=pytest.fail,
    )
    body = encode(task(MAX_ATTEMPTS + 2))
    rounds = 0
    while not (failed := worker.handle(queue_messages({"Records": [record(body)]}), deadline=time.monotonic() + 10)):
        rounds += 1
        assert len(sqs.sent) == rounds
        body = sqs.sent[-1][0]
    delays = [delay for _, delay in sqs.sent]
    assert delays[:9] == [5, 10, 20, 40, 80, 160, 320, 640, 900]
    assert set(delays[9:]) == {900}
    assert rounds == MAX_ATTEMPTS
    assert failed == ["1"], "the message itself comes back, and SQS's limit of receives ends it"
    assert sqs.postponed == [900]


@given(attempts=st.integers(min_value=1, max_value=10**6))
def test_attempts_do_not_change_the_task(attempts: int) -> None:
    text = encode(task(3))
    assert attempts_of(text) == 0
    assert with_attempts(text, 0) == text
    assert attempts_of(with_attempts(text, attempts)) == attempts
    assert decode(with_attempts(text, attempts)) == decode(text)


@given(st.text() | st.sampled_from(['{"attempts": "x"}', '{"attempts": -1}', '["attempts"]', '"attempts']))
def test_message_without_attempts_has_0(text: str) -> None:
    assert attempts_of(text) == 0

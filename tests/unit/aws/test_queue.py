"""Tests of sending messages to SQS: batches, retries, dead letters and held removals."""

import json
from collections.abc import Iterator

import pytest
from botocore.stub import ANY, Stubber

from chalicelib.aws.queue import Queue, QueueError
from chalicelib.core.errors import RefusedError
from chalicelib.core.identifiers import PassId
from chalicelib.updates.changes import RefusedRecord
from chalicelib.updates.push_tasks import FanOut, encode
from tests.support.aws_answers import stub_client

PASS = PassId("pass.a", "1")
FOREVER = 1e12


@pytest.fixture
def stubber() -> Iterator[Stubber]:
    with Stubber(stub_client("sqs")) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


@pytest.fixture
def queue(stubber: Stubber) -> Queue:
    assert stubber
    return Queue(push_queue_url="push", dead_letter_queue_url="dead", client=stub_client("sqs"), pause_seconds=0.0)


def accepts(stubber: Stubber, url: str, *bodies: object, refuses: tuple[int, ...] = (), **attributes: object) -> None:
    """Expect one request with these bodies; messages at the positions `refuses` are not accepted."""
    entries = [{"Id": str(number), "MessageBody": body, **attributes} for number, body in enumerate(bodies)]
    failed = [{"Id": str(number), "SenderFault": False, "Code": "Throttled"} for number in refuses]
    response = {"Successful": [], "Failed": failed}
    stubber.add_response("send_message_batch", response, {"QueueUrl": url, "Entries": entries})


def test_delay_of_a_task_is_limited_to_900_seconds(stubber: Stubber, queue: Queue) -> None:
    task = FanOut(PASS, None, 12.5)
    accepts(stubber, "push", encode(task), DelaySeconds=900)
    queue.send([task], delay_seconds=3600)


def test_more_than_ten_messages_need_several_requests(stubber: Stubber, queue: Queue) -> None:
    accepts(stubber, "dead", *["x"] * 10)
    accepts(stubber, "dead", "x")
    queue.send_dead_letters(["x"] * 11)


def test_more_than_256_kib_need_several_requests(stubber: Stubber, queue: Queue) -> None:
    accepts(stubber, "dead", "x" * 200_000)
    accepts(stubber, "dead", "y" * 200_000)
    queue.send_dead_letters(["x" * 200_000, "y" * 200_000])


def test_only_messages_that_were_not_accepted_are_sent_again(stubber: Stubber, queue: Queue) -> None:
    tasks = [FanOut(PASS, None, float(number)) for number in range(3)]
    bodies = [encode(task) for task in tasks]
    accepts(stubber, "push", *bodies, refuses=(1,), DelaySeconds=0)
    accepts(stubber, "push", bodies[1], DelaySeconds=0)
    queue.send(tasks, until=FOREVER)


def test_message_that_is_not_accepted_in_time_is_an_error(stubber: Stubber, queue: Queue) -> None:
    accepts(stubber, "push", ANY, refuses=(0,), DelaySeconds=0)
    with pytest.raises(QueueError, match="refused 1 of 1 messages: Throttled"):
        queue.send([FanOut(PASS, None, 12.5)])


def test_failed_request_is_an_error_without_its_content(stubber: Stubber, queue: Queue) -> None:
    stubber.add_client_error("send_message_batch", "InternalError", "secret")
    with pytest.raises(QueueError, match="SendMessageBatch") as failed:
        queue.send_dead_letters(["x"])
    assert "secret" not in str(failed.value)


def test_dead_letter_of_a_refusal_names_the_item_and_its_error(stubber: Stubber, queue: Queue) -> None:
    letter = {"refused": "pass.a/1", "error": "wrong", "sequence_number": "7", "refused_at": 12}
    accepts(stubber, "dead", json.dumps(letter))
    queue.send_refusals([RefusedRecord("pass.a/1", "7", RefusedError("wrong"), PASS)], at=12.5)


def test_removals_cannot_be_held_without_a_queue(queue: Queue) -> None:
    with pytest.raises(QueueError, match="PASSWIRE_HELD_REMOVALS_QUEUE_URL is not set"):
        queue.hold([])


def test_message_is_postponed_by_at_most_900_seconds(stubber: Stubber, queue: Queue) -> None:
    expected = {"QueueUrl": "push", "ReceiptHandle": "r", "VisibilityTimeout": 900}
    stubber.add_response("change_message_visibility", {}, expected)
    queue.postpone("r", seconds=3600)


def test_failed_postponement_is_an_error(stubber: Stubber, queue: Queue) -> None:
    stubber.add_client_error("change_message_visibility", "InternalError")
    with pytest.raises(QueueError, match="ChangeMessageVisibility"):
        queue.postpone("r", seconds=1)

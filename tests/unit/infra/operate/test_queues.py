"""Tests of reading each message of a queue once."""

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from infra.operate.queues import RECEIVED_AT_ONCE, received


class Sqs:
    """A queue that returns messages in batches, some of them again; then it is empty."""

    def __init__(self, batches: Sequence[Sequence[int]]) -> None:
        self._batches = iter(batches)
        self.requests: list[dict[str, Any]] = []

    def receive_message(self, **request: Any) -> dict[str, Any]:  # noqa: ANN401 - as boto3
        self.requests.append(request)
        batch = next(self._batches, ())
        return {"Messages": [{"MessageId": str(number)} for number in batch]} if batch else {}


def read(sqs: Sqs) -> list[str]:
    return [message["MessageId"] for messages in received(sqs, "url", hidden_seconds=60) for message in messages]


@given(st.lists(st.lists(st.integers(0, 30), unique=True, max_size=RECEIVED_AT_ONCE), max_size=8))
def test_no_message_is_returned_twice(batches: list[list[int]]) -> None:
    found = read(Sqs(batches))
    assert len(found) == len(set(found))


def test_messages_are_read_until_none_is_new() -> None:
    sqs = Sqs([[1, 2], [2, 3], [3], [4]])
    assert read(sqs) == ["1", "2", "3"], "a batch of known messages means that the queue begins again"
    assert {request["VisibilityTimeout"] for request in sqs.requests} == {60}


def test_empty_queue_has_no_messages() -> None:
    assert read(Sqs([])) == []

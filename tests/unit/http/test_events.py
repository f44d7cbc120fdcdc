"""Tests of parsing Lambda events: valid records become values, and invalid ones do not affect the others."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.identifiers import PassId
from chalicelib.http.events import queue_messages, stream_records
from chalicelib.updates.changes import InvalidRecord, StreamRecord
from chalicelib.updates.messages import InvalidMessage, QueueMessage
from chalicelib.updates.push_tasks import RemoveRegistrations, encode

KEY = {"pass_id": {"S": "pass.a/1"}}
TASK = RemoveRegistrations(PassId("pass.a", "1"))
BODY = encode(TASK)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["dynamodb", "Keys", "NewImage", "OldImage", "pass_id", "S", "M", "messageId", "body"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


def stream_record(**change: object) -> dict[str, Any]:
    return {"dynamodb": {"Keys": KEY, "SequenceNumber": "7", "ApproximateCreationDateTime": 12.5, **change}}


def message(**attributes: object) -> dict[str, Any]:
    sent = {"messageId": "m1", "receiptHandle": "r1", "attributes": {"ApproximateReceiveCount": "3"}, "body": BODY}
    return {**sent, **attributes}


def parsed(record: Mapping[str, Any]) -> StreamRecord | InvalidRecord:
    (value,) = stream_records({"Records": [record]})
    return value


def received(record: object) -> QueueMessage | InvalidMessage:
    (value,) = queue_messages({"Records": [record]})
    return value


def test_stream_record_has_plain_images() -> None:
    record = parsed(stream_record(OldImage={**KEY, "n": {"N": "1"}}, NewImage={**KEY, "n": {"N": "2"}}))
    assert record == StreamRecord(
        "pass.a/1", "7", 12.5, old={"pass_id": "pass.a/1", "n": 1}, new={"pass_id": "pass.a/1", "n": 2}
    )


def test_image_that_is_missing_is_read_as_no_value() -> None:
    record = parsed(stream_record(NewImage=KEY))
    assert isinstance(record, StreamRecord)
    assert record.old is None


def test_image_that_is_not_in_dynamodbs_form_is_an_invalid_record() -> None:
    assert parsed(stream_record(NewImage={"x": {"N": "secret"}})) == InvalidRecord("pass.a/1", "7", "RefusedError")


def test_record_without_key_says_so() -> None:
    assert parsed({"eventName": "INSERT"}) == InvalidRecord("(without key)", "", "KeyError")


def test_message_has_its_push_task() -> None:
    assert received(message()) == QueueMessage("m1", "r1", 3, TASK)


@pytest.mark.parametrize("body", ["no JSON", '{"secret": 1}', "[" * 2000])
def test_message_of_another_sender_is_invalid_and_keeps_its_body(body: str) -> None:
    invalid = received(message(body=body))
    assert isinstance(invalid, InvalidMessage)
    assert (invalid.message_id, invalid.body) == ("m1", body)
    assert "secret" not in invalid.problem


@pytest.mark.parametrize("record", [{"messageId": "m1"}, message(body=None), message(body="")])
def test_message_without_body_has_a_body_that_sqs_accepts(record: dict[str, Any]) -> None:
    invalid = received(record)
    assert isinstance(invalid, InvalidMessage)
    assert (invalid.message_id, invalid.body) == ("m1", "(empty)")


@given(st.lists(JSON, max_size=4))
def test_record_of_any_form_does_not_affect_the_others(others: list[Any]) -> None:
    first, *_, last = stream_records({"Records": [stream_record(), *others, stream_record()]})
    assert isinstance(first, StreamRecord)
    assert first == last


@given(st.lists(JSON, max_size=4))
def test_message_of_any_form_does_not_affect_the_others(others: list[Any]) -> None:
    first, *_, last = queue_messages({"Records": [message(), *others, message()]})
    assert first == last == QueueMessage("m1", "r1", 3, TASK)

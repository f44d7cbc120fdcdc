"""Tests of programmed answers and faults, and of the state that connections share."""

import contextlib
import json
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.local.apns.values import NO_FAULTS, Faults, ProgrammedAnswer, ReceivedPush, State

GONE = ProgrammedAnswer(410, "Unregistered", timestamp=1_800_000_000_000)
BUSY = ProgrammedAnswer(503, "ServiceUnavailable", retry_after=3)


def push(number: int, answer: ProgrammedAnswer | None = None) -> ReceivedPush:
    headers = ((b"apns-topic", b"pass.a"), (b"authorization", b"bearer secret"))
    return ReceivedPush(str(number).encode(), headers, b"{}", float(number), answer or ProgrammedAnswer())


def test_answer_is_parsed_and_sent_as_apns_does() -> None:
    assert ProgrammedAnswer.parse({"status": 410, "reason": "Unregistered", "timestamp": 1_800_000_000_000}) == GONE
    assert json.loads(GONE.body) == {"reason": "Unregistered", "timestamp": 1_800_000_000_000}
    assert (json.loads(BUSY.body), ProgrammedAnswer().body) == ({"reason": "ServiceUnavailable"}, b"")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(json_values | st.dictionaries(st.sampled_from(("status", "reason", "timestamp", "x")), json_values))
def test_any_other_answer_is_a_type_error(body: Any) -> None:  # noqa: ANN401 - any JSON
    with contextlib.suppress(TypeError):
        assert isinstance(ProgrammedAnswer.parse(body).status, int)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ([], "invalid faults"),
        ({"latency": 5}, "unknown: latency; use .*latency_ms"),
        ({"latency_ms": "5"}, "invalid latency_ms: it must be a number"),
        ({"answer": {"status": "410"}}, "invalid answer"),
    ],
)
def test_invalid_faults_are_refused(body: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Faults.parse(body)


def test_faults_contain_an_answer() -> None:
    faults = Faults.parse(
        {"latency_ms": 5, "answer": {"status": 503, "reason": "ServiceUnavailable", "retry_after": 3}}
    )
    assert faults == Faults(latency_ms=5, answer=BUSY)


def test_answer_of_a_burst_ends() -> None:
    state = State({})
    state.set_faults(Faults(answer=BUSY, answer_next=2))
    assert [state.common_answer() for _ in range(4)] == [BUSY, BUSY, None, None]
    state.set_faults(Faults(answer=BUSY))
    assert [state.common_answer() for _ in range(4)] == [BUSY] * 4
    state.set_faults(NO_FAULTS)
    assert state.common_answer() is None


def test_open_connections_read_new_faults() -> None:
    state, notified = State({}), threading.Event()
    state.on_faults.add(notified.set)
    state.set_faults(Faults(down=True))
    assert notified.is_set()


@given(st.integers(0, 20), st.integers(0, 25))
def test_pushes_are_read_from_a_number_on(count: int, after: int) -> None:
    state = State({})
    for number in range(count):
        state.record(push(number))
    received, pushes = state.pushes_after(after)
    assert received == count
    assert [int(each.token) for each in pushes] == list(range(after, count))


def test_forgotten_pushes_still_count_for_readers() -> None:
    state = State({})
    state.record(push(0))
    state.forget()
    state.record(push(1))
    assert state.pushes_after(0) == (2, [push(1)])


def test_description_has_no_provider_token() -> None:
    described = push(1, GONE).describe()
    assert (described["topic"], described["status"], described["reason"]) == ("pass.a", 410, "Unregistered")
    assert "secret" not in json.dumps(described)

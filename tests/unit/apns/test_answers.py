"""Answers of APNs, and of whatever stands in its place: each becomes an outcome, none an exception."""

import pytest

from chalicelib.apns.client import Push, outcome_of
from chalicelib.apns.connection import Answered
from chalicelib.apns.reasons import OutcomeKind
from chalicelib.core.identifiers import PushToken

PUSH = Push(PushToken("f00d" * 16), "pass.com.example")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[" * 100_000,
        b'{"reason":' * 2000 + b"1" + b"}" * 2000,
        b'{"reason": ["Unregistered"], "timestamp": "soon"}',
        b'{"reason": "Unregistered ", "timestamp": true}',
        b'{"timestamp": ' + b"9" * 5000 + b"}",
        b'["Unregistered"]',
        b"\xff\xfe",
    ],
    ids=lambda body: body[:20].decode(errors="replace") or "empty",
)
def test_an_answer_in_another_form_than_apples_puts_the_push_off(body: bytes) -> None:
    outcome = outcome_of(PUSH, Answered(1, {b":status": b"410"}, body))
    assert outcome.kind is OutcomeKind.LATER
    assert outcome.timestamp is None


def test_a_reason_is_cut_before_it_is_logged() -> None:
    outcome = outcome_of(PUSH, Answered(1, {b":status": b"400"}, b'{"reason": "\\u001b' + b"x" * 5000 + b'"}'))
    assert outcome.reason is not None
    assert len(outcome.reason) <= 100
    assert outcome.reason.isprintable()


@pytest.mark.parametrize("value", [b"soon", b"-1", b"1.5", b"9" * 5000, b""])
def test_headers_that_are_not_numbers_are_left_out(value: bytes) -> None:
    outcome = outcome_of(PUSH, Answered(1, {b":status": value, b"retry-after": value}, b"{}"))
    assert (outcome.kind, outcome.status, outcome.retry_after) == (OutcomeKind.LATER, 0, None)

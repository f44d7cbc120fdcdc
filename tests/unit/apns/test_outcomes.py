"""Tests of responses of any form: each becomes an outcome, none an exception."""

import pytest

from chalicelib.apns.connection import Answered
from chalicelib.apns.outcomes import Push, outcome_of
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
def test_response_in_another_form_than_apples_defers_the_push(body: bytes) -> None:
    outcome = outcome_of(PUSH, Answered(1, {b":status": b"410"}, body))
    assert outcome.kind is OutcomeKind.LATER
    assert outcome.timestamp is None


@pytest.mark.parametrize(
    "reason", [b"\\u001b" + b"x" * 10, b"x" * 5000, b"f00d" * 16], ids=["control", "long", "token"]
)
def test_invalid_reason_is_left_out(reason: bytes) -> None:
    outcome = outcome_of(PUSH, Answered(1, {b":status": b"400"}, b'{"reason": "' + reason + b'"}'))
    assert (outcome.kind, outcome.status, outcome.reason) == (OutcomeKind.LATER, 400, None)


@pytest.mark.parametrize("value", [b"soon", b"-1", b"1.5", b"9" * 5000, b""])
def test_headers_that_are_not_numbers_are_left_out(value: bytes) -> None:
    outcome = outcome_of(PUSH, Answered(1, {b":status": value, b"retry-after": value}, b"{}"))
    found = (outcome.kind, outcome.status, outcome.reason, outcome.retry_after)
    assert found == (OutcomeKind.LATER, None, "InvalidAnswer", None)

"""Tests of logging what devices report."""

import contextlib
import io
import json

from hypothesis import given
from hypothesis import strategies as st

from chalicelib.flows import device_logs
from chalicelib.telemetry import log

MESSAGES = st.lists(st.text(max_size=600) | st.sampled_from(["x" * 4096, "\0" * 4096, "é" * 2048]), max_size=100)


@given(messages=MESSAGES)
def test_one_request_logs_at_most_16_kilobytes(messages: list[str]) -> None:
    lines = logged_lines(messages)
    assert sum(len(line) + 1 for line in lines) <= 16_384
    events = [json.loads(line) for line in lines]
    logged = [event["message"] for event in events if event["event"] == "device_log"]
    cut = [event["left_out"] for event in events if event["event"] == "device_log_cut"]
    assert logged == messages[: len(logged)]
    assert cut == ([len(messages) - len(logged)] if len(logged) < len(messages) else [])


def test_messages_that_fit_are_logged_whole() -> None:
    assert len(logged_lines(["a"] * 100)) == 100
    assert len(logged_lines(["x" * 4096] * 3)) == 3


def logged_lines(messages: list[str]) -> list[str]:
    written = io.StringIO()
    with contextlib.redirect_stdout(written), log.invocation(request_id="3f2b1c60-0000-4000-8000-000000000000"):
        device_logs.log_messages(messages)
    return written.getvalue().splitlines()

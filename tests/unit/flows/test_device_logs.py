"""Tests of logging what devices report."""

import contextlib
import io
import json

import pytest
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


@pytest.mark.parametrize(
    ("message", "secret"),
    [
        (
            (
                "Unregister task (for device {}, pass type pass.com.acme, serial number 85607BFE98D91A-76; with web "
                "service url https://acme.example) encountered error: Authentication failure"
            ),
            "ceed8761e584e814ed4fe73cbb334ee9",
        ),
        ("GET https://acme.example/v1/devices/{}/registrations/pass.com.acme failed", "device-7"),
        ("sent Authorization: ApplePass {}", "1.sample-token-of-a-pass"),
        ("opened https://acme.example/api/p/{}", "AWtqL2Zg"),
        ("registered push token {}.", "0badc0de" * 8),
    ],
)
def test_secret_in_a_message_is_replaced_by_the_hash_that_other_lines_have(message: str, secret: str) -> None:
    (line,) = logged_lines([message.format(secret)])
    assert json.loads(line)["message"] == message.format(f"<{log.hash_secret(secret)}>")


def test_secret_that_is_not_valid_unicode_is_replaced() -> None:
    (line,) = logged_lines(["(for device \ud800)"])
    assert "ud800" not in line


@pytest.mark.parametrize(
    "message",
    [
        (
            "Web service error for pass.com.acme (https://acme.example): Update requested for serial number "
            "8C6772F099D51AA3-7A32F5FB-F7F8-4285-A2A2-79FC66DF942C"
        ),
        "Server requested update to serial number '0123456789abcdef0123456789abcdef', but the pass was unchanged.",
    ],
)
def test_serial_numbers_of_a_message_are_kept(message: str) -> None:
    (line,) = logged_lines([message])
    assert json.loads(line)["message"] == message


def logged_lines(messages: list[str]) -> list[str]:
    written = io.StringIO()
    with contextlib.redirect_stdout(written), log.invocation(request_id="3f2b1c60-0000-4000-8000-000000000000"):
        device_logs.log_messages(messages)
    return written.getvalue().splitlines()

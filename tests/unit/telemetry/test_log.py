"""Log lines: one JSON object each, and no secret in any."""

import json
from typing import Any

import pytest

from chalicelib.core.identifiers import AuthenticationToken, DeviceLibraryIdentifier, PassId, PushToken
from chalicelib.telemetry import log


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Any:  # noqa: ANN401 - a function that reads what was written
    log.set_hash_key("a stage's own")
    return lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("kind", [AuthenticationToken, DeviceLibraryIdentifier, PushToken])
def test_a_secret_is_written_as_a_hash_that_is_the_same_each_time(lines: Any, kind: type) -> None:  # noqa: ANN401
    log.event("one", secret=kind("s3cret-" * 4))
    log.event("two", secret=kind("s3cret-" * 4))
    log.event("three", secret=kind("other-" * 4))
    one, two, three = lines()
    assert "s3cret" not in str(one)
    assert one["secret"] == two["secret"] != three["secret"]


def test_the_hash_is_of_the_stage(lines: Any) -> None:  # noqa: ANN401
    """Nobody outside can find out what a line is about by hashing what they know."""
    log.event("one", secret=PushToken("abc"))
    log.set_hash_key("another stage's")
    log.event("two", secret=PushToken("abc"))
    one, two = lines()
    assert one["secret"] != two["secret"]


@pytest.mark.parametrize("kind", [AuthenticationToken, DeviceLibraryIdentifier, PushToken])
def test_a_secret_shows_in_no_traceback(kind: type) -> None:
    assert "s3cret" not in f"{kind('s3cret-' * 4)} {kind('s3cret-' * 4)!r}"


def test_a_message_of_many_lines_stays_one(lines: Any) -> None:  # noqa: ANN401
    log.event("device_log", message='first\nsecond\x1b[2J\u2028{"event": "forged"}')
    (line,) = lines()
    assert line["event"] == "device_log"
    assert line["message"].startswith("first\nsecond")


X_RAY = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"


def test_every_line_of_an_invocation_carries_the_w3c_trace_id_of_lambda(
    lines: Any,  # noqa: ANN401
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("_X_AMZN_TRACE_ID", X_RAY)
    with log.invocation(request_id="r-1"):
        log.event("one")
    monkeypatch.setenv("_X_AMZN_TRACE_ID", X_RAY.replace("5759e988", "5759e989"))
    with log.invocation(request_id="r-2"):
        log.event("two")
    monkeypatch.delenv("_X_AMZN_TRACE_ID")
    with log.invocation(request_id="r-3"):
        log.event("three")
    one, two, three = lines()
    assert one["trace_id"] == "5759e988bd862e3fe1be46a994272793"
    assert two["trace_id"] == "5759e989bd862e3fe1be46a994272793"
    assert "trace_id" not in three


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Parent=53995c3f42cd8ad8",
        "Root=2-5759e988-bd862e3fe1be46a994272793",
        "Root=1-5759e988-bd862e3fe1be46a99427279",
        "Root=1-5759E988-bd862e3fe1be46a994272793",
        "Root=1-00000000-000000000000000000000000;Sampled=0",
        "XRoot=1-5759e988-bd862e3fe1be46a994272793",
    ],
)
def test_a_header_without_a_valid_root_has_no_trace_id(header: str) -> None:
    assert log.w3c_trace_id(header) == ""


def test_the_order_of_a_headers_parts_does_not_matter() -> None:
    assert log.w3c_trace_id("Sampled=1;Root=1-5759e988-bd862e3fe1be46a994272793") == "5759e988bd862e3fe1be46a994272793"


def test_every_line_of_an_invocation_names_it_and_no_later_one_does(lines: Any) -> None:  # noqa: ANN401
    with log.invocation(request_id="r-1"):
        log.event("inside", pass_id=PassId("pass.com.example", "7"))
    log.event("outside")
    inside, outside = lines()
    assert inside["request_id"] == "r-1"
    assert inside["pass_id"] == "pass.com.example/7"
    assert "request_id" not in outside

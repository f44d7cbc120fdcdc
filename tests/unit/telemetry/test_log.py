"""Tests of log lines: each is one JSON object without secrets."""

import json
from typing import Any

import pytest

from chalicelib.core.identifiers import AuthenticationToken, DeviceLibraryIdentifier, PassId, PushToken
from chalicelib.telemetry import log


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Any:  # noqa: ANN401 - a function that returns the lines written
    log.set_hash_key("key of a stage")
    return lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("kind", [AuthenticationToken, DeviceLibraryIdentifier, PushToken])
def test_equal_secrets_are_written_as_equal_hashes(lines: Any, kind: type) -> None:  # noqa: ANN401
    log.event("one", secret=kind("s3cret-" * 4))
    log.event("two", secret=kind("s3cret-" * 4))
    log.event("three", secret=kind("other-" * 4))
    one, two, three = lines()
    assert "s3cret" not in str(one)
    assert one["secret"] == two["secret"] != three["secret"]


def test_hash_of_a_secret_depends_on_the_key_of_the_stage(lines: Any) -> None:  # noqa: ANN401
    """So a person with a known token cannot find its lines by hashing it."""
    log.event("one", secret=PushToken("abc"))
    log.set_hash_key("key of another stage")
    log.event("two", secret=PushToken("abc"))
    one, two = lines()
    assert one["secret"] != two["secret"]


@pytest.mark.parametrize("kind", [AuthenticationToken, DeviceLibraryIdentifier, PushToken])
def test_value_of_a_secret_is_not_in_its_text_or_repr(kind: type) -> None:
    assert "s3cret" not in f"{kind('s3cret-' * 4)} {kind('s3cret-' * 4)!r}"


def test_secret_that_is_not_valid_unicode_has_a_hash() -> None:
    assert log.hash_secret("\ud800") != log.hash_secret("\ud801")


def test_message_with_line_breaks_is_written_as_one_line(lines: Any) -> None:  # noqa: ANN401
    log.event("device_log", message='first\nsecond\x1b[2J\u2028{"event": "forged"}')
    (line,) = lines()
    assert line["event"] == "device_log"
    assert line["message"].startswith("first\nsecond")


X_RAY = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"


def test_lines_of_an_invocation_have_the_w3c_trace_id(
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
def test_trace_header_without_a_valid_root_has_no_trace_id(header: str) -> None:
    assert log.w3c_trace_id(header) == ""


def test_root_is_found_at_any_position_of_the_trace_header() -> None:
    assert log.w3c_trace_id("Sampled=1;Root=1-5759e988-bd862e3fe1be46a994272793") == "5759e988bd862e3fe1be46a994272793"


def test_lines_of_an_invocation_have_its_request_id_and_later_lines_have_not(lines: Any) -> None:  # noqa: ANN401
    with log.invocation(request_id="r-1"):
        log.event("inside", pass_id=PassId("pass.com.example", "7"))
    log.event("outside")
    inside, outside = lines()
    assert inside["request_id"] == "r-1"
    assert inside["pass_id"] == "pass.com.example/7"
    assert "request_id" not in outside


def test_request_id_is_that_of_the_current_invocation() -> None:
    with log.invocation(request_id="r-1"):
        assert log.request_id() == "r-1"
    assert log.request_id() == ""


def test_first_ids_are_limited_and_in_order() -> None:
    passes = {PassId("pass.com.example", f"{number:03}") for number in range(log.MAX_NAMED + 5)}
    assert log.first_ids(passes) == sorted(passes)[: log.MAX_NAMED]
    assert log.first_ids(set[PassId]()) == []

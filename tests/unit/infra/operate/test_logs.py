"""Tests of the form of log lines for people and for scripts."""

import json

import pytest

from chalicelib.core.identifiers import PassId
from infra.operate.logs import LogFilter, LogLine


def test_structured_line_is_printed_as_event_and_values() -> None:
    text = json.dumps({"event": "stamped", "pass_id": "pass.x/1", "revision": 2, "request_id": "r-1"})
    assert LogLine(1_764_000_000_000, "push", text).readable == (
        "2025-11-24T16:00:00Z push   stamped pass_id=pass.x/1 revision=2"
    )


def test_control_characters_are_escaped() -> None:
    text = json.dumps({"event": "device_log", "message": "a\x1b[2Jb c"})
    assert LogLine(0, "api", text).readable.endswith(r'device_log message="a\u001b[2Jb c"')
    assert LogLine(0, "api", "a\x1b[2Jb\nc").readable.endswith("a\\x1b[2Jb\nc")


@pytest.mark.parametrize("text", ["REPORT RequestId: 1 Duration: 2 ms", '{"_aws": {}, "Stamped": 1}'])
def test_lines_of_lambda_and_metrics_are_left_out(text: str) -> None:
    assert LogLine(0, "api", text).readable == ""


PASS = PassId("pass.x", "1")
LINES = [
    '{"event": "stamped", "pass_id": "pass.x/1"}',
    '{"event": "stamped", "pass_id": "pass.x/12"}',
    '{"event": "listed", "passes": ["pass.x/1", "pass.x/2"]}',
    '{"event": "pushed", "device": "d"}',
    "START RequestId: pass.x/1",
    "[1]",
]


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (LogFilter(), [0, 1, 2, 3, 4, 5]),
        (LogFilter(events=("stamped", "pushed")), [0, 1, 3]),
        (LogFilter(pass_id=PASS), [0, 2]),
        (LogFilter(events=("listed",), pass_id=PASS), [2]),
    ],
    ids=["all", "events", "pass", "event and pass"],
)
def test_filter_selects_lines_by_event_and_pass(wanted: LogFilter, numbers: list[int]) -> None:
    assert [number for number, line in enumerate(LINES) if wanted.matches(line)] == numbers


def test_filter_pattern_of_cloudwatch_matches_at_least_the_wanted_lines() -> None:
    assert LogFilter().pattern == ""
    assert LogFilter(functions=("push",)).pattern == ""
    assert LogFilter(events=("stamped", "pushed")).pattern == '?"stamped" ?"pushed"'
    assert LogFilter(events=("stamped",), pass_id=PassId("pass.x", "7 \u00c4")).pattern == '"pass.x/7"'


def test_metrics_that_joined_an_event_are_left_out() -> None:
    text = json.dumps({"event": "listed", "held": 1, "_aws": {}, "Stage": "dev", "CallDuration": 3.5})
    assert LogLine(0, "api", text).readable.endswith("listed held=1")


def test_json_has_time_and_function() -> None:
    line = LogLine(0, "api", '{"event": "stamped", "revision": 1}')
    at = "1970-01-01T00:00:00.000Z"
    assert json.loads(line.as_json) == {"at": at, "function": "api", "event": "stamped", "revision": 1}
    assert json.loads(LogLine(0, "api", "text").as_json) == {"at": at, "function": "api", "message": "text"}

"""Tests of reading structured log lines."""

import json

import pytest

from infra.operate.log_lines import event_fields, is_metric

METRIC = {"_aws": {"Timestamp": 1}, "Stage": "dev", "Call": "download", "CallDuration": 12.5}
EVENT = {"event": "downloaded", "pass_id": "pass.x/1", "request_id": "r-1"}


def test_event_is_read_without_the_metric_in_its_line() -> None:
    assert event_fields(json.dumps({**EVENT, **METRIC})) == EVENT
    assert event_fields(json.dumps(EVENT)) == EVENT


@pytest.mark.parametrize("line", ["REPORT", "[1]", '{"Stage": "dev"}', "[" * 100_000])
def test_other_lines_have_no_event(line: str) -> None:
    assert event_fields(line) is None


def test_line_with_metrics_alone_is_not_an_event() -> None:
    assert is_metric(json.dumps(METRIC))
    assert not is_metric(json.dumps({**EVENT, **METRIC}))

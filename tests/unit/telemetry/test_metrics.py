"""Tests of metrics: lines in CloudWatch's embedded metric format."""

import json

import pytest

from chalicelib.telemetry import log
from chalicelib.telemetry.metrics import Metrics, Unit


def test_counter_has_a_series_for_the_stage_and_for_each_further_dimension(capsys: pytest.CaptureFixture[str]) -> None:
    Metrics("prod").count("Pushes", 7, outcome="unregistered", reason="Unregistered")
    line = json.loads(capsys.readouterr().out)
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert directive["Metrics"] == [{"Name": "Pushes", "Unit": "Count"}]
    assert directive["Dimensions"] == [["Stage"], ["Stage", "Outcome"], ["Stage", "Outcome", "Reason"]]
    assert (line["Pushes"], line["Stage"]) == (7, "prod")
    assert (line["Outcome"], line["Reason"]) == ("unregistered", "Unregistered")
    assert line["_aws"]["Timestamp"] > 1_700_000_000_000


def test_values_of_one_unit_are_written_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    Metrics("prod").put({"PushLatency": 12.5, "Other": 1}, Unit.MILLISECONDS)
    line = json.loads(capsys.readouterr().out)
    assert [metric["Unit"] for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]] == ["Milliseconds"] * 2


def test_duration_is_measured_when_the_block_raises(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), Metrics("prod").duration("CallDuration", call="list_changed"):
        1 / 0  # noqa: B018 - raises
    line = json.loads(capsys.readouterr().out)
    assert line["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["Stage"], ["Stage", "Call"]]
    assert (line["Call"], line["CallDuration"] >= 0) == ("list_changed", True)


def test_duration_joins_the_last_event(capsys: pytest.CaptureFixture[str]) -> None:
    """A request with one event has one line; earlier events have lines of their own."""
    with Metrics("prod").duration("CallDuration", call="download"):
        log.event("recheck_requested")
        log.event("downloaded", modified=True)
    first, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == {"event": "recheck_requested"}
    assert (last["event"], last["modified"], last["Call"], "_aws" in last) == ("downloaded", True, "download", True)
    log.event("later")
    assert json.loads(capsys.readouterr().out) == {"event": "later"}

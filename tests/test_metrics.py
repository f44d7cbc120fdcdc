"""Metrics: lines in the form that CloudWatch reads."""

import json
from pathlib import Path

import pytest

from chalicelib.metrics import Metrics, Unit

RESOURCES = json.loads((Path(__file__).parents[1] / "infra" / "stack" / "resources.json").read_text())["Resources"]


def test_a_counter_is_kept_by_stage_and_by_each_dimension(capsys: pytest.CaptureFixture[str]) -> None:
    Metrics("prod").count("Pushes", 7, outcome="gone", reason="Unregistered")
    line = json.loads(capsys.readouterr().out)
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert directive["Metrics"] == [{"Name": "Pushes", "Unit": "Count"}]
    assert directive["Dimensions"] == [["Stage"], ["Stage", "Outcome"], ["Stage", "Outcome", "Reason"]]
    assert (line["Pushes"], line["Stage"], line["Outcome"], line["Reason"]) == (7, "prod", "gone", "Unregistered")
    assert line["_aws"]["Timestamp"] > 1_700_000_000_000


def test_values_of_one_unit_share_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    Metrics("prod").put({"PushLatency": 12.5, "Other": 1}, Unit.MILLISECONDS)
    line = json.loads(capsys.readouterr().out)
    assert [metric["Unit"] for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]] == ["Milliseconds"] * 2


def test_every_alarm_goes_to_the_topic_and_says_what_to_do() -> None:
    alarms = {name: r["Properties"] for name, r in RESOURCES.items() if r.get("Type") == "AWS::CloudWatch::Alarm"}
    assert len(alarms) >= 5
    for name, alarm in alarms.items():
        assert alarm["AlarmActions"] == [{"Ref": "AlarmTopic"}], name
        assert len(alarm["AlarmDescription"]) > 30, name

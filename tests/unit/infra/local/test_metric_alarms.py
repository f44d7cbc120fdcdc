"""Tests of the evaluation of alarms, with a CloudWatch of one metric."""

import time
from typing import Any

import pytest

from infra.local.metric_alarms import MetricAlarms

MINUTE = 60


class CloudWatch:
    """The parts of ministack's module that the evaluation uses."""

    def __init__(self) -> None:
        self._metrics: dict[tuple[str, str, Any], list[dict[str, float]]] = {}
        self.states: list[str] = []
        self._evaluate_parent_alarms = self._dispatch_alarm_actions = lambda *_: None

    def put(self, value: float, *, minutes_ago: float, function: str = "push") -> None:
        key = ("AWS/Lambda", "Errors", (("FunctionName", function),))
        self._metrics.setdefault(key, []).append({"Value": value, "Timestamp": time.time() - minutes_ago * MINUTE})

    def _dims_key(self, dimensions: dict[str, str]) -> object:
        return tuple(sorted(dimensions.items()))

    def _calc_stats(self, points: list[dict[str, float]]) -> float:
        return sum(point["Value"] for point in points)

    def _stat_value(self, stats: float, statistic: str, _: object) -> float:
        assert statistic == "Sum"
        return stats

    def _record_history(self, _name: str, _before: str, state: str, _reason: str) -> None:
        self.states.append(state)


@pytest.fixture
def cloudwatch() -> CloudWatch:
    return CloudWatch()


def state(cloudwatch: CloudWatch, **changes: object) -> str:
    alarm: dict[str, Any] = {
        "AlarmName": "errors",
        "Namespace": "AWS/Lambda",
        "MetricName": "Errors",
        "Dimensions": [{"Name": "FunctionName", "Value": "push"}],
        "Statistic": "Sum",
        "Period": MINUTE,
        "EvaluationPeriods": 2,
        "Threshold": 0,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
        "StateValue": "INSUFFICIENT_DATA",
        **changes,
    }
    MetricAlarms(cloudwatch).evaluate(alarm)
    return str(alarm["StateValue"])


def test_every_period_must_breach(cloudwatch: CloudWatch) -> None:
    cloudwatch.put(4, minutes_ago=0.5)
    assert state(cloudwatch) == "OK"
    cloudwatch.put(4, minutes_ago=1.5)
    assert state(cloudwatch) == "ALARM"
    assert state(cloudwatch, EvaluationPeriods=3) == "OK"


def test_other_dimensions_do_not_count(cloudwatch: CloudWatch) -> None:
    for minutes_ago in (0.5, 1.5):
        cloudwatch.put(0, minutes_ago=minutes_ago)
        cloudwatch.put(4, minutes_ago=minutes_ago, function="api")
    assert state(cloudwatch) == "OK"


@pytest.mark.parametrize(
    ("missing", "expected"), [("breaching", "ALARM"), ("notBreaching", "OK"), ("ignore", "INSUFFICIENT_DATA")]
)
def test_missing_period_is_treated_as_the_alarm_says(cloudwatch: CloudWatch, missing: str, expected: str) -> None:
    cloudwatch.put(4, minutes_ago=0.5)
    assert state(cloudwatch, TreatMissingData=missing) == expected


def test_metric_without_values_keeps_the_state(cloudwatch: CloudWatch) -> None:
    assert state(cloudwatch, TreatMissingData="breaching") == "INSUFFICIENT_DATA"
    assert cloudwatch.states == []


@pytest.mark.parametrize(
    ("comparison", "expected"),
    [
        ("GreaterThanThreshold", "OK"),
        ("GreaterThanOrEqualToThreshold", "ALARM"),
        ("LessThanThreshold", "OK"),
        ("LessThanOrEqualToThreshold", "ALARM"),
    ],
)
def test_threshold_itself_breaches_only_if_named(cloudwatch: CloudWatch, comparison: str, expected: str) -> None:
    cloudwatch.put(5, minutes_ago=0.5)
    assert state(cloudwatch, EvaluationPeriods=1, Threshold=5, ComparisonOperator=comparison) == expected

"""Alarms of the embedded AWS: only an alarm's own metric sets it, and only in each of its periods."""

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import boto3
import pytest

from infra.local.run import LocalRun

PERIOD = timedelta(minutes=5)


class Metric:
    """A metric of one dimension, with an alarm of two periods."""

    def __init__(self, namespace: str) -> None:
        self._cloudwatch = boto3.client("cloudwatch")
        self._namespace = namespace

    def watch(self, function: str, missing: str = "notBreaching") -> None:
        self._cloudwatch.put_metric_alarm(
            AlarmName=f"{self._namespace}-{function}",
            Namespace=self._namespace,
            MetricName="Errors",
            Dimensions=[{"Name": "FunctionName", "Value": function}],
            Statistic="Sum",
            Period=int(PERIOD.total_seconds()),
            EvaluationPeriods=2,
            Threshold=0,
            ComparisonOperator="GreaterThanThreshold",
            TreatMissingData=missing,
        )

    def put(self, function: str, value: float, *, ago: timedelta = timedelta(0)) -> None:
        dimensions = [{"Name": "FunctionName", "Value": function}]
        data = {
            "MetricName": "Errors",
            "Dimensions": dimensions,
            "Value": value,
            "Timestamp": datetime.now(UTC) - ago,
        }
        self._cloudwatch.put_metric_data(Namespace=self._namespace, MetricData=[data])

    def state(self, function: str) -> str:
        names = [f"{self._namespace}-{function}"]
        (alarm,) = self._cloudwatch.describe_alarms(AlarmNames=names)["MetricAlarms"]
        return str(alarm["StateValue"])

    def forget(self, *functions: str) -> None:
        self._cloudwatch.delete_alarms(AlarmNames=[f"{self._namespace}-{function}" for function in functions])


@pytest.fixture
def metric(stack: LocalRun) -> Iterator[Metric]:
    assert stack
    made = Metric(f"test-{secrets.token_hex(4)}")
    made.watch("push")
    made.watch("api")
    made.watch("check", missing="ignore")
    yield made
    made.forget("push", "api", "check")


def test_alarm_is_set_by_its_own_dimension_in_every_period(metric: Metric) -> None:
    metric.put("api", 0)
    metric.put("push", 4)
    assert metric.state("push") == "OK"
    metric.put("push", 4, ago=PERIOD)
    assert metric.state("push") == "ALARM"
    assert metric.state("api") == "OK"


def test_missing_period_is_healthy_or_keeps_the_state(metric: Metric) -> None:
    metric.put("push", 4, ago=PERIOD)
    metric.put("check", 4, ago=PERIOD)
    assert metric.state("push") == "OK"
    assert metric.state("check") == "INSUFFICIENT_DATA"

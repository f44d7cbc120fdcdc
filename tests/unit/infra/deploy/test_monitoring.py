"""Tests of the alarms and the dashboard: every metric exists, and every alarm links to its runbook section."""

import json
import re
from dataclasses import replace
from itertools import pairwise
from typing import Any

from app import app
from chalicelib.apns.reasons import OutcomeKind
from infra.deploy import monitoring
from infra.deploy.resources import resources
from infra.local.processes import PROJECT
from tests.support.watched_metrics import levels, watched

AWS_METRICS = {
    ("AWS/ApiGateway", frozenset({"ApiName", "Stage"})): {"4XXError", "5XXError", "Count", "Latency"},
    ("AWS/DynamoDB", frozenset({"TableName"})): {
        "ConsumedReadCapacityUnits",
        "ConsumedWriteCapacityUnits",
        "ReadThrottleEvents",
        "WriteThrottleEvents",
    },
    ("AWS/Lambda", frozenset({"FunctionName"})): {
        "Duration",
        "Errors",
        "Invocations",
        "IteratorAge",
        "RecursiveInvocationsDropped",
        "Throttles",
    },
    ("AWS/SQS", frozenset({"QueueName"})): {"ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesVisible"},
}
"""AWS's metrics that alarms and dashboard use: the pages "... metrics and dimensions" of each service."""


def test_dashboard_searches_the_stages_own_levels() -> None:
    (holders,) = levels()
    assert holders == ("Holders", frozenset({"Stage", "PassType", "Template"}))
    body, variables = resources()["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    (stage,) = [name for name, value in variables.items() if value == {"Ref": "Stage"}]
    lines = (line for widget in json.loads(body)["widgets"] for line in widget["properties"]["metrics"])
    expressions = [line[0]["expression"] for line in lines if len(line) == 1]
    schema = "{Passwire,Stage,PassType,Template}"
    search = f"""SEARCH('{schema} MetricName="Holders" Stage="${{{stage}}}"', 'Maximum')"""
    assert expressions == [f"FILL({search}, REPEAT)"]


def alarms() -> dict[str, dict[str, Any]]:
    found = {name: resource for name, resource in resources()["Resources"].items() if resource.get("Type")}
    return {n: r["Properties"] for n, r in found.items() if r["Type"] == "AWS::CloudWatch::Alarm"}


def test_every_aws_metric_exists() -> None:
    for metric in watched():
        if metric.namespace != "Passwire":
            assert metric.name in AWS_METRICS[metric.namespace, frozenset(metric.dimensions)], metric


def test_every_dimension_value_is_written_by_the_code() -> None:
    views = {route.view_name for methods in app.routes.values() for route in methods.values()}
    allowed = {"Call": views, "Outcome": {kind.value for kind in OutcomeKind}}
    for metric in watched():
        for name, value in metric.dimensions.items():
            if metric.namespace == "Passwire" and name != "Stage":
                assert value in allowed[name], metric


def test_every_alarm_notifies_the_topic_and_links_to_its_runbook_section() -> None:
    runbook = (PROJECT / "docs" / "operations" / "runbook.md").read_text()
    sections = dict(re.findall(r"^## (\w+)\n\n(.+?)(?=\n## |\Z)", runbook, re.MULTILINE | re.DOTALL))
    assert resources()["Parameters"]["RunbookUrl"]["Default"].endswith("/docs/operations/runbook.md")
    for name, alarm in alarms().items():
        heading = name.removesuffix("Alarm")
        assert alarm["AlarmActions"] == [{"Ref": "AlarmTopic"}], name
        assert alarm["AlarmDescription"]["Fn::Sub"].endswith(f"Runbook: ${{RunbookUrl}}#{heading.lower()}"), name
        assert len(sections[heading]) > 80, name


def test_every_function_has_alarms() -> None:
    configured = json.loads((PROJECT / ".chalice" / "config.json").read_text())["lambda_functions"]
    assert {name.removesuffix("_handler").title().replace("_", "") for name in configured} == set(monitoring.FUNCTIONS)


def test_every_alarm_is_a_resource_with_one_statistic() -> None:
    for alarm in monitoring.ALARMS:
        properties = alarm.resource()["Properties"]
        assert len({"Statistic", "ExtendedStatistic"} & properties.keys()) == 1, alarm.name
        assert ("ExtendedStatistic" in properties) == bool(re.fullmatch(r"p\d+", alarm.metric.statistic)), alarm.name
        assert properties["Threshold"] == alarm.threshold, alarm.name
        assert properties["Dimensions"] == [{"Name": n, "Value": v} for n, v in alarm.metric.dimensions.items()]


def test_alarm_is_late_by_its_periods_and_missing_data_is_healthy() -> None:
    (alarm,) = (alarm for alarm in monitoring.ALARMS if alarm.name == "StreamAge")
    properties = replace(alarm, periods=7).resource()["Properties"]
    assert (properties["EvaluationPeriods"], properties["Period"]) == (7, 60)
    assert properties["TreatMissingData"] == "notBreaching"


def test_widgets_of_a_row_share_its_width() -> None:
    body, variables = resources()["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    widgets = json.loads(body)["widgets"]
    assert len(widgets) == sum(map(len, monitoring.DASHBOARD))
    for row in {widget["y"] for widget in widgets}:
        spans = sorted((w["x"], w["x"] + w["width"]) for w in widgets if w["y"] == row)
        assert spans[0][0] == 0
        assert spans[-1][1] <= monitoring.WIDTH
        assert all(end == begin for (_, end), (begin, _) in pairwise(spans))
    assert set(re.findall(r"\$\{(\w+)\}", body)) == set(variables), "every expression has its variable"

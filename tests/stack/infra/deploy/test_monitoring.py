"""Alarms and dashboard: every metric is written, and every alarm links to its runbook section."""

import json
import re
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from app import app
from chalicelib.apns.reasons import OutcomeKind
from infra.deploy import monitoring
from infra.deploy.resources import resources
from infra.local.phone import Phone
from infra.local.processes import PROJECT
from infra.local.run import LocalRun
from tests.conftest import Issuer, Pipeline
from tests.support.eventually import Apns, eventually
from tests.support.first_events import EVERY_DAY

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

Written = set[tuple[str, frozenset[str]]]


def watched() -> Iterator[monitoring.Metric]:
    """Every metric of an alarm or of the dashboard."""
    yield from (alarm.metric for alarm in monitoring.ALARMS)
    for shown in (shown for row in monitoring.DASHBOARD for graph in row for shown in graph.metrics):
        if isinstance(shown, monitoring.Metric):
            yield shown


def levels() -> Written:
    """Every metric that the dashboard searches, with its dimensions."""
    found = (shown for row in monitoring.DASHBOARD for graph in row for shown in graph.metrics)
    return {(m.name, frozenset({"Stage", *m.dimensions})) for m in found if isinstance(m, monitoring.Levels)}


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


def test_every_custom_metric_is_written_by_the_functions(
    stack: LocalRun, pipeline: Pipeline, issuer: Issuer, phone: Phone, apns: Apns, serial_number: str
) -> None:
    """The whole update loop runs, and the functions' logs are read as CloudWatch would read them."""
    pass_id = pipeline.writes(serial_number, fields={"gate": "A1"})
    phone.adds(issuer.issues(pass_id).content)
    pipeline.writes(serial_number, fields={"gate": "B2"})
    eventually(lambda: apns.pushes_to(phone), "the push")
    assert phone.receives_push(pipeline.pass_type_identifier) == ["Gate changed to B2"]
    apns.answers(phone, status=503, reason="ServiceUnavailable")
    pipeline.writes(serial_number, fields={"gate": "B3"})
    eventually(lambda: ("DeferredAge", frozenset({"Stage"})) in written(stack), "that a push was put off")
    apns.is_well_again(phone)
    boto3.client("lambda").invoke(FunctionName=stack.functions["check_certificates"], Payload=json.dumps(EVERY_DAY))
    wanted = {(m.name, frozenset(m.dimensions)) for m in watched() if m.namespace == "Passwire"} | levels()
    eventually(lambda: wanted <= written(stack), f"that these are written: {wanted - written(stack)}")


def written(stack: LocalRun) -> Written:
    """Names and dimensions of all metrics in the functions' logs (AWS, "Embedded metric format specification")."""
    logs = boto3.client("logs")
    found: Written = set()
    for function in stack.functions.values():
        for page in logs.get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{function}"):
            for event in page["events"]:
                if '"_aws"' in event["message"]:
                    for directive in json.loads(event["message"])["_aws"]["CloudWatchMetrics"]:
                        found |= {
                            (m["Name"], frozenset(d)) for m in directive["Metrics"] for d in directive["Dimensions"]
                        }
    return found


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


@pytest.mark.usefixtures("stack")
def test_deployed_dashboard_names_the_stages_resources(stack: LocalRun) -> None:
    body = boto3.client("cloudwatch").get_dashboard(DashboardName=f"passwire-{stack.stage}")["DashboardBody"]
    widgets = json.loads(body)["widgets"]
    assert "${" not in body
    assert len(widgets) == sum(len(row) for row in monitoring.DASHBOARD)
    names = {part for widget in widgets for line in widget["properties"]["metrics"] for part in line[:-1]}
    assert {stack.functions["push"], stack.tables["passes"], f"passwire-{stack.stage}", stack.stage} <= names
    for left in widgets:
        for right in widgets:
            assert left is right or not overlap(left, right)


def overlap(left: dict[str, int], right: dict[str, int]) -> bool:
    return abs(left["x"] - right["x"]) < left["width"] and abs(left["y"] - right["y"]) < left["height"]

"""Alarms and dashboard: every metric is written by the functions, and every graph names the stage's resources."""

import json

import boto3
import pytest

from infra.deploy import monitoring
from infra.local.phone import Phone
from infra.local.run import LocalRun
from tests.conftest import Issuer, Pipeline
from tests.support.eventually import Apns, eventually
from tests.support.first_events import EVERY_DAY
from tests.support.watched_metrics import Written, levels, watched


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
    eventually(lambda: ("DeferredAge", frozenset({"Stage"})) in written(stack), "that a push was deferred")
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

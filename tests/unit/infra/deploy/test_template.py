"""The template before it is sent: resolved names, code, and the part that takes over existing tables."""

import copy
import json
from typing import Any

from infra.deploy.resources import resources
from infra.deploy.template import (
    StageLocation,
    encoded,
    retained_names,
    retained_only,
    with_code,
    with_retained_names,
)

LOCATION = StageLocation(stage="dev", account="123456789012", region="eu-central-1")
FUNCTION: dict[str, Any] = {"Type": "AWS::Serverless::Function", "Properties": {"CodeUri": "./functions.zip"}}


def test_names_of_tables_and_bucket_are_resolved_for_the_location() -> None:
    names = retained_names(resources(), LOCATION)
    assert names["AWS::S3::Bucket"] == ["passwire-dev-123456789012-eu-central-1"]
    assert "passwire-dev-passes" in names["AWS::DynamoDB::Table"]
    written = with_retained_names(resources(), LOCATION)["Resources"]
    assert written["PassesTable"]["Properties"]["TableName"] == "passwire-dev-passes"
    assert "${" not in json.dumps([written["PassesTable"], written["TemplatesBucket"]])


def test_code_location_is_set_for_functions_only() -> None:
    template = {"Resources": {"Push": FUNCTION, "Queue": {"Type": "AWS::SQS::Queue"}}}
    before = copy.deepcopy(template)
    located = with_code(template, bucket="b", key="k")
    assert located["Resources"]["Push"]["Properties"]["CodeUri"] == {"Bucket": "b", "Key": "k"}
    assert located["Resources"]["Queue"] == {"Type": "AWS::SQS::Queue"}
    assert template == before


def test_template_for_taking_over_tables_needs_no_parameters() -> None:
    template = with_retained_names(resources(), LOCATION)
    only = retained_only(template, {"PassesTable", "DevicesTable"})
    assert set(only["Resources"]) == {"PassesTable", "DevicesTable"}
    assert '"Ref"' not in encoded(only).decode()
    assert "SSESpecification" in template["Resources"]["PassesTable"]["Properties"]

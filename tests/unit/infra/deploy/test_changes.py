"""Tests of changes of a stack's resources: which ones lose data, and how they are shown."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.deploy.changes import (
    ADDRESS_TYPES,
    PERMANENT_TYPES,
    RETAINED_TYPES,
    ResourceChange,
    ResourceEvent,
    change_of,
    event_of,
)


@pytest.mark.parametrize(
    ("change", "refused", "asked"),
    [
        (("Remove", "AWS::ApiGateway::RestApi", "False"), True, False),
        (("Modify", "AWS::ApiGateway::RestApi", "True"), True, False),
        (("Modify", "AWS::ApiGateway::RestApi", "False"), False, False),
        (("Add", "AWS::ApiGateway::RestApi", "False"), False, False),
        (("Remove", "AWS::DynamoDB::Table", "False"), True, False),
        (("Modify", "AWS::DynamoDB::Table", "Conditional"), True, False),
        (("Remove", "AWS::ApiGateway::DomainName", "False"), False, True),
        (("Modify", "AWS::ApiGateway::DomainName", "True"), False, True),
        (("Remove", "AWS::SQS::Queue", "False"), False, False),
    ],
)
def test_deleting_or_replacing_the_api_is_refused_like_a_table(
    change: tuple[str, str, str], *, refused: bool, asked: bool
) -> None:
    action, kind, replacement = change
    found = ResourceChange(action, "It", kind, replacement, ())
    assert (found.loses_data, found.loses_address) == (refused, asked)


TYPES = st.sampled_from((*PERMANENT_TYPES, *ADDRESS_TYPES, "AWS::SQS::Queue", "AWS::Lambda::Function"))


@given(
    kind=TYPES,
    action=st.sampled_from(("Add", "Modify", "Remove", "Import")),
    replacement=st.sampled_from(("True", "False", "Conditional")),
)
def test_only_permanent_resources_are_protected(kind: str, action: str, replacement: str) -> None:
    change = ResourceChange(action, "It", kind, replacement, ())
    assert not (change.loses_data and change.loses_address)
    assert change.loses_data <= (kind in PERMANENT_TYPES)
    if kind in RETAINED_TYPES and replacement == "Conditional":
        assert change.loses_data, "a table that may be replaced may lose its rows"
    if action == "Remove":
        assert (change.loses_data or change.loses_address) == (kind in (*PERMANENT_TYPES, *ADDRESS_TYPES))


RAW: dict[str, Any] = {
    "Action": "Modify",
    "LogicalResourceId": "PassesTable",
    "ResourceType": "AWS::DynamoDB::Table",
    "Replacement": "True",
    "Details": [
        {"Target": {"Attribute": "Properties", "Name": "TableName"}},
        {"Target": {"Attribute": "Tags"}},
        {"Target": {"Attribute": "Properties", "Name": "TableName"}},
        {},
    ],
}


def test_change_names_its_properties_once_and_that_it_replaces() -> None:
    assert str(change_of(RAW)) == "Modify   PassesTable (AWS::DynamoDB::Table) REPLACED: TableName, Tags"


def test_change_that_may_replace_a_table_says_so() -> None:
    assert str(change_of({**RAW, "Replacement": "Conditional", "Details": []})).endswith(" MAY BE LOST")


def test_change_without_replacement_and_details_is_shown_without_them() -> None:
    added = {"Action": "Add", "LogicalResourceId": "Push", "ResourceType": "AWS::Lambda::Function"}
    assert str(change_of(added)) == "Add      Push (AWS::Lambda::Function)"


@pytest.mark.parametrize(
    ("status", "reason", "failed"),
    [
        ("CREATE_FAILED", "Access denied", True),
        ("UPDATE_FAILED", "Resource update cancelled", False),
        ("CREATE_FAILED", "Resource creation canceled", False),
        ("CREATE_COMPLETE", "", False),
        ("ROLLBACK_IN_PROGRESS", "The following resource(s) failed to create", False),
    ],
)
def test_cancelled_resource_is_not_the_one_that_failed(status: str, reason: str, *, failed: bool) -> None:
    assert ResourceEvent("Push", "AWS::Lambda::Function", status, reason).failed is failed


def test_event_shows_its_reason_or_its_status() -> None:
    raw = {"LogicalResourceId": "Push", "ResourceType": "AWS::Lambda::Function", "ResourceStatus": "CREATE_COMPLETE"}
    assert str(event_of(raw)) == "Push (AWS::Lambda::Function): CREATE_COMPLETE"
    assert str(event_of({**raw, "ResourceStatusReason": "no"})) == "Push (AWS::Lambda::Function): no"

"""Tests of change sets that CloudFormation refuses, in its words, and of stacks that they leave."""

import time
from datetime import UTC, datetime

import pytest

from infra.deploy.change_sets import CloudStack
from infra.deploy.errors import DeployError
from tests.support.cloud import CHANGE_SET, NO_EVENTS, Cloud, stack

REASON = (
    "The following hook(s)/validation failed: [AWS::EarlyValidation::ResourceExistenceCheck]. To troubleshoot Early "
    "Validation errors, use the DescribeEvents API for detailed failure information."
)


def test_refused_change_set_names_the_resource_and_the_reason(cloud: Cloud) -> None:
    """The status reports only that a check failed; DescribeEvents with the change set's ARN has the resource."""
    cloud.says("CreateChangeSet", f"<R><CreateChangeSetResult><Id>{CHANGE_SET}</Id></CreateChangeSetResult></R>")
    cloud.says(
        "DescribeChangeSet",
        f"<R><DescribeChangeSetResult><Status>FAILED</Status><StatusReason>{REASON}</StatusReason></DescribeChangeSetResult></R>",
    )
    cloud.says(
        "DescribeEvents",
        "<R><DescribeEventsResult><OperationEvents><member><EventType>VALIDATION_ERROR</EventType>"
        "<LogicalResourceId>PushQueue</LogicalResourceId><ResourceType>AWS::SQS::Queue</ResourceType>"
        "<ValidationName>NAME_CONFLICT_VALIDATION</ValidationName><ValidationStatusReason>Resource of type "
        "'AWS::SQS::Queue' with identifier 'passwire-dev-push' already exists.</ValidationStatusReason></member>"
        "</OperationEvents></DescribeEventsResult></R>",
    )
    cloud.says("ListChangeSets", "<R><ListChangeSetsResult><Summaries/></ListChangeSetsResult></R>")
    sentence = r"PushQueue \(AWS::SQS::Queue\): Resource of type .* 'passwire-dev-push' already exists"
    with (
        pytest.raises(DeployError, match=sentence),
        CloudStack("passwire-dev", stage="dev").change_set({"TemplateBody": "{}"}),
    ):
        pytest.fail("it was refused")
    created = next(request.form for request in cloud.asked if request.operation == "CreateChangeSet")
    assert (created["ChangeSetType"], created["ImportExistingResources"]) == ("CREATE", "true")
    asked = next(request.form for request in cloud.asked if request.operation == "DescribeEvents")
    assert asked["ChangeSetName"] == CHANGE_SET
    assert "DeleteChangeSet" in cloud.actions(), "nothing of it is left"


def test_stack_with_a_rolled_back_import_never_ran(cloud: Cloud) -> None:
    cloud.says("DescribeStacks", stack(status="IMPORT_ROLLBACK_COMPLETE"))
    assert CloudStack("passwire-dev", stage="dev").never_ran
    cloud.says("DescribeStacks", stack(status="IMPORT_ROLLBACK_COMPLETE", outputs={"ApiUrl": "https://x"}))
    assert not CloudStack("passwire-dev", stage="dev").never_ran, "it runs, and can be updated"


@pytest.mark.parametrize("days", [0, 3])
def test_deletion_time_of_the_last_stack_is_found(cloud: Cloud, days: int) -> None:
    deleted = datetime(2026, 11, 25 - days, 12, tzinfo=UTC)
    cloud.says(
        "ListStacks",
        "<R><ListStacksResult><StackSummaries><member><StackName>passwire-other</StackName><StackStatus>DELETE_COMPLETE"
        "</StackStatus><CreationTime>2026-11-01T00:00:00Z</CreationTime><DeletionTime>2026-11-26T00:00:00Z</DeletionTime>"
        f"</member><member><StackName>passwire-dev</StackName><StackStatus>DELETE_COMPLETE</StackStatus><CreationTime>"
        f"2026-11-01T00:00:00Z</CreationTime><DeletionTime>{deleted.isoformat()}</DeletionTime></member>"
        "</StackSummaries></ListStacksResult></R>",
    )
    assert CloudStack("passwire-dev", stage="dev").deleted_at() == deleted.timestamp()
    assert CloudStack("passwire-none", stage="none").deleted_at() is None


def test_recently_deleted_queue_name_says_how_long_to_wait(cloud: Cloud) -> None:
    arn = "arn:aws:cloudformation:eu-central-1:123456789012:stack/passwire-dev/1"
    event = (
        "<member><StackId>{arn}</StackId><EventId>{id}</EventId><StackName>passwire-dev</StackName><LogicalResourceId>PushQueue"
        "</LogicalResourceId><ResourceType>AWS::SQS::Queue</ResourceType><Timestamp>2026-11-25T00:00:00Z</Timestamp>"
        "<ResourceStatus>CREATE_FAILED</ResourceStatus><ResourceStatusReason>You must wait 60 seconds after deleting a "
        "queue before you can create another with the same name.</ResourceStatusReason></member>"
    )
    cloud.says("DescribeStacks", stack(status="CREATE_IN_PROGRESS"))
    named = CloudStack("passwire-dev", stage="dev")
    cloud.says("CreateChangeSet", f"<R><CreateChangeSetResult><Id>{CHANGE_SET}</Id></CreateChangeSetResult></R>")
    cloud.says(
        "DescribeChangeSet",
        "<R><DescribeChangeSetResult><Status>CREATE_COMPLETE</Status></DescribeChangeSetResult></R>",
    )
    cloud.says("DescribeStackEvents", NO_EVENTS)

    def rolls_back() -> None:
        cloud.says("DescribeStacks", stack(status="ROLLBACK_COMPLETE"))
        found = event.format(arn=arn, id=time.monotonic_ns())
        cloud.says(
            "DescribeStackEvents",
            f"<R><DescribeStackEventsResult><StackEvents>{found}</StackEvents></DescribeStackEventsResult></R>",
        )

    cloud.afterwards["ExecuteChangeSet"] = rolls_back
    rolled_back = pytest.raises(DeployError, match="wait a minute, then run the command again")
    with named.change_set({"TemplateBody": "{}"}) as change_set, rolled_back:
        named.execute(change_set, on_event=lambda _: None)

"""Refusals by CloudFormation and other services, in AWS's words, each explained in one sentence."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.deploy.account import check_concurrency, check_push_rate, check_region
from infra.deploy.change_sets import CloudStack, ResourceChange, Unattended
from infra.deploy.deployer import Deployer
from infra.deploy.errors import DeployError
from infra.stage.aws import explain
from infra.stage.errors import StageError
from infra.stage.secrets import check_authentication_keys, ensure_authentication_keys
from tests.support.aws_stand_in import Answer, Request, aws_stand_in

MISSING = (
    "<ErrorResponse><Error><Code>ValidationError</Code><Message>Stack with id passwire-dev does not exist</Message>"
    "</Error></ErrorResponse>"
)
STACK = """<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>passwire-dev</StackName>
<StackId>arn:aws:cloudformation:eu-central-1:123456789012:stack/passwire-dev/1</StackId>
<StackStatus>{status}</StackStatus><CreationTime>2026-11-25T00:00:00Z</CreationTime>
<Parameters>{parameters}</Parameters><Outputs>{outputs}</Outputs></member></Stacks></DescribeStacksResult></DescribeStacksResponse>"""
NO_EVENTS = "<R><DescribeStackEventsResult><StackEvents/></DescribeStackEventsResult></R>"
CHANGE_SET = "arn:aws:cloudformation:eu-central-1:123456789012:changeSet/passwire-1/2"
REASON = (
    "The following hook(s)/validation failed: [AWS::EarlyValidation::ResourceExistenceCheck]. To troubleshoot Early "
    "Validation errors, use the DescribeEvents API for detailed failure information."
)


class Cloud:
    """Services that answer by action, and what they were asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[Request] = []
        self.afterwards: dict[str, Callable[[], None]] = {}

    def says(self, action: str, body: str, *, status: int = 200) -> None:
        self.answers[action] = Answer(body, status)

    def actions(self) -> list[str]:
        return [request.operation for request in self.asked]

    def answer(self, request: Request) -> Answer:
        self.asked.append(request)
        action = request.operation
        if then := self.afterwards.pop(action, None):
            then()
        return self.answers.get(action, Answer(f"<{action}Response><{action}Result/></{action}Response>"))


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    service = Cloud()
    service.says("DescribeStacks", MISSING, status=400)
    service.says(
        "GetCallerIdentity", "<R><GetCallerIdentityResult><Account>123456789012</Account></GetCallerIdentityResult></R>"
    )

    with aws_stand_in(service.answer):
        yield service


def stack(*, status: str, parameters: Mapping[str, str] = {}, outputs: Mapping[str, str] = {}) -> str:
    def members(values: Mapping[str, str], kind: str) -> str:
        return "".join(
            f"<member><{kind}Key>{k}</{kind}Key><{kind}Value>{v}</{kind}Value></member>" for k, v in values.items()
        )

    return STACK.format(status=status, parameters=members(parameters, "Parameter"), outputs=members(outputs, "Output"))


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


def test_rolled_back_import_is_removed_and_the_same_command_continues(cloud: Cloud) -> None:
    """CloudFormation can only delete such a stack; declined, nothing is changed."""
    cloud.says("DescribeStacks", stack(status="IMPORT_ROLLBACK_COMPLETE"))
    cloud.says("DescribeStackEvents", NO_EVENTS)
    template: dict[str, Any] = {"Parameters": {}, "Resources": {}}

    class Declines(Unattended):
        def allows(self, _question: str, /) -> bool:
            return False

    deployer = Deployer("dev", on_progress=lambda _: None)
    sentence = r"passwire-dev is in IMPORT_ROLLBACK_COMPLETE, .*; run: passwire destroy --stage dev"
    with pytest.raises(DeployError, match=sentence):
        deployer.change(template, parameters={}, dialogue=Declines())
    assert not {"DeleteStack", "CreateChangeSet"} & set(cloud.actions())

    cloud.afterwards["DeleteStack"] = lambda: cloud.says("DescribeStacks", stack(status="DELETE_COMPLETE"))
    cloud.says("CreateChangeSet", f"<R><CreateChangeSetResult><Id>{CHANGE_SET}</Id></CreateChangeSetResult></R>")
    cloud.says(
        "DescribeChangeSet",
        "<R><DescribeChangeSetResult><Status>FAILED</Status><StatusReason>The submitted information didn't contain "
        "changes</StatusReason></DescribeChangeSetResult></R>",
    )
    cloud.says("ListStacks", "<R><ListStacksResult><StackSummaries/></ListStacksResult></R>")
    cloud.says("ListChangeSets", "<R><ListChangeSetsResult><Summaries/></ListChangeSetsResult></R>")
    deployer.change(template, parameters={}, dialogue=Unattended())
    actions = cloud.actions()
    assert actions.index("DeleteStack") < actions.index("CreateChangeSet")


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


def limits(*, total: int, unreserved: int) -> str:
    return json.dumps(
        {
            "AccountLimit": {"ConcurrentExecutions": total, "UnreservedConcurrentExecutions": unreserved},
            "AccountUsage": {},
        }
    )


@pytest.mark.parametrize(
    ("total", "unreserved", "push", "fits"),
    [(10, 10, 0, True), (10, 10, 1, False), (1000, 1000, 40, True), (1000, 120, 40, False), (1000, 1000, 901, False)],
)
def test_concurrency_beyond_the_accounts_limit_is_refused(
    cloud: Cloud, total: int, unreserved: int, push: int, *, fits: bool
) -> None:
    cloud.says("/2016-08-19/account-settings", limits(total=total, unreserved=unreserved))
    refusal = pytest.raises(DeployError, match=f"the account's concurrency limit is {total}")
    with contextlib.nullcontext() if fits else refusal:
        check_concurrency({"PushReservedConcurrency": str(push)})


def test_throttle_limits_beyond_the_accounts_concurrency_are_warned_about(cloud: Cloud) -> None:
    cloud.says("/2016-08-19/account-settings", limits(total=10, unreserved=10))
    said: list[str] = []
    check_concurrency({}, on_progress=said.append)
    assert "below the 836 of 800 calls" in said[0]
    assert "pushes would wait, unless you reserve" in said[0]
    cloud.says("/2016-08-19/account-settings", limits(total=1000, unreserved=1000))
    check_concurrency({}, on_progress=said.append)
    assert len(said) == 1, "with the default limits, phones leave the executions that push need"
    check_concurrency({"ThrottleBurst": "665"}, on_progress=said.append)
    assert "--set PushReservedConcurrency=16 --set PushWorkerReservedConcurrency=20" in said[1]
    reserved = {"PushReservedConcurrency": "16", "PushWorkerReservedConcurrency": "20"}
    check_concurrency({"ThrottleBurst": "5000", **reserved}, on_progress=said.append)
    assert "pushes would wait" not in said[2]
    check_concurrency({"ThrottleBurst": "500", **reserved}, on_progress=said.append)
    assert len(said) == 3


@pytest.mark.parametrize(("throttle_rate", "push_rate"), [("3000", "1"), ("3000", "1500"), ("3000", ""), ("2", "")])
def test_push_rate_that_the_gateway_can_serve_is_accepted(throttle_rate: str, push_rate: str) -> None:
    check_push_rate({"ThrottleRate": throttle_rate, "PushRateLimit": push_rate})


@pytest.mark.parametrize(
    ("throttle_rate", "push_rate", "arithmetic"),
    [
        ("3000", "1501", "so that is 3002 requests per second, but ThrottleRate lets 3000 through; .* 1 to 1500"),
        ("500", "1000", "so that is 2000 requests per second, but ThrottleRate lets 500 through; .* 1 to 250"),
        ("3000", "0", "of which ThrottleRate lets 3000 through; .* 1 to 1500"),
        ("3000", "-5", "not a whole number of at least 1; .* 1 to 1500"),
        ("3000", "1.5", "not a whole number of at least 1; .* 1 to 1500"),
        ("3000", "²", "not a whole number of at least 1; .* 1 to 1500"),
        ("1", "", "but ThrottleRate lets only 1 per second through; set ThrottleRate to at least 2"),
    ],
)
def test_push_rate_beyond_the_gateway_is_refused(throttle_rate: str, push_rate: str, arithmetic: str) -> None:
    """The refusal shows the arithmetic: each notified phone sends two requests."""
    with pytest.raises(DeployError, match=rf"PushRateLimit {push_rate}.*{arithmetic}") as refused:
        check_push_rate({"ThrottleRate": throttle_rate, "PushRateLimit": push_rate})
    assert "each notified phone sends 2 requests" in str(refused.value)


def test_concurrency_that_the_stage_already_reserves_is_not_counted_again(cloud: Cloud) -> None:
    cloud.says("/2016-08-19/account-settings", limits(total=1000, unreserved=100))
    check_concurrency({"PushReservedConcurrency": "40"}, reserved_now=40)
    with pytest.raises(DeployError):
        check_concurrency({"PushReservedConcurrency": "41"}, reserved_now=40)


def test_region_without_a_service_is_refused_before_packaging(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """This region has no API Gateway, by botocore's list of endpoints."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-isob-west-1")
    with pytest.raises(DeployError, match=r"region us-isob-west-1 has no apigateway, .*; use another region"):
        Deployer("dev", on_progress=lambda _: None).deploy(pytest.fail, parameters={}, dialogue=Unattended())
    assert set(cloud.actions()) == {"DescribeStacks", "GetCallerIdentity"}


def test_region_with_all_services_or_unknown_is_accepted() -> None:
    check_region("eu-central-1")
    check_region("cn-north-1")
    check_region("xx-newer-1")  # botocore does not know it yet


def test_domain_without_certificate_is_refused_before_packaging(cloud: Cloud) -> None:
    with pytest.raises(DeployError, match="requires CertificateArn"):
        Deployer("dev", on_progress=lambda _: None).deploy(
            pytest.fail, parameters={"DomainName": "passes.example.com"}, dialogue=Unattended()
        )
    assert set(cloud.actions()) == {"DescribeStacks"}


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


def test_changed_url_needs_confirmation_if_devices_are_registered(cloud: Cloud) -> None:
    """The question has their number, and no option answers it."""
    outputs = {"WebServiceUrl": "https://old.example.com", "DevicesTableName": "passwire-dev-devices"}
    cloud.says(
        "DescribeStacks",
        stack(status="UPDATE_COMPLETE", parameters={"WebServiceUrl": "https://old.example.com"}, outputs=outputs),
    )
    cloud.says("DescribeTable", json.dumps({"Table": {"ItemCount": 1204}}))
    cloud.says("CreateChangeSet", f"<R><CreateChangeSetResult><Id>{CHANGE_SET}</Id></CreateChangeSetResult></R>")
    cloud.says(
        "DescribeChangeSet",
        "<R><DescribeChangeSetResult><Status>CREATE_COMPLETE</Status></DescribeChangeSetResult></R>",
    )

    class Declines(Unattended):
        asked = ""

        def confirms(self, question: str, /) -> bool:
            self.asked = question
            return False

    dialogue = Declines()
    template: dict[str, Any] = {"Parameters": {"WebServiceUrl": {}}, "Resources": {}}
    with pytest.raises(DeployError, match="declined; nothing was changed"):
        Deployer("dev", on_progress=lambda _: None).change(
            template, parameters={"WebServiceUrl": "https://new.example.com"}, dialogue=dialogue
        )
    for part in ("Registered devices: 1204", "https://old.example.com", "https://new.example.com"):
        assert part in dialogue.asked
    assert "ExecuteChangeSet" not in cloud.actions()

    cloud.says("DescribeTable", json.dumps({"Table": {"ItemCount": 0}}))
    cloud.says("Scan", json.dumps({"Count": 0, "Items": []}))
    dialogue.asked = ""
    cloud.says("/account", json.dumps({"cloudwatchRoleArn": "arn:aws:iam::123456789012:role/logs"}))
    cloud.says("DescribeStackEvents", NO_EVENTS)
    cloud.says("ExecuteChangeSet", MISSING, status=400)  # far enough
    with pytest.raises(DeployError, match="another deployment"):
        Deployer("dev", on_progress=lambda _: None).change(
            template, parameters={"WebServiceUrl": "https://new.example.com"}, dialogue=dialogue
        )
    assert dialogue.asked == "", "no device has the old address"


SECRET = "passwire/dev/authentication-keys"
SCHEDULED = json.dumps({"__type": "InvalidRequestException", "Message": "already scheduled for deletion"})


def test_keys_in_their_recovery_window_are_not_replaced(cloud: Cloud) -> None:
    """New keys would invalidate every installed pass, so that this is checked before anything is deployed."""
    cloud.says("DescribeSecret", json.dumps({"Name": SECRET, "DeletedDate": 1_795_000_000}))
    cloud.says("CreateSecret", SCHEDULED, status=400)
    for look in (check_authentication_keys, ensure_authentication_keys):
        with pytest.raises(StageError, match=f"restore-secret --secret-id {SECRET}"):
            look("dev")
    cloud.says("DescribeSecret", json.dumps({"Name": SECRET}))
    check_authentication_keys("dev")


def test_creation_of_keys_waits_for_the_name_of_a_deleted_secret(cloud: Cloud) -> None:
    cloud.says("DescribeSecret", json.dumps({"__type": "ResourceNotFoundException"}), status=400)
    cloud.says("CreateSecret", SCHEDULED, status=400)
    said: list[str] = []

    def is_free_next_time() -> None:
        cloud.says("CreateSecret", json.dumps({"Name": SECRET}))

    cloud.afterwards["DescribeSecret"] = is_free_next_time
    waited: list[float] = []
    ensure_authentication_keys("dev", on_progress=said.append, sleep=waited.append)
    assert len(waited) == 1
    assert said == [f"waiting until the name of the deleted secret {SECRET} is free again"]
    assert cloud.actions().count("CreateSecret") == 2


def test_refused_head_request_names_the_iam_action(cloud: Cloud) -> None:
    """The response has no body, so that AWS does not name the action."""
    error = ClientError({"Error": {"Code": "403", "Message": "Forbidden"}}, "HeadBucket")
    assert cloud
    assert "s3:ListBucket" in explain(error)

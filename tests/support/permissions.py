"""Compares the IAM actions that the service uses with those that the functions' policies grant. A pytest plugin.

While a test calls an entry point of app.py in its own process (`acting_as`), every call that a client of botocore makes
is recorded for that function. At the end of a run one more result is reported, `POLICIES_ARE_SUFFICIENT`. It fails if a
function used an action that its policy does not grant. That holds for a part of the suite and under pytest-xdist, too;
a run that recorded nothing reports nothing. `tests/stack/infra/test_policies.py` also finds grants that are not used.

What Lambda itself does with a function's role cannot be recorded. `LAMBDAS_OWN` lists it, from AWS's documentation.
"""

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from threading import current_thread
from typing import Any

import botocore
import pytest
from botocore.session import Session

from chalicelib.container import CHANGE_THREADS

CHALICE = Path(__file__).parents[2] / ".chalice"
POLICIES_ARE_SUFFICIENT = "tests/support/permissions.py::policies_grant_everything_that_this_run_used"
TRANSACTED = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem", "ConditionCheck": "ConditionCheckItem"}
"""The action that each kind of member of TransactWriteItems needs (AWS, "IAM and DynamoDB transactions")."""
TABLE_ROLE = re.compile(r".*-(passes|versions|registrations|devices|counts)")
QUEUE_ROLES = {
    "push": "PushQueue",
    "dead-letter": "DeadLetterQueue",
    "dead": "DeadLetterQueue",
    "held-removals": "HeldRemovalsQueue",
    "held": "HeldRemovalsQueue",
    "event-failure": "EventFailureQueue",
}
LOGGING = {("logs:CreateLogStream", "its own log group"), ("logs:PutLogEvents", "its own log group")}
LAMBDAS_OWN: Mapping[str, set[tuple[str, str]]] = {
    "api_handler": LOGGING,
    "push": {
        *LOGGING,
        ("dynamodb:DescribeStream", "PassesTable stream"),
        ("dynamodb:GetRecords", "PassesTable stream"),
        ("dynamodb:GetShardIterator", "PassesTable stream"),
        ("dynamodb:ListStreams", "*"),
        ("sqs:SendMessage", "StreamFailureQueue"),
    },
    "push_worker": {
        *LOGGING,
        ("sqs:DeleteMessage", "PushQueue"),
        ("sqs:GetQueueAttributes", "PushQueue"),
        ("sqs:ReceiveMessage", "PushQueue"),
    },
    "publish_events": {
        *LOGGING,
        ("dynamodb:DescribeStream", "RegistrationsTable stream"),
        ("dynamodb:GetRecords", "RegistrationsTable stream"),
        ("dynamodb:GetShardIterator", "RegistrationsTable stream"),
        ("dynamodb:DescribeStream", "VersionsTable stream"),
        ("dynamodb:GetRecords", "VersionsTable stream"),
        ("dynamodb:GetShardIterator", "VersionsTable stream"),
        ("dynamodb:ListStreams", "*"),
        ("sqs:SendMessage", "EventFailureQueue"),
    },
    "check_certificates": LOGGING,
}
"""AWS, "Lambda execution role": AWSLambdaBasicExecutionRole, AWSLambdaDynamoDBExecutionRole and
AWSLambdaSQSQueueExecutionRole; and "Capturing discarded batches". The stack creates the log groups.
"""
WITHOUT_RESOURCE = {"dynamodb:ListStreams", "secretsmanager:ListSecrets"}
"""Actions for which IAM has no resource types (AWS, "Service Authorization Reference")."""

Use = tuple[str, str]
"""An action and its resource: a logical id of the stack, or the name that `granted` gives to a pattern of a policy."""
_function: ContextVar[str | None] = ContextVar("function", default=None)
_invoked: list[str] = []
"""The functions that are running, for the threads in which one settles changes: these have no context of their own."""


class Recorder:
    """Records the AWS calls of the service's functions.

    `uses` are the actions with their resources by function, `operations` the calls as (service, operation), and
    `updated` the attributes of the passes table that updates name, by function.
    """

    def __init__(self) -> None:
        self.uses: dict[str, set[Use]] = {}
        self.operations: set[tuple[str, str]] = set()
        self.updated: dict[str, set[str]] = {}

    def call(self, function: str, service: str, operation: str, params: Mapping[str, Any]) -> None:
        """Record a call that a function makes."""
        self.operations.add((service, operation))
        self.uses.setdefault(function, set()).update(used(service, operation, params))
        self.updated.setdefault(function, set()).update(updated_attributes(params))

    def missing_object(self, function: str) -> None:
        """Record that S3 answered NoSuchKey: without s3:ListBucket it would answer 403 (AWS, "GetObject")."""
        self.uses.setdefault(function, set()).add(("s3:ListBucket", "TemplatesBucket"))


_of_run = Recorder()
_recorders = [_of_run]


@contextlib.contextmanager
def acting_as(function: str) -> Iterator[None]:
    """Attribute the AWS calls inside to a function, for example "push_worker"."""
    token = _function.set(function)
    _invoked.append(function)
    try:
        yield
    finally:
        _invoked.remove(function)
        _function.reset(token)


@contextlib.contextmanager
def recording() -> Iterator[Recorder]:
    """Record the calls inside, beside what the run records."""
    recorder = Recorder()
    _recorders.append(recorder)
    try:
        yield recorder
    finally:
        _recorders.remove(recorder)


def _calling() -> str | None:
    """Return the function that makes a call; None outside one."""
    function = _function.get()
    if function is None and _invoked and current_thread().name.startswith(CHANGE_THREADS):
        return _invoked[-1]
    return function


def _before_call(params: dict[str, Any], model: Any, **_: object) -> None:  # noqa: ANN401 - botocore's model has no type
    function = _calling()
    if function is not None:
        for recorder in _recorders:
            recorder.call(function, model.service_model.service_name, model.name, params)


def _after_get_object(parsed: dict[str, Any], **_: object) -> None:
    function = _calling()
    if function is not None and parsed.get("Error", {}).get("Code") == "NoSuchKey":
        for recorder in _recorders:
            recorder.missing_object(function)


def _watch(session: Session) -> None:
    session.register("before-parameter-build.*.*", _before_call)
    session.register("after-call.s3.GetObject", _after_get_object)


botocore.register_initializer(_watch)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:  # noqa: ANN401 - pytest-xdist's controller of a worker
    """Take over what a worker of pytest-xdist recorded."""
    for function, uses in getattr(node, "workeroutput", {}).get("iam_uses", {}).items():
        _of_run.uses.setdefault(function, set()).update(tuple(use) for use in uses)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Report the comparison as one more test; a worker of pytest-xdist hands its records to the controller instead."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["iam_uses"] = {name: sorted(uses) for name, uses in _of_run.uses.items()}
        return
    if not _of_run.uses:
        return
    problems = list(missing_grants(_of_run.uses))
    report = pytest.TestReport(
        nodeid=POLICIES_ARE_SUFFICIENT,
        location=(POLICIES_ARE_SUFFICIENT.partition("::")[0], None, POLICIES_ARE_SUFFICIENT.partition("::")[2]),
        keywords={},
        outcome="failed" if problems else "passed",
        longrepr="\n".join(problems) or None,
        when="call",
    )
    session.config.hook.pytest_runtest_logreport(report=report)
    if problems and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def missing_grants(uses: Mapping[str, set[Use]]) -> Iterator[str]:
    """A sentence for each function whose policy lacks actions that it used."""
    for name, policy in functions().items():
        if missing := sorted(uses.get(name, set()) - granted(policy)):
            actions = ", ".join(f"{action} on {resource}" for action, resource in missing)
            yield f"{name} used {actions}, which {policy.name} does not grant: add it, or remove the call"


def used(service: str, operation: str, params: Mapping[str, Any]) -> Iterator[Use]:
    """The actions that a call needs, each with its resource.

    Raises:
        NotImplementedError: the operation is not in this table yet; add its action.
    """
    match service, operation:
        case "dynamodb", "BatchGetItem":
            yield from ((f"dynamodb:{operation}", _table(name)) for name in params["RequestItems"])
        case "dynamodb", "TransactWriteItems":
            for member in params["TransactItems"]:
                ((kind, request),) = member.items()
                yield f"dynamodb:{TRANSACTED[kind]}", _table(request["TableName"])
        case "dynamodb", _:
            yield f"dynamodb:{operation}", _table(params["TableName"])
        case "sqs", "SendMessageBatch" | "ChangeMessageVisibility":
            url = params["QueueUrl"]
            role = next(role for role in QUEUE_ROLES if url.endswith(f"-{role}"))
            yield f"sqs:{operation.removesuffix('Batch')}", QUEUE_ROLES[role]
        case "events", "PutEvents":
            yield "events:PutEvents", "EventBus"
        case "s3", "GetObject":
            yield "s3:GetObject", f"TemplatesBucket/{params['Key'].partition('/')[0]}/*"
        case "secretsmanager", "GetSecretValue":
            _, _, kind, *_ = params["SecretId"].split("/")
            yield "secretsmanager:GetSecretValue", f"secret {kind}"
        case "secretsmanager", "ListSecrets":
            yield "secretsmanager:ListSecrets", "*"
        case _:
            raise NotImplementedError(f"{service} {operation}: add the IAM action that it needs to used()")


def updated_attributes(params: Mapping[str, Any]) -> Iterator[str]:
    """The attributes of the passes table that a request's updates name: `dynamodb:Attributes` checks each of them."""
    members = [member["Update"] for member in params.get("TransactItems", []) if "Update" in member]
    for update in [*members, *([params] if "UpdateExpression" in params else [])]:
        if _table(update["TableName"]) == "PassesTable":
            yield from (*update["Key"], *update.get("ExpressionAttributeNames", {}).values())


def functions() -> dict[str, Path]:
    """The policy file of each function, by the function's name."""
    settings = json.loads((CHALICE / "config.json").read_text())["lambda_functions"]
    return {name: CHALICE / of["iam_policy_file"] for name, of in settings.items()}


def granted(policy: Path) -> set[Use]:
    """The actions that a policy allows, each with its resource."""
    uses: set[Use] = set()
    for statement in json.loads(policy.read_text())["Statement"]:
        resources = statement["Resource"]
        for resource in resources if isinstance(resources, list) else [resources]:
            uses.update((action, _named(resource)) for action in statement["Action"])
    return uses


def _named(resource: Any) -> str:  # noqa: ANN401 - a CloudFormation value
    """The name that `used` gives to a resource of a policy."""
    if resource == "*":
        return "*"
    if "Fn::GetAtt" in resource:
        logical_id, attribute = resource["Fn::GetAtt"]
        return logical_id if attribute == "Arn" else f"{logical_id} stream"
    text: str = resource["Fn::Sub"]
    if text.startswith("${TemplatesBucket.Arn}/"):
        return text.replace("${TemplatesBucket.Arn}", "TemplatesBucket")
    if ":log-group:" in text:
        return "its own log group" if "/aws/lambda/passwire-${Stage}" in text else text
    kind = text.partition(":secret:passwire/${Stage}/")[2]
    return f"secret {kind.removesuffix('-*').removesuffix('/*')}" if kind else text


def _table(name: str) -> str:
    found = TABLE_ROLE.fullmatch(name)
    assert found, f"{name} is not a table of the service"
    return f"{found[1].title()}Table"

"""Which IAM actions the service uses on what, as botocore saw it, and which its policies grant.

A use is recorded where botocore makes the call, by the functions' own clients, and belongs to the function that is on
the call stack: by the entry point in app.py, or, where a test calls a flow itself, by the outermost flow. What Lambda
itself does with a function's role can't be seen from here, and stands in `LAMBDAS_OWN` from AWS's documentation.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from chalicelib.aws import session

CHALICE = Path(__file__).parents[2] / ".chalice"
TRIGGERS = {"push", "push_worker", "check_certificates"}
"""The entry points in app.py that are functions of their own; all else there is the API's."""
FUNCTION_OF_FLOW = {
    "register": "api_handler",
    "listing": "api_handler",
    "download": "api_handler",
    "personalize": "api_handler",
    "open_link": "api_handler",
    "change": "push",
    "push_worker": "push_worker",
    "recheck": "push_worker",
    "check_certificates": "check_certificates",
}
"""The functions by the modules of `chalicelib/flows/` that they call; those that are called by these are left out."""
TRANSACTED = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem", "ConditionCheck": "ConditionCheckItem"}
"""What the members of TransactWriteItems must be allowed (AWS, "IAM and DynamoDB transactions")."""
TABLE_ROLE = re.compile(r".*-(passes|versions|registrations|devices)")
QUEUE_ROLES = {
    "push": "PushQueue",
    "dead-letter": "DeadLetterQueue",
    "dead": "DeadLetterQueue",
    "held-removals": "HeldRemovalsQueue",
    "held": "HeldRemovalsQueue",
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
    "check_certificates": LOGGING,
}
"""AWS, "Lambda execution role": AWSLambdaBasicExecutionRole, AWSLambdaDynamoDBExecutionRole,
AWSLambdaSQSQueueExecutionRole, and "Capturing discarded batches"; a log group is made by the stack.
"""
WITHOUT_RESOURCE = {"dynamodb:ListStreams", "secretsmanager:ListSecrets"}
"""Actions that IAM knows no resource for (AWS, "Service Authorization Reference")."""

Use = tuple[str, str]
"""An action, and what it is done to: a logical id of the stack, or what a pattern of the policy says."""


class Recorder:
    """Keeps what the service's clients are asked to do, in this process, from when it is made."""

    def __init__(self) -> None:
        self.uses: dict[str, set[Use]] = {}
        self.operations: set[tuple[str, str]] = set()
        self.updated: dict[str, set[str]] = {}
        """By function, the attributes of the passes table that it names in updates."""
        events = session.shared().events
        events.register("before-parameter-build.*.*", self._asked)
        events.register("after-call.s3.GetObject", self._answered)

    def _asked(self, params: dict[str, Any], model: Any, **_: object) -> None:  # noqa: ANN401 - botocore's
        service = model.service_model.service_name
        function = _calling_function()
        if function is not None:
            self.operations.add((service, model.name))
            self.uses.setdefault(function, set()).update(used(service, model.name, params))
            self.updated.setdefault(function, set()).update(updated_attributes(params))

    def _answered(self, parsed: dict[str, Any], **_: object) -> None:
        """Who may not list a bucket gets 403 for what is not there, and not 404 (AWS, "GetObject")."""
        function = _calling_function()
        if function is not None and parsed.get("Error", {}).get("Code") == "NoSuchKey":
            self.uses.setdefault(function, set()).add(("s3:ListBucket", "TemplatesBucket"))


def used(service: str, operation: str, params: Mapping[str, Any]) -> Iterator[Use]:
    """What a call must be allowed to do.

    Raises:
        NotImplementedError: nobody has said yet.
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
        case "s3", "GetObject":
            yield "s3:GetObject", f"TemplatesBucket/{params['Key'].partition('/')[0]}/*"
        case "secretsmanager", "GetSecretValue":
            _, _, kind, *_ = params["SecretId"].split("/")
            yield "secretsmanager:GetSecretValue", f"secret {kind}"
        case "secretsmanager", "ListSecrets":
            yield "secretsmanager:ListSecrets", "*"
        case _:
            raise NotImplementedError(f"which IAM action does {service} {operation} need?")


def updated_attributes(params: Mapping[str, Any]) -> Iterator[str]:
    """The attributes of the passes table that a request's updates name; DynamoDB's condition key counts them all."""
    members = [member["Update"] for member in params.get("TransactItems", []) if "Update" in member]
    for update in [*members, *([params] if "UpdateExpression" in params else [])]:
        if _table(update["TableName"]) == "PassesTable":
            yield from (*update["Key"], *update.get("ExpressionAttributeNames", {}).values())


def functions() -> dict[str, Path]:
    """Each function's policy file."""
    settings = json.loads((CHALICE / "config.json").read_text())["lambda_functions"]
    return {name: CHALICE / of["iam_policy_file"] for name, of in settings.items()}


def granted(policy: Path) -> set[Use]:
    """What a policy allows."""
    uses: set[Use] = set()
    for statement in json.loads(policy.read_text())["Statement"]:
        resources = statement["Resource"]
        for resource in resources if isinstance(resources, list) else [resources]:
            uses.update((action, _named(resource)) for action in statement["Action"])
    return uses


def _named(resource: Any) -> str:  # noqa: ANN401 - a CloudFormation value
    """A policy's resource as `used` would name it."""
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
    assert found, f"{name} is none of the service's tables"
    return f"{found[1].title()}Table"


def _calling_function() -> str | None:
    """The function that is at work on this thread's stack."""
    function: str | None = None
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module == "app":
            function = frame.f_code.co_name if frame.f_code.co_name in TRIGGERS else "api_handler"
        elif module.startswith("chalicelib.flows."):
            function = FUNCTION_OF_FLOW.get(module.removeprefix("chalicelib.flows."), function)
        frame = frame.f_back
    return function


recorder = Recorder()
"""Of the whole test session."""

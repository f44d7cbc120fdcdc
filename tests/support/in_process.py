"""Runs the app in this process: calls it with events of AWS's form, with the tables of the session's local run.

AWS's gateway differs from the embedded one: its path parameters are percent-encoded, and with the binary media type
`*/*` it sends bodies as base64.
"""

import base64
import importlib
import json
import os
import sys
import uuid
from collections import Counter
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl

import boto3

from chalicelib.aws import session
from infra.local.run import LocalRun
from tests.support.permissions import acting_as

MAX_PAYLOAD_BYTES = 6 * 1024 * 1024
"""The largest event and answer of a synchronous invocation (Lambda quotas)."""
DOMAIN = "abc123.execute-api.eu-central-1.amazonaws.com"
_requests: Counter[str] = Counter()


@dataclass(frozen=True)
class Answer:
    """An answer of the handler to API Gateway.

    Args:
        body: decoded if it was base64.
        base64: whether it was base64, which API Gateway takes for bytes and anything else for text.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    base64: bool

    def json(self) -> Any:  # noqa: ANN401
        return json.loads(self.body)


class LambdaContext:
    """Lambda's context, with the members that the app uses."""

    def __init__(self, remaining_seconds: float = 20.0) -> None:
        self.aws_request_id = str(uuid.uuid4())
        self._remaining_seconds = remaining_seconds

    def get_remaining_time_in_millis(self) -> int:
        return int(self._remaining_seconds * 1000)


def gateway_event(
    method: str,
    route: str,
    *parameters: str,
    query: str = "",
    headers: dict[str, str] | None = None,
    body: bytes | None = None,
) -> dict[str, Any]:
    """Make the event of a request to AWS's REST API. `parameters` fill the route's placeholders, percent-encoded."""
    names = [part[1:-1] for part in route.split("/") if part.startswith("{")]
    path = route
    for name, value in zip(names, parameters, strict=True):
        path = path.replace(f"{{{name}}}", value)
    pairs = dict(parse_qsl(query, keep_blank_values=True))
    sent = {"Host": DOMAIN, **(headers or {})}
    return {
        "resource": route,
        "path": path,
        "httpMethod": method,
        "headers": sent,
        "multiValueHeaders": {name: [value] for name, value in sent.items()},
        "queryStringParameters": pairs or None,
        "multiValueQueryStringParameters": {name: [value] for name, value in pairs.items()} or None,
        "pathParameters": dict(zip(names, parameters, strict=True)) or None,
        "stageVariables": None,
        "requestContext": {
            "resourcePath": route,
            "httpMethod": method,
            "path": f"/api{path}",
            "stage": "api",
            "domainName": DOMAIN,
            "requestId": str(uuid.uuid4()),
            "identity": {"sourceIp": "203.0.113.7"},
        },
        "body": base64.b64encode(body).decode() if body is not None else None,
        "isBase64Encoded": body is not None,
    }


class InProcess:
    """A new execution environment of the app."""

    def __init__(self, stack: LocalRun, **settings: str) -> None:
        function = boto3.client("lambda").get_function_configuration(FunctionName=stack.functions["api"])
        variables = {**function["Environment"]["Variables"], "PASSWIRE_WEB_SERVICE_URL": "", **settings}
        os.environ.update({**variables, "PASSWIRE_PATH_PARAMETERS": "encoded"})
        sys.modules.pop("app", None)
        _count_requests()
        self.app: ModuleType = importlib.import_module("app")

    def calls(
        self,
        method: str,
        route: str,
        *parameters: str,
        query: str = "",
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """Make one request. `parameters` fill the route's placeholders, percent-encoded as in the request's path."""
        event = gateway_event(method, route, *parameters, query=query, headers=headers, body=body)
        assert len(json.dumps(event)) <= MAX_PAYLOAD_BYTES, "the event is larger than an invocation allows"
        with acting_as("api_handler"):
            answer = self.app.app(event, LambdaContext())
        assert len(json.dumps(answer)) <= MAX_PAYLOAD_BYTES, "the answer is larger than an invocation allows"
        content = answer["body"]
        encoded = bool(answer.get("isBase64Encoded"))
        raw = base64.b64decode(content) if encoded else content.encode()
        several = {name: values[0] for name, values in answer.get("multiValueHeaders", {}).items()}
        return Answer(answer["statusCode"], {**several, **answer["headers"]}, raw, encoded)

    def invoke(self, function: str, event: dict[str, Any], *, remaining_seconds: float = 20.0) -> Any:  # noqa: ANN401
        """Call a function that AWS triggers: "push", "push_worker" or "check_certificates"; returns its result."""
        with acting_as(function):
            return getattr(self.app, function)(event, LambdaContext(remaining_seconds))

    def dynamodb_requests(self) -> Counter[str]:
        """Count every request to DynamoDB from now on, by operation."""
        _requests.clear()
        return _requests


@cache
def _count_requests() -> None:
    """Have the clients that the service makes from now on count their requests to DynamoDB."""

    def count(model: Any, **_: object) -> None:  # noqa: ANN401 - botocore's
        _requests[model.name] += 1

    session.shared().events.register("before-call.dynamodb", count)

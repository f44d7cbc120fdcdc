"""What the functions write, as one readable stream: from CloudWatch Logs, as an operator would read it."""

import json
import time
from collections.abc import Iterator
from typing import Any

import boto3

from infra.local.stack import LocalStack

POLL_SECONDS = 0.5


def follow_logs(stack: LocalStack) -> Iterator[str]:
    """Lines of all functions as they come, for ever: `push     stamped pass_id=... revision=2`."""
    client = boto3.client("logs", endpoint_url=stack.aws_endpoint_url, region_name=stack.region)
    since = {role: int(time.time() * 1000) for role in stack.functions}
    seen: set[tuple[str, ...]] = set()
    while True:
        for role, function in stack.functions.items():
            for event in _events(client, f"/aws/lambda/{function}", since[role]):
                # the embedded AWS gives events no id of their own
                identity = (role, str(event.get("logStreamName")), str(event["timestamp"]), event["message"])
                if identity not in seen:
                    seen.add(identity)
                    since[role] = max(since[role], event["timestamp"])
                    if readable := _readable(event["message"].rstrip()):
                        yield f"{role:6} {readable}"
        time.sleep(POLL_SECONDS)


def _events(client: Any, group: str, since: int) -> list[dict[str, Any]]:  # noqa: ANN401 - a boto3 client
    try:
        events: list[dict[str, Any]] = client.filter_log_events(logGroupName=group, startTime=since)["events"]
    except client.exceptions.ResourceNotFoundException:
        return []
    return events


def _readable(line: str) -> str:
    """One of our lines as `event name=value`; Lambda's own and metrics left out, any other as it is."""
    if line.startswith(("START RequestId", "END RequestId", "REPORT RequestId")):
        return ""
    try:
        fields = json.loads(line)
        if "_aws" in fields:
            return ""  # a metric
        event = fields.pop("event")
    except (ValueError, KeyError, TypeError, AttributeError):
        return line
    fields.pop("request_id", None)
    return " ".join([str(event), *(f"{name}={_plain(value)}" for name, value in fields.items())])


def _plain(value: object) -> str:
    """A value as it is where that is one printable word, else as JSON: nothing that a device said moves the cursor."""
    text = str(value)
    return text if isinstance(value, str) and text.isprintable() and " " not in text else json.dumps(value)

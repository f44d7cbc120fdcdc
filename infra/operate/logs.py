"""What a stage's functions write, as one stream: from CloudWatch Logs, as an operator would read it."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.config import Config

from infra.core.terminal import printable, printable_lines
from infra.stage import aws
from infra.stage.stage import Stage

POLL_SECONDS = 2.0
"""Between two looks at all functions. FilterLogEvents allows five requests per second and account, for everybody."""
LATE_SECONDS = 10.0
"""How long after its moment a line may appear; that far back is looked at again."""
OF_LAMBDA = ("INIT_START", "START RequestId", "END RequestId", "REPORT RequestId")


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that a function wrote.

    Args:
        at: when, in milliseconds.
        function: the function's role.
        text: as it was written.
    """

    at: int
    function: str
    text: str

    @property
    def readable(self) -> str:
        """`2026-11-25T12:00:01Z push   stamped pass_id=...`; empty for Lambda's own lines and for metrics.

        A line that no code of ours wrote may have several lines; no control character is in it but their ends.
        """
        text = printable_lines(_readable(self.text))
        return f"{self.moment:%Y-%m-%dT%H:%M:%SZ} {printable(self.function):6} {text}" if text else ""

    @property
    def moment(self) -> datetime:
        """When, in UTC."""
        return datetime.fromtimestamp(self.at / 1000, UTC)

    @property
    def as_json(self) -> str:
        """One JSON object: the line's own, with time and function; any other as its `message`."""
        try:
            fields = json.loads(self.text)
        except ValueError:
            fields = None
        own = fields if isinstance(fields, dict) else {"message": self.text}
        return json.dumps({"at": self.moment.isoformat(), "function": self.function, **own})


def read_logs(stage: Stage, *, since: int, follow: bool) -> Iterator[LogLine]:
    """Lines of all functions in order, and with `follow` those that come, for ever.

    Args:
        stage: whose functions.
        since: the moment of the first, in milliseconds.
        follow: go on.
    """
    client = aws.client("logs", config=Config(retries={"mode": "adaptive", "total_max_attempts": 10}))
    seen: dict[tuple[str, str, int, str], int] = {}
    while True:
        fresh: list[LogLine] = []
        for role, function in stage.functions.items():
            for event in _events(client, f"/aws/lambda/{function}", since):
                # the embedded AWS gives events no id of their own
                identity = (role, str(event.get("logStreamName")), int(event["timestamp"]), event["message"])
                if identity not in seen:
                    seen[identity] = int(event["timestamp"])
                    fresh.append(LogLine(int(event["timestamp"]), role, event["message"].rstrip()))
        yield from sorted(fresh, key=lambda line: line.at)
        if not follow:
            return
        newest = max((line.at for line in fresh), default=since)
        since = max(since, newest - int(LATE_SECONDS * 1000))
        seen = {identity: at for identity, at in seen.items() if at >= since}
        time.sleep(POLL_SECONDS)


def _events(client: Any, group: str, since: int) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - a boto3 client
    try:
        for page in client.get_paginator("filter_log_events").paginate(logGroupName=group, startTime=since):
            yield from page["events"]
    except client.exceptions.ResourceNotFoundException:
        return


def _readable(line: str) -> str:
    """One of our lines as `event name=value`; any other as it is."""
    if line.startswith(OF_LAMBDA):
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

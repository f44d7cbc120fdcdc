"""Reads the logs of a stage's functions from CloudWatch Logs as one stream."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.config import Config

from infra.core.terminal import printable, printable_lines
from infra.operate.log_lines import event_fields, is_metric
from infra.stage import aws
from infra.stage.stage import Stage

POLL_SECONDS = 2.0
"""Pause between two reads of all functions. FilterLogEvents allows an account 5 requests per second in total."""
LATE_SECONDS = 10.0
"""Lines may appear this long after their timestamp, so that period is read again."""
LAMBDA_LINES = ("INIT_START", "START RequestId", "END RequestId", "REPORT RequestId")


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line in a function's log.

    Args:
        at: its timestamp, epoch milliseconds.
        function: the function's role.
        text: the line as written.
    """

    at: int
    function: str
    text: str

    @property
    def readable(self) -> str:
        """The line for people: `2026-11-25T12:00:01Z push   stamped pass_id=...`; empty for Lambda's and metrics.

        Text that Passwire did not write may contain line feeds and tabs; other control characters are escaped.
        """
        text = printable_lines(_readable(self.text))
        return f"{self.moment:%Y-%m-%dT%H:%M:%SZ} {printable(self.function):6} {text}" if text else ""

    @property
    def moment(self) -> datetime:
        """The timestamp in UTC."""
        return datetime.fromtimestamp(self.at / 1000, UTC)

    @property
    def as_json(self) -> str:
        """The line as a JSON object with time and function; text that is not JSON is its `message`."""
        try:
            fields = json.loads(self.text)
        except ValueError:
            fields = None
        own = fields if isinstance(fields, dict) else {"message": self.text}
        return json.dumps({"at": self.moment.isoformat(), "function": self.function, **own})


def read_logs(stage: Stage, *, since: int, follow: bool) -> Iterator[LogLine]:
    """Yield the lines of all functions in order.

    Args:
        stage: the stage of the functions.
        since: timestamp of the first line, epoch milliseconds.
        follow: continue with new lines, without end.
    """
    client = aws.client("logs", config=Config(retries={"mode": "adaptive", "total_max_attempts": 10}))
    seen: dict[tuple[str, str, int, str], int] = {}
    while True:
        fresh: list[LogLine] = []
        for role, function in stage.functions.items():
            for event in _events(client, f"/aws/lambda/{function}", since):
                # the embedded AWS gives events no ids
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
    """Format a structured line as `event name=value ...`; return other text as it is."""
    if line.startswith(LAMBDA_LINES) or is_metric(line):
        return ""
    fields = event_fields(line)
    if fields is None:
        return line
    event = fields.pop("event")
    fields.pop("request_id", None)
    return " ".join([str(event), *(f"{name}={_plain(value)}" for name, value in fields.items())])


def _plain(value: object) -> str:
    """Return a value as it is if it is one printable word, else as JSON, so that no control character is printed."""
    text = str(value)
    return text if isinstance(value, str) and text.isprintable() and " " not in text else json.dumps(value)

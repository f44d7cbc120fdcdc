"""Reads the logs of a stage's functions from CloudWatch Logs as one stream."""

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.config import Config

from chalicelib.core.identifiers import PassId
from infra.core.moments import format_moment
from infra.core.terminal import printable, printable_lines
from infra.operate.log_lines import event_fields, is_metric
from infra.stage import aws
from infra.stage.stage import Stage

POLL_SECONDS = 2.0
"""Pause between two reads of all functions. FilterLogEvents allows an account 5 requests per second in total."""
LATE_SECONDS = 10.0
"""Lines may appear this long after their timestamp, so that period is read again."""
LATEST_SECONDS = 300.0
"""Older periods are not read again, although no wanted line was found since: a filter may match nothing for days."""
LAMBDA_LINES = ("INIT_START", "START RequestId", "END RequestId", "REPORT RequestId")
MAX_PATTERN = 900
"""A filter pattern has at most 1024 characters (AWS, "FilterLogEvents")."""
_PLAIN = re.compile(r"[A-Za-z0-9._/-]+")


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which lines to read; all of them by default.

    Args:
        functions: roles of functions, such as `push`; empty for all.
        events: names of events; empty for all lines, also those that the service did not write.
        pass_id: only events that name this pass.
    """

    functions: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    pass_id: PassId | None = None

    @property
    def pattern(self) -> str:
        """A filter pattern for CloudWatch Logs, which may match more lines than are wanted; empty for all."""
        if self.pass_id is not None:
            return phrases(str(self.pass_id))
        return " ".join(f'?"{event}"' for event in self.events)

    def matches(self, text: str) -> bool:
        """Return True if a line is wanted."""
        if not self.events and self.pass_id is None:
            return True
        try:
            fields = json.loads(text)
        except ValueError:
            return False
        if not isinstance(fields, dict) or (self.events and fields.get("event") not in self.events):
            return False
        return self.pass_id is None or names_pass(fields, self.pass_id)


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
        return f"{format_moment(self.at / 1000)} {printable(self.function):6} {text}" if text else ""

    @property
    def as_json(self) -> str:
        """The line as a JSON object with time and function; text that is not JSON is its `message`."""
        try:
            fields = json.loads(self.text)
        except ValueError:
            fields = None
        own = fields if isinstance(fields, dict) else {"message": self.text}
        at = format_moment(self.at / 1000, timespec="milliseconds")
        return json.dumps({"at": at, "function": self.function, **own})


def read_logs(stage: Stage, *, since: int, follow: bool, wanted: LogFilter = LogFilter()) -> Iterator[LogLine]:
    """Yield the lines of all functions in order.

    Args:
        stage: the stage of the functions.
        since: timestamp of the first line, epoch milliseconds.
        follow: continue with new lines, without end.
        wanted: which lines.
    """
    client = reading_client()
    pattern = "" if aws.is_embedded() else wanted.pattern  # the embedded AWS matches `?"a" ?"b"` only if both occur
    seen: dict[tuple[str, str, int, str], int] = {}
    while True:
        started = time.time()
        fresh: list[LogLine] = []
        for role, function in stage.functions.items():
            if wanted.functions and role not in wanted.functions:
                continue
            for event in _events(client, f"/aws/lambda/{function}", since, pattern):
                # the embedded AWS gives events no ids
                identity = (role, str(event.get("logStreamName")), int(event["timestamp"]), event["message"])
                if identity not in seen and wanted.matches(event["message"]):
                    seen[identity] = int(event["timestamp"])
                    fresh.append(LogLine(int(event["timestamp"]), role, event["message"].rstrip()))
        yield from sorted(fresh, key=lambda line: line.at)
        if not follow:
            return
        newest = max((line.at for line in fresh), default=since)
        since = max(since, newest - int(LATE_SECONDS * 1000), int((started - LATEST_SECONDS) * 1000))
        seen = {identity: at for identity, at in seen.items() if at >= since}
        time.sleep(POLL_SECONDS)


def reading_client() -> Any:  # noqa: ANN401 - boto3 creates clients at run time
    """Create a client of CloudWatch Logs that slows down at its limit, 5 FilterLogEvents per second in an account."""
    return aws.client("logs", config=Config(retries={"mode": "adaptive", "total_max_attempts": 10}))


def phrases(text: str) -> str:
    """Return a filter pattern for lines that contain a text (AWS, "Filter pattern syntax").

    The pattern contains those parts of the text that JSON does not escape.
    """
    chosen: list[str] = []
    room = MAX_PATTERN
    for phrase in _PLAIN.findall(text):
        chosen.append(f'"{phrase[:room]}"')
        room -= len(phrase) + len('"" ')
        if room <= 0:
            break
    return " ".join(chosen)


def names_pass(fields: Mapping[str, Any], pass_id: PassId) -> bool:
    """Return True if the fields of a log line name a pass, alone or in a list."""
    passes = fields.get("passes")
    return fields.get("pass_id") == str(pass_id) or (isinstance(passes, list) and str(pass_id) in passes)


def _events(client: Any, group: str, since: int, pattern: str) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - boto3's
    request = {"logGroupName": group, "startTime": since, **({"filterPattern": pattern} if pattern else {})}
    try:
        for page in client.get_paginator("filter_log_events").paginate(**request):
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

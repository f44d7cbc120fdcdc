"""Reads the service's structured log lines."""

import json
from typing import Any


def event_fields(line: str) -> dict[str, Any] | None:
    """Return the fields of an event's line, with `event`; None for other lines.

    A call of the API writes its event and its duration as one line. The metric, its value and its dimensions are left
    out: everything that is in the embedded metric format, whose names begin with a capital letter.
    """
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or "event" not in fields:
        return None
    if "_aws" in fields:
        return {name: value for name, value in fields.items() if name != "_aws" and not name[:1].isupper()}
    return fields


def is_metric(line: str) -> bool:
    """Return True for a line that contains only metrics."""
    return line.startswith('{"_aws"')

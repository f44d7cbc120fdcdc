"""Moments that a person names on the command line: how long ago, or when.

One rule for every command: a time without a zone is UTC, as are all times that commands print.
"""

import re
from datetime import UTC, datetime

from chalicelib.core.errors import RefusedError

AGO = re.compile(r"([0-9]{1,9})([smhdw])")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
FORMS = (
    "how long ago (30s, 10m, 2h, 7d, 2w), or a moment of ISO 8601 (2026-11-25, 2026-11-25T10:00), in UTC unless it has "
    "a zone"
)


class MomentError(RefusedError):
    """A text that names no moment; the message says how one is written."""


def format_moment(moment: float | datetime, *, timespec: str = "seconds") -> str:
    """Return a time as every command prints it: ISO 8601 in UTC, such as `2026-11-25T10:00:00Z`.

    Args:
        moment: epoch seconds, or a time with a zone.
        timespec: `seconds`, or `milliseconds` for events.
    """
    at = moment.astimezone(UTC) if isinstance(moment, datetime) else datetime.fromtimestamp(moment, UTC)
    return at.isoformat(timespec=timespec).replace("+00:00", "Z")


def parse_duration(text: str) -> float | None:
    """Parse a duration such as `30s`, `10m`, `2h`, `7d` or `2w`.

    Returns:
        Seconds, or None if the text is not a duration.
    """
    match = AGO.fullmatch(text)
    return float(int(match[1]) * SECONDS[match[2]]) if match else None


def parse_moment(text: str, *, now: float) -> float:
    """Read `10m`, `2h`, `7d` before now, or a date or time of ISO 8601.

    Args:
        text: as it was given.
        now: epoch seconds.

    Returns:
        Epoch seconds, 0 at the least.

    Raises:
        MomentError: it is neither.
    """
    if (ago := parse_duration(text)) is not None:
        return max(0.0, now - ago)
    try:
        moment = datetime.fromisoformat(text)
        return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        raise MomentError(f"{text!r} is not a moment; write {FORMS}") from None

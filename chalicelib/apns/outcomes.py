"""A push and its outcome, and how an answer of APNs in any form becomes one. No I/O."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from chalicelib.apns.connection import Answered
from chalicelib.apns.reasons import OutcomeKind, kind_of
from chalicelib.core.identifiers import PushToken

MAX_RETRY_AFTER_SECONDS = 900
"""Limit for the wait that APNs asks for: the longest delay of an SQS message."""
MAX_TIMESTAMP = 1 << 53
MAX_REASON_LENGTH = 50
"""Longer than any documented reason, and shorter than a push token, which must not get into a log as a reason."""
MAX_APNS_ID_LENGTH = 36


@dataclass(frozen=True, slots=True)
class Push:
    """A push to one device.

    Args:
        push_token: of the device.
        topic: the pass type identifier.
    """

    push_token: PushToken
    topic: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of a push.

    Args:
        push: the push.
        kind: tells the caller what to do.
        status: APNs' status; None without a response.
        reason: APNs' reason; one of `reasons.OWN_REASONS` without a response; the reason of another push if this one
            was not sent because of it. None for a delivered push.
        apns_id: APNs' id of the push.
        timestamp: epoch milliseconds since which the device is unregistered (410 only).
        retry_after: seconds that APNs asks to wait (with 429 or 503), 1 to `MAX_RETRY_AFTER_SECONDS`.
    """

    push: Push
    kind: OutcomeKind
    status: int | None = None
    reason: str | None = None
    apns_id: str | None = None
    timestamp: int | None = None
    retry_after: int | None = None


def outcome_of(push: Push, answer: Answered, *, clock: Callable[[], float] = time.time) -> Outcome:
    """Convert a response of APNs into an outcome. Values in another form than Apple documents are left out.

    Args:
        push: that was sent.
        answer: of APNs, in any form.
        clock: epoch seconds, for a `Retry-After` that is a date.
    """
    digits = answer.headers.get(b":status", b"")
    if digits != b"200" and (len(digits) != 3 or not digits.isdigit()):  # noqa: PLR2004 - RFC 9110, section 15
        return Outcome(push, OutcomeKind.LATER, reason="InvalidAnswer")
    status = int(digits)
    apns_id = answer.headers.get(b"apns-id", b"").decode("ascii", "replace")[:MAX_APNS_ID_LENGTH] or None
    if status == 200:  # noqa: PLR2004
        return Outcome(push, OutcomeKind.DELIVERED, status, apns_id=apns_id)
    reason, timestamp = _read_body(answer.body)
    return Outcome(
        push,
        kind_of(status, reason),
        status,
        reason=reason or None,
        apns_id=apns_id,
        timestamp=timestamp,
        retry_after=_retry_after(answer.headers.get(b"retry-after", b""), now=clock()),
    )


def _read_body(text: bytes) -> tuple[str, int | None]:
    """Read the reason (empty if missing or invalid) and the timestamp in epoch milliseconds (else None)."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):  # deep nesting exceeds the interpreter's stack
        return "", None
    if not isinstance(body, dict):
        return "", None
    reason, timestamp = body.get("reason"), body.get("timestamp")
    if not (isinstance(reason, str) and reason.isascii() and reason.isalnum() and len(reason) <= MAX_REASON_LENGTH):
        reason = ""
    if not (isinstance(timestamp, int) and not isinstance(timestamp, bool) and 0 < timestamp < MAX_TIMESTAMP):
        timestamp = None
    return reason, timestamp


def _retry_after(value: bytes, *, now: float) -> int | None:
    """Read a `Retry-After` header, which is a number of seconds or a date (RFC 9110, section 10.2.3).

    Args:
        value: the header; empty if it is missing.
        now: epoch seconds.

    Returns:
        Seconds, 1 to `MAX_RETRY_AFTER_SECONDS`; None for a missing or invalid header and for a time in the past.
    """
    text = value.decode("ascii", "replace").strip()
    seconds: float
    if text.isdigit():
        seconds = int(text[:10])
    else:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - now
        except (ValueError, TypeError, OverflowError):
            return None
    return min(math.ceil(seconds), MAX_RETRY_AFTER_SECONDS) if seconds > 0 else None

"""Devices report what went wrong on their side: device -> API -> one structured log line a message."""

from collections.abc import Sequence

from chalicelib import log

MAX_MESSAGES = 100
MAX_MESSAGE_BYTES = 4096


def note(messages: Sequence[str]) -> None:
    """Write what devices say, as data: JSON escapes control characters, and nothing in it is trusted."""
    for message in messages:
        log.event("device_log", message=message)

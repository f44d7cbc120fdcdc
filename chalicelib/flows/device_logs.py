"""Devices report what went wrong on their side: device -> API -> one structured log line per message.

The call needs no token and log lines are paid for, so what one request may write is bounded; the method has a throttle
of its own (`infra/deploy/resources.json`).
"""

import json
from collections.abc import Sequence

from chalicelib.telemetry import log

MAX_MESSAGES = 100
MAX_MESSAGE_BYTES = 4096
MAX_LOGGED_BYTES = 16_384
"""Of all lines that one request writes."""
LINE_BYTES = 128
"""Of a line beside the message, as `log.event` writes it: event, request id, and the punctuation of JSON."""


def log_messages(messages: Sequence[str]) -> None:
    """Writes what devices say, as data: JSON escapes control characters, and nothing in it is trusted.

    Once a message does not fit into `MAX_LOGGED_BYTES`, it and all behind it are left out, and one line says how many.
    """
    left = MAX_LOGGED_BYTES - LINE_BYTES  # the last line, which counts, has its place
    for position, message in enumerate(messages):
        left -= len(json.dumps(message)) + LINE_BYTES
        if left < 0:
            log.event("device_log_cut", left_out=len(messages) - position)
            return
        log.event("device_log", message=message)

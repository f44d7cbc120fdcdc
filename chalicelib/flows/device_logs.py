"""Devices report errors: device -> API -> one structured log line per message.

The call needs no token and log lines cost money, so the output of one request is limited. The API method is also
throttled (`infra/deploy/resources.json`).
"""

import json
from collections.abc import Sequence

from chalicelib.telemetry import log

MAX_MESSAGES = 100
MAX_MESSAGE_BYTES = 4096
MAX_LOGGED_BYTES = 16_384
"""Limit for all lines of one request."""
LINE_BYTES = 128
"""Bytes of a line without its message, as `log.event` writes it: event, request id and the punctuation of JSON."""


def log_messages(messages: Sequence[str]) -> None:
    """Log messages of a device as data: JSON escapes control characters, and the content is not trusted.

    The first message that does not fit into `MAX_LOGGED_BYTES` and all after it are left out, and one line says how
    many.
    """
    left = MAX_LOGGED_BYTES - LINE_BYTES  # reserves space for the line that counts the rest
    for position, message in enumerate(messages):
        left -= len(json.dumps(message)) + LINE_BYTES
        if left < 0:
            log.event("device_log_cut", left_out=len(messages) - position)
            return
        log.event("device_log", message=message)

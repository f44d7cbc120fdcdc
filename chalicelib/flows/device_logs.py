"""Devices report errors: device -> API -> one structured log line per message.

The call needs no token and log lines cost money, so the output of one request is limited. The API method is also
throttled (`infra/deploy/resources.json`).
"""

import json
import re
from collections.abc import Sequence

from chalicelib.telemetry import log

MAX_MESSAGES = 100
MAX_MESSAGE_BYTES = 4096
MAX_LOGGED_BYTES = 16_384
"""Limit for all lines of one request."""
LINE_BYTES = 128
"""Bytes of a line without its message, as `log.event` writes it: event, request id and the punctuation of JSON."""

_SECRETS = re.compile(
    r"(?<=for device )[^\s,;()]+"
    r"|(?<=/devices/)[^/\s]+"
    r"|(?<=ApplePass )\S+"
    r"|(?<=/p/)[\w-]+"
    r"|(?<![\w-])(?<!serial number )(?<!serial number ')[0-9A-Fa-f]{32,}(?![\w-])"
)
"""Device library identifiers, authentication tokens, links and push tokens in a message. Wallet writes messages such as
`Unregister task (for device ceed8761e584e814ed4fe73cbb334ee9, pass type pass.com.acme, serial number 85607BFE98D91A;
with web service url https://acme.example/) encountered error: Authentication failure`.
"""


def log_messages(messages: Sequence[str]) -> None:
    """Log messages of a device as data: JSON escapes control characters, and the content is not trusted.

    Secrets are replaced by the hashes that other lines have for them.

    The first message that does not fit into `MAX_LOGGED_BYTES` and all after it are left out, and one line says how
    many.
    """
    left = MAX_LOGGED_BYTES - LINE_BYTES  # reserves space for the line that counts the rest
    for position, message in enumerate(map(_without_secrets, messages)):
        left -= len(json.dumps(message)) + LINE_BYTES
        if left < 0:
            log.event("device_log_cut", left_out=len(messages) - position)
            return
        log.event("device_log", message=message)


def _without_secrets(message: str) -> str:
    return _SECRETS.sub(lambda found: f"<{log.hash_secret(found[0])}>", message)

"""Verifies a signed webhook, with Python's standard library only."""

import base64
import hashlib
import hmac
import time

TOLERANCE_SECONDS = 300


def verify(secret, headers, body, now=None):
    """Return True if a request was signed with the secret in the last five minutes.

    A receiver also stores `webhook-id`, and ignores an event that it has handled before.

    Args:
        secret: text that begins with `whsec_`.
        headers: of the request; names in lower case.
        body: of the request, as bytes.
        now: epoch seconds; None for the current time.
    """
    timestamp = headers.get("webhook-timestamp", "")
    if not timestamp.isdecimal() or abs((now or time.time()) - int(timestamp)) > TOLERANCE_SECONDS:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    content = f"{headers.get('webhook-id', '')}.{timestamp}.".encode() + body
    expected = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    signatures = headers.get("webhook-signature", "").split()
    return any(hmac.compare_digest(one, f"v1,{expected}") for one in signatures)

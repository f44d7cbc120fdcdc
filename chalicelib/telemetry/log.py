"""Structured logs: one line of JSON an event, which CloudWatch Logs Insights can query by field.

A device library identifier, a push token or an authentication token never stands in a line: whatever is handed over as
one is written as a short hash under the stage's key, the same for the same secret, so that lines can be joined.
"""

import hashlib
import hmac
import json
import os
import re
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TypeVar

from chalicelib.core.identifiers import AuthenticationToken, DeviceLibraryIdentifier, PassId, PushToken

HASH_BYTES = 6
MAX_NAMED = 20
"""Devices or passes that one line names; the count beside them says whether there are more."""
TRACE_HEADER = "_X_AMZN_TRACE_ID"
"""The environment variable that Lambda sets for each invocation (AWS, "Defined runtime environment variables")."""
_TRACE_ROOT = re.compile(r"(?:^|;)\s*Root=1-([0-9a-f]{8})-([0-9a-f]{24})(?:;|$)")
_Named = TypeVar("_Named", DeviceLibraryIdentifier, PassId)
_SECRETS = AuthenticationToken | DeviceLibraryIdentifier | PushToken

_key = b""
"""Of this sandbox; set once by `set_hash_key`."""
_context: dict[str, object] = {}
"""What every line of the current invocation carries; a sandbox runs one invocation at a time."""


def set_hash_key(key: str) -> None:
    """Hash secrets with this key from now on."""
    global _key  # noqa: PLW0603 - one key a sandbox, known only when its settings are read
    _key = key.encode()


@contextmanager
def invocation(**fields: object) -> Iterator[None]:
    """Every line written inside carries these fields, such as the request id, and the trace id where there is one."""
    _context.clear()
    _context.update(fields)
    if trace_id := w3c_trace_id(os.environ.get(TRACE_HEADER, "")):
        _context["trace_id"] = trace_id
    try:
        yield
    finally:
        _context.clear()


def w3c_trace_id(header: str) -> str:
    """The trace id of an X-Ray trace header in the form of the W3C, 32 hexadecimal digits; empty where it has none.

    AWS, "Tracing header": `Root=1-<8 digits>-<24 digits>`. W3C, "Trace Context", section 3.2.2.3: the same digits
    without the version and the hyphens, and not all of them zero.
    """
    found = _TRACE_ROOT.search(header)
    return "" if found is None or not int(found[1] + found[2], 16) else found[1] + found[2]


def request_id() -> str:
    """Of the current invocation, which a change is followed by from its stamp to its pushes; empty outside one."""
    return str(_context.get("request_id") or "")


def event(name: str, **fields: object) -> None:
    """Write one line. Values are strings, numbers, booleans, None, lists, or secrets, which are hashed."""
    line = {"event": name, **_context, **fields}
    sys.stdout.write(json.dumps(line, default=_presentable, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def first_ids(of: Collection[_Named]) -> list[_Named]:
    """The devices or passes that a line names: the first of them, so that no line grows with what a pass is held by."""
    return sorted(of)[:MAX_NAMED]


def hashed(secret: str) -> str:
    """A short keyed hash that stands for a secret."""
    return hmac.digest(_key, secret.encode(), hashlib.sha256)[:HASH_BYTES].hex()


def _presentable(value: object) -> str:
    return hashed(value.value) if isinstance(value, _SECRETS) else str(value)

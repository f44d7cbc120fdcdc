"""Structured logs: one line of JSON per event, which CloudWatch Logs Insights can query by field.

A line never contains a device library identifier, a push token or an authentication token. A value of these types is
written as a short hash under the stage's key: equal secrets have equal hashes, so that lines can be joined.
"""

import hashlib
import hmac
import json
import os
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from chalicelib.core.identifiers import AuthenticationToken, DeviceLibraryIdentifier, PassId, PushToken

HASH_BYTES = 6
MAX_NAMED = 20
"""Devices or passes that one line lists; the count in the same line shows whether there are more."""
TRACE_HEADER = "_X_AMZN_TRACE_ID"
"""The environment variable that Lambda sets for each invocation (AWS, "Defined runtime environment variables")."""
_TRACE_ROOT = re.compile(r"(?:^|;)\s*Root=1-([0-9a-f]{8})-([0-9a-f]{24})(?:;|$)")
_Named = TypeVar("_Named", DeviceLibraryIdentifier, PassId)
_SECRETS = AuthenticationToken | DeviceLibraryIdentifier | PushToken

_key = b""
"""Key of the hashes; set once per execution environment by `set_hash_key`."""
_held: list[dict[str, object]] | None = None
"""The last event of a block of `last_event_joined`, not written yet; None outside such a block."""
_context: dict[str, object] = {}
"""Fields of every line of the current invocation; an execution environment runs one invocation at a time."""


def set_hash_key(key: str) -> None:
    """Set the key of the hashes that replace secrets in lines."""
    global _key  # noqa: PLW0603 - one key per execution environment, known when its settings are read
    _key = key.encode()


@contextmanager
def invocation(**fields: object) -> Iterator[None]:
    """Add fields, such as the request id, and the trace id if there is one, to every line written inside."""
    _context.clear()
    _context.update(fields)
    if trace_id := w3c_trace_id(os.environ.get(TRACE_HEADER, "")):
        _context["trace_id"] = trace_id
    try:
        yield
    finally:
        _context.clear()


def w3c_trace_id(header: str) -> str:
    """Convert the trace id of an X-Ray trace header to the W3C's form, 32 hexadecimal digits; empty if it is missing.

    AWS, "Tracing header": `Root=1-<8 digits>-<24 digits>`. W3C, "Trace Context", section 3.2.2.3: the same digits
    without the version and the hyphens, and not all of them zero.
    """
    found = _TRACE_ROOT.search(header)
    return "" if found is None or not int(found[1] + found[2], 16) else found[1] + found[2]


def request_id() -> str:
    """Return the request id of the current invocation, which connects a stamp with its pushes; empty outside one."""
    return str(_context.get("request_id") or "")


def event(name: str, **fields: object) -> None:
    """Write one line. Field values are strings, numbers, booleans, None, lists, or secrets, which are hashed."""
    line = {"event": name, **_context, **fields}
    if _held is None:
        write(line)
        return
    if _held:
        write(_held.pop())
    _held.append(line)


def write(line: Mapping[str, object]) -> None:
    """Write one line of JSON."""
    sys.stdout.write(json.dumps(line, default=_presentable, separators=(",", ":")) + "\n")
    sys.stdout.flush()


@contextmanager
def last_event_joined(fields: Callable[[], Mapping[str, object]]) -> Iterator[None]:
    """Write the last event of the block together with other fields, as one line, at the end of the block.

    Args:
        fields: returns the fields at the end of the block; without an event they are a line of their own.
    """
    global _held  # noqa: PLW0603 - an execution environment runs one invocation at a time
    _held = []
    try:
        yield
    finally:
        last = _held.pop() if _held else {}
        _held = None
        write({**last, **fields()})


def first_ids(of: Collection[_Named]) -> list[_Named]:
    """Return the first `MAX_NAMED` devices or passes in their order, so that the length of a line is limited."""
    return sorted(of)[:MAX_NAMED]


def hash_secret(secret: str) -> str:
    """Return a short keyed hash that replaces a secret."""
    return hmac.digest(_key, secret.encode(errors="surrogatepass"), hashlib.sha256)[:HASH_BYTES].hex()


def _presentable(value: object) -> str:
    return hash_secret(value.value) if isinstance(value, _SECRETS) else str(value)

"""The form of the events on a stage's bus, and their limits.

An event contains no device library identifier, no push token and no authentication token.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from chalicelib.core.identifiers import PassId

SCHEMA_VERSION = 1
"""Version of the events' details. A new field keeps it; a changed or removed one increases it."""
EVENT_ID_DIGITS = 32
MAX_DETAIL_BYTES = 200 * 1024
"""EventBridge accepts 256 KB with the names (AWS, "PutEvents"), and so does SQS, which keeps what it refused."""
MAX_CUT_CHARACTERS = 1000
"""Length of each text in an event that would be too large otherwise."""
NOTE = "event "
"""Begins the key of a row of the versions table that is an event itself. It has no `/`, so it equals no pass id."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event for the stage's bus.

    Args:
        name: its detail type, such as `pass.registered`.
        at: epoch seconds.
        detail: JSON values by name.
    """

    name: str
    at: float
    detail: Mapping[str, object]

    def encode(self) -> str:
        """Return the detail as JSON; every text of a detail that EventBridge would refuse for its size is cut."""
        text = _encoded(self.detail)
        if len(text) <= MAX_DETAIL_BYTES:
            return text
        cut = {name: v[:MAX_CUT_CHARACTERS] if isinstance(v, str) else v for name, v in self.detail.items()}
        return _encoded({**cut, "truncated": True})


@dataclass(frozen=True, slots=True)
class UnreadableRecord:
    """A stream record that cannot be parsed; its error is the name of a type."""

    sequence_number: str
    error: str


@dataclass(frozen=True, slots=True)
class EventNote:
    """An event that a function writes into the versions table, whose stream delivers it to the bus.

    Args:
        name: of the event.
        subject: what it is about, if only the newest of several matters: a pass type and a reason; else empty.
        detail: fields of the event beside those that every event has.
    """

    name: str
    subject: str
    detail: Mapping[str, object]

    @property
    def key(self) -> str:
        """Key of its row. A later note with the same key replaces the row; the stream has delivered it by then."""
        return f"{NOTE}{self.name} {self.subject}".rstrip()


def new_event(name: str, *, at: float, identity: tuple[str, ...], detail: Mapping[str, object]) -> Event:
    """Make an event with the fields that every event has.

    Args:
        name: such as `pass.registered`.
        at: epoch seconds.
        identity: texts that are the same for every repeat of this event, and for no other event.
        detail: the other fields.
    """
    common = {
        "schema_version": SCHEMA_VERSION,
        "id": event_id(name, *identity),
        "time": datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return Event(name, at, {**common, **detail})


def pass_fields(pass_id: PassId, template: str) -> dict[str, object]:
    """Return the fields of an event about a pass."""
    return {
        "pass_id": str(pass_id),
        "pass_type_identifier": pass_id.pass_type_identifier,
        "serial_number": pass_id.serial_number,
        "template": template,
    }


def event_id(*parts: str) -> str:
    """Return the deduplication id of an event: the same for every repeat of the same event."""
    return hashlib.sha256("\n".join(parts).encode(errors="replace")).hexdigest()[:EVENT_ID_DIGITS]


def _encoded(detail: Mapping[str, object]) -> str:
    return json.dumps(detail, separators=(",", ":"))

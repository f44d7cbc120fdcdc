"""What happened to one pass, from the functions' structured logs: stamps, pushes, lists, downloads, registrations.

Lines that name the pass are looked for first. Pushes do not: one push to a phone tells of all that changed in a batch.
They are found by the change's id, the request id of the invocation that stamped it, which `found` ties to the devices
that hold the pass, and which travels with what goes through the queue (`changes`).
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from chalicelib.core.identifiers import PassId
from chalicelib.flows.send_pushes import MAX_LOGGED_DELIVERIES
from infra.stage import aws
from infra.stage.stage import Stage

WAKING = ("pushed", "pushes_sent", "push_impossible")
CHANGES_PER_QUERY = 7
"""So many fit into the 1024 characters of a filter pattern."""
MAX_PATTERN = 900
_PLAIN = re.compile(r"[A-Za-z0-9._/-]+")


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened.

    Args:
        at: when, epoch seconds.
        event: the log event.
        said: what it means, in a sentence.
        fields: the line's.
    """

    at: float
    event: str
    said: str
    fields: Mapping[str, object]


@dataclass(slots=True)
class _Told:
    """Whom a change of the pass was to be told to: how many devices, and those that lines name."""

    count: int = 0
    named: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _LoggedEvent:
    at: float
    fields: Mapping[str, Any]

    @property
    def event(self) -> str:
        return str(self.fields.get("event"))

    def changes(self) -> list[str]:
        """The ids of what the line is about."""
        return str(self.fields.get("changes") or self.fields.get("request_id") or "").split()


class History:
    """The logs of a deployed stage."""

    def __init__(self, stage: Stage) -> None:
        self._groups = {role: f"/aws/lambda/{name}" for role, name in stage.functions.items()}
        self._logs = aws.client("logs")

    def of(self, pass_id: PassId, *, since: float) -> list[Entry]:
        """What the logs know of a pass since a time (epoch seconds), in the order in which it happened."""
        named = [
            line
            for line in self._lines(self._groups.values(), phrases(str(pass_id)), since)
            if line.fields.get("pass_id") == str(pass_id) or str(pass_id) in _listed(line.fields.get("passes"))
        ]
        told = _told(named)
        pushes = list(self._pushes(pass_id, told, since=min((line.at for line in named), default=since)))
        lines = sorted([*named, *pushes], key=lambda line: line.at)
        return [Entry(line.at, line.event, _said(line), line.fields) for line in lines]

    def _pushes(self, pass_id: PassId, told: Mapping[str, _Told], *, since: float) -> Iterator[_LoggedEvent]:
        groups = [group for role, group in self._groups.items() if role in ("push", "push_worker")]
        ids = sorted(told)
        for start in range(0, len(ids), CHANGES_PER_QUERY):
            pattern = any_of(ids[start : start + CHANGES_PER_QUERY])
            due = {change: told[change] for change in ids[start : start + CHANGES_PER_QUERY]}
            for line in self._lines(groups, pattern, since):
                if line.event in WAKING and line.fields.get("pass_type_identifier") == pass_id.pass_type_identifier:
                    ours = [due[change] for change in line.changes() if change in due]
                    if ours and _concerns(line, ours):
                        yield line

    def _lines(self, groups: Iterable[str], pattern: str, since: float) -> Iterator[_LoggedEvent]:
        """The JSON lines that match; what the pattern lets through too much is for the caller to leave out."""
        pages = self._logs.get_paginator("filter_log_events")
        for group in groups:
            try:
                for page in pages.paginate(logGroupName=group, filterPattern=pattern, startTime=int(since * 1000)):
                    for event in page["events"]:
                        if (fields := _fields(event["message"])) is not None:
                            yield _LoggedEvent(event["timestamp"] / 1000, fields)
            except self._logs.exceptions.ResourceNotFoundException:
                continue  # a function that never ran has no log


def _told(lines: Iterable[_LoggedEvent]) -> dict[str, _Told]:
    """By change: whom it was to be told to. A phone that registers for a changed pass is told too."""
    told: dict[str, _Told] = defaultdict(_Told)
    for line in lines:
        if line.event not in ("devices_found", "registered"):
            continue
        devices = line.fields.get("shown") if line.event == "devices_found" else [line.fields.get("device")]
        for change in line.changes():
            told[change].count += int(line.fields.get("devices", 1))
            told[change].named.update(map(str, _listed(devices)))
    return told


def _concerns(line: _LoggedEvent, ours: list[_Told]) -> bool:
    """Whether a line of waking is about the pass: of a device that holds it, or of many that are only counted."""
    if line.event == "pushed":
        return any(line.fields.get("device") in told.named for told in ours)
    if line.event == "pushes_sent":
        return sum(_counts(line).values()) > MAX_LOGGED_DELIVERIES
    return True


def _counts(line: _LoggedEvent) -> dict[str, int]:
    outcomes = line.fields.get("outcomes")
    return {str(kind): int(count) for kind, count in outcomes.items()} if isinstance(outcomes, dict) else {}


def _said(line: _LoggedEvent) -> str:
    """The line in a sentence; of an event that has none here, its fields."""
    if (sentence := _SENTENCES.get(line.event)) is not None:
        return sentence(defaultdict(lambda: "?", {n: value for n, value in line.fields.items() if value is not None}))
    rest = (f"{name}={value}" for name, value in line.fields.items() if name not in ("event", "request_id", "pass_id"))
    return " ".join([line.event, *rest])


def _stamped(told: Mapping[str, Any]) -> str:
    if told["deleted"] is True:
        return "deleted by a pipeline"
    what = "issued" if told["revision"] == 1 else "changed"
    if told["reason"] != "?":
        what = "looked at again and stamped"
    at = datetime.fromtimestamp(int(told["modified_at"]), UTC)
    return f"{what}: revision {told['revision']}, Last-Modified {at:%Y-%m-%dT%H:%M:%SZ}"


def _found(told: Mapping[str, Any]) -> str:
    named = _listed(told["shown"])
    more = ", ..." if int(told["devices"]) > len(named) else ""
    return f"to be told: {_devices(told['devices'])} ({', '.join(map(str, named))}{more})"


def _pushed(told: Mapping[str, Any]) -> str:
    reason = " ".join(str(told[name]) for name in ("status", "reason") if told[name] != "?")
    match told["outcome"]:
        case "delivered":
            return f"APNs accepted the push to device {told['device']}, which is no word that it arrived"
        case "gone":
            return f"APNs says that device {told['device']} is gone ({reason})"
        case "configuration":
            return f"APNs refused our credential for device {told['device']} ({reason}); the push is kept"
    return f"the push to device {told['device']} is put off ({reason or 'no answer'}); it is tried again"


def _woken(told: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{count:,} {_OUTCOMES.get(kind, kind)}" for kind, count in told["outcomes"].items())
    return f"pushed to {_devices(told['devices'])} of this pass type at once: {counts}"


def _downloaded(told: Mapping[str, Any]) -> str:
    return f"downloaded, {told['bytes']} bytes" if told["modified"] is True else "asked for by a phone that has it"


_SENTENCES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "stamped": _stamped,
    "devices_found": _found,
    "pushed": _pushed,
    "pushes_sent": _woken,
    "push_impossible": lambda told: f"{_devices(told['devices'])} could not be pushed to: {told['error']}",
    "registered": lambda told: (
        f"device {told['device']} {'added the pass' if told['first_time'] is True else 'registered again'}"
    ),
    "unregistered": lambda told: f"device {told['device']} removed the pass",
    "device_removed": lambda told: f"device {told['device']} is forgotten: APNs says that it is gone",
    "listed": lambda told: f"device {told['device']} asked what changed: this pass, one of {told['named']}",
    "downloaded": _downloaded,
    "link_opened": lambda told: f"its link was opened, for the {told['asked_for']}",
    "personalized": lambda _: "a person signed up with it",
    "pass_item_refused": lambda told: f"refused, no phone is notified: {told['error']}",
    "record_unread": lambda told: f"a stream record could not be read ({told['error']}); the pass is looked at again",
    "pass_not_validated": lambda told: f"could not be validated ({told['error']}); the pass is looked at again",
    "recheck_requested": lambda _: "a download failed on our side; the pass is looked at again",
    "recheck_not_requested": lambda told: f"a download failed on our side, and nothing was noted: {told['error']}",
    "recheck_unnecessary": lambda _: "was to be looked at again, which others had done",
}
"""By log event."""
_OUTCOMES: Mapping[str, str] = {
    "delivered": "accepted by APNs, which is no word that they arrived",
    "gone": "gone",
    "configuration": "kept, our credential was refused",
    "later": "put off",
}


def _devices(count: object) -> str:
    return f"{count} device" if count == 1 else f"{count} devices"


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _fields(message: str) -> dict[str, Any] | None:
    try:
        content = json.loads(message)
    except ValueError:
        return None
    return content if isinstance(content, dict) and "event" in content else None


def phrases(text: str) -> str:
    """A filter for lines that hold a text, of what of it stands in JSON as it is (AWS, "Filter pattern syntax")."""
    chosen: list[str] = []
    room = MAX_PATTERN
    for phrase in _PLAIN.findall(text):
        chosen.append(f'"{phrase[:room]}"')
        room -= len(phrase) + len('"" ')
        if room <= 0:
            break
    return " ".join(chosen)


def any_of(changes: Iterable[str]) -> str:
    """A filter for lines of these changes: by the invocation's own id, or among those that orders brought."""
    either = (f'($.request_id = "{change}") || ($.changes = "*{change}*")' for change in changes)
    return f"{{ {' || '.join(either)} }}"

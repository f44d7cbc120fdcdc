"""The history of one pass, read from the functions' logs: stamps, pushes, lists, downloads and registrations.

Log lines that name the pass are searched first. Lines about pushes do not name passes, since one push to a phone covers
all changes of a batch. They are found by the id of a change, which is the request id of the invocation that stamped it:
the event `devices_found` relates that id to the devices that have the pass, and push tasks carry it through the queue
(`changes`).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from chalicelib.core.identifiers import PassId
from chalicelib.flows.send_pushes import MAX_LOGGED_DELIVERIES
from infra.operate.log_lines import event_fields
from infra.operate.logs import names_pass, phrases, reading_client
from infra.stage.stage import Stage

PUSH_EVENTS = ("pushed", "pushes_sent", "push_impossible")
CHANGES_PER_QUERY = 7
"""Number of ids that fit into the 1024 characters of a filter pattern (AWS, "FilterLogEvents")."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One event in the history of a pass.

    Args:
        at: when it happened, epoch seconds.
        event: name of the log event.
        description: what happened, in a sentence.
        fields: the fields of the log line.
    """

    at: float
    event: str
    description: str
    fields: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class _LoggedEvent:
    at: float
    fields: Mapping[str, Any]

    @property
    def event(self) -> str:
        return str(self.fields.get("event"))

    def changes(self) -> list[str]:
        """Return the ids of the changes that the line is about."""
        return str(self.fields.get("changes") or self.fields.get("request_id") or "").split()


class History:
    """Reads the history of passes from the logs of a deployed stage.

    Args:
        stage: the stage.
    """

    def __init__(self, stage: Stage) -> None:
        self._groups = {role: f"/aws/lambda/{name}" for role, name in stage.functions.items()}
        self._logs = reading_client()

    def of(self, pass_id: PassId, *, since: float) -> list[Entry]:
        """Return the events of a pass.

        Args:
            pass_id: the pass.
            since: start of the period, epoch seconds.

        Returns:
            The events in the order in which they happened.
        """
        named = [
            line
            for line in self._lines(self._groups.values(), phrases(str(pass_id)), since)
            if names_pass(line.fields, pass_id)
        ]
        devices = _devices_by_change(named)
        pushes = list(self._pushes(pass_id, devices, since=min((line.at for line in named), default=since)))
        lines = sorted([*named, *pushes], key=lambda line: line.at)
        return [Entry(line.at, line.event, describe(line.fields), line.fields) for line in lines]

    def _pushes(self, pass_id: PassId, devices: Mapping[str, set[str]], *, since: float) -> Iterator[_LoggedEvent]:
        groups = [group for role, group in self._groups.items() if role in ("push", "push_worker")]
        ids = sorted(devices)
        for start in range(0, len(ids), CHANGES_PER_QUERY):
            chunk = ids[start : start + CHANGES_PER_QUERY]
            for line in self._lines(groups, any_of(chunk), since):
                if (
                    line.event in PUSH_EVENTS
                    and line.fields.get("pass_type_identifier") == pass_id.pass_type_identifier
                ):
                    changes = [change for change in line.changes() if change in chunk]
                    if changes and _is_about(line, [devices[change] for change in changes]):
                        yield line

    def _lines(self, groups: Iterable[str], pattern: str, since: float) -> Iterator[_LoggedEvent]:
        """Yield the JSON lines that match a filter pattern, which may match more than the caller needs."""
        pages = self._logs.get_paginator("filter_log_events")
        for group in groups:
            try:
                for page in pages.paginate(logGroupName=group, filterPattern=pattern, startTime=int(since * 1000)):
                    for event in page["events"]:
                        if (fields := event_fields(event["message"])) is not None:
                            yield _LoggedEvent(event["timestamp"] / 1000, fields)
            except self._logs.exceptions.ResourceNotFoundException:
                continue  # a function that never ran has no log group


def _devices_by_change(lines: Iterable[_LoggedEvent]) -> dict[str, set[str]]:
    """Return the devices to notify of each change, as far as lines name them.

    A phone that registers for a pass that has changed meanwhile is notified too.
    """
    devices: dict[str, set[str]] = defaultdict(set)
    for line in lines:
        if line.event not in ("devices_found", "registered"):
            continue
        found = line.fields.get("shown") if line.event == "devices_found" else [line.fields.get("device")]
        for change in line.changes():
            devices[change].update(map(str, _as_list(found)))
    return devices


def _is_about(line: _LoggedEvent, devices: list[set[str]]) -> bool:
    """Return True if a line about a push names one of these devices, or only counts devices."""
    if line.event == "pushed":
        return any(line.fields.get("device") in named for named in devices)
    if line.event == "pushes_sent":
        return sum(_counts(line).values()) > MAX_LOGGED_DELIVERIES
    return True


def _counts(line: _LoggedEvent) -> dict[str, int]:
    outcomes = line.fields.get("outcomes")
    return {str(kind): int(count) for kind, count in outcomes.items()} if isinstance(outcomes, dict) else {}


def describe(fields: Mapping[str, Any]) -> str:
    """Describe an event of a pass in a sentence.

    Args:
        fields: the fields of a log line, with `event`. Of missing fields, the sentence says `?`.

    Returns:
        A sentence; for an event without one, its name and fields.
    """
    event = str(fields.get("event"))
    if (sentence := _SENTENCES.get(event)) is not None:
        return sentence(defaultdict(lambda: "?", {name: value for name, value in fields.items() if value is not None}))
    rest = (f"{name}={value}" for name, value in fields.items() if name not in ("event", "request_id", "pass_id"))
    return " ".join([event, *rest])


def _stamped(fields: Mapping[str, Any]) -> str:
    if fields["deleted"] is True:
        return "deleted by a pipeline"
    action = "issued" if fields["revision"] == 1 else "changed"
    if fields["reason"] != "?":
        action = "rechecked and stamped"
    at = datetime.fromtimestamp(int(fields["modified_at"]), UTC)
    return f"{action}: revision {fields['revision']}, Last-Modified {at:%Y-%m-%dT%H:%M:%SZ}"


def _found(fields: Mapping[str, Any]) -> str:
    named = _as_list(fields["shown"])
    more = ", ..." if int(fields["devices"]) > len(named) else ""
    return f"{_devices(fields['devices'])} to notify ({', '.join(map(str, named))}{more})"


def _pushed(fields: Mapping[str, Any]) -> str:
    reason = " ".join(str(fields[name]) for name in ("status", "reason") if fields[name] != "?")
    match fields["outcome"]:
        case "delivered":
            return f"APNs accepted the push to device {fields['device']}; acceptance does not mean delivery"
        case "unregistered":
            return f"APNs reported device {fields['device']} as unregistered ({reason})"
        case "configuration":
            return f"APNs refused the credentials for device {fields['device']} ({reason}); the push is kept"
    return f"the push to device {fields['device']} was deferred ({reason or 'no answer'}) and will be repeated"


def _pushes_sent(fields: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{count:,} {_OUTCOMES.get(kind, kind)}" for kind, count in fields["outcomes"].items())
    return f"pushed to {_devices(fields['devices'])} of this pass type at once: {counts}"


def _downloaded(fields: Mapping[str, Any]) -> str:
    if fields["caller"] == "doctor":
        return f"downloaded by `doctor`, not by a phone, {fields['bytes']} bytes"
    return f"downloaded, {fields['bytes']} bytes" if fields["modified"] is True else "requested by a phone that has it"


_SENTENCES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "stamped": _stamped,
    "devices_found": _found,
    "pushed": _pushed,
    "pushes_sent": _pushes_sent,
    "push_impossible": lambda fields: f"{_devices(fields['devices'])} could not be pushed to: {fields['error']}",
    "registered": lambda fields: (
        f"device {fields['device']} {'added the pass' if fields['first_time'] is True else 'registered again'}"
    ),
    "unregistered": lambda fields: f"device {fields['device']} removed the pass",
    "device_removed": lambda fields: f"device {fields['device']} was deleted: APNs reported it as unregistered",
    "listed": lambda fields: (
        f"device {fields['device']} requested the list of changed passes: this pass is one of {fields['named']}"
    ),
    "downloaded": _downloaded,
    "link_opened": lambda fields: f"its download link was opened, for the {fields['asked_for']}",
    "personalized": lambda _: "a person signed up with it",
    "pass_item_refused": lambda fields: f"invalid item, no phone is notified: {fields['error']}",
    "record_unread": lambda fields: f"a stream record is unreadable ({fields['error']}); the pass will be rechecked",
    "pass_not_validated": lambda fields: f"could not be validated ({fields['error']}); the pass will be rechecked",
    "recheck_requested": lambda _: "a download failed on the server; the pass will be rechecked",
    "recheck_not_requested": lambda fields: (
        f"a download failed on the server, and no recheck could be requested: {fields['error']}"
    ),
    "recheck_unnecessary": lambda _: "a recheck found nothing to do",
}
"""Sentences by log event."""
_OUTCOMES: Mapping[str, str] = {
    "delivered": "accepted by APNs, which does not mean delivered",
    "configuration": "kept because APNs refused the credentials",
    "later": "deferred",
}


def _devices(count: object) -> str:
    return f"{count} device" if count == 1 else f"{count} devices"


def _as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def any_of(changes: Iterable[str]) -> str:
    """Return a filter pattern for lines about any of these changes, by request id or by the ids in push tasks."""
    either = (f'($.request_id = "{change}") || ($.changes = "*{change}*")' for change in changes)
    return f"{{ {' || '.join(either)} }}"

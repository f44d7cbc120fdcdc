"""Traces pushes back to the changes that they announce, by the log lines of the functions."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chalicelib.core.identifiers import PassId
from chalicelib.flows.send_pushes import MAX_LOGGED_DELIVERIES
from chalicelib.telemetry import log
from infra.operate.logs import LogFilter, read_logs
from infra.stage.stage import Stage
from tests.soak.ledger import Arrival

NEAR_SECONDS = 20.0
"""The longest time between a push and its log line, which is written when its invocation ends."""
NAMED = 3
CHANGES = ("stamped", "registered")
"""Events of changes that are announced by a push: a stamp, and a registration of a pass that changed before."""


@dataclass(frozen=True, slots=True)
class Traced:
    """A push with what it announces.

    Args:
        arrival: at its phone.
        since: epoch seconds of what it must not announce anything before.
        sent: the log line of the push; None if no function has logged it.
        announced: log lines of the changes.
    """

    arrival: Arrival
    since: float
    sent: Mapping[str, Any] | None
    announced: Sequence[Mapping[str, Any]]

    @property
    def earlier(self) -> bool:
        """True if all that it announces happened before `since`; False also if nothing is known of it."""
        return bool(self.announced) and all(_happened_at(line) < self.since for line in self.announced)

    def __str__(self) -> str:
        device = self.arrival.phone.device_library_identifier[:6]
        arrived = f"phone {device}, {self.arrival.at - self.since:+.1f} s"
        if self.sent is None:
            return f"{arrived}: no function logged this push"
        by = f"{self.sent['function']} at {self.sent['at'] - self.since:+.1f} s"
        what = "; ".join(self._announces(line) for line in self.announced[:NAMED]) or "no change is logged for it"
        return f"{arrived}: {by} for {', '.join(_changes(self.sent))}: {what}"

    def _announces(self, line: Mapping[str, Any]) -> str:
        serial_number = PassId.parse(line["pass_id"]).serial_number
        reason = f" because of {line['reason']}" if "reason" in line else ""
        return (
            f"{line['event']} {serial_number}{reason} at {line['at'] - self.since:+.1f} s, "
            f"version {line.get('modified_at')} revision {line.get('revision')}, "
            f"written at {_happened_at(line) - self.since:+.1f} s"
        )


def traced(stage: Stage, arrivals: Sequence[Arrival], *, since: float, logged_since: float) -> list[Traced]:
    """Trace pushes to the changes that they announce.

    Args:
        stage: whose functions sent them.
        arrivals: the pushes.
        since: epoch seconds before which everything that they announce counts as earlier.
        logged_since: epoch seconds of the first log line that can belong to them.
    """
    if not arrivals:
        return []
    log.set_hash_key(stage.settings.log_key)
    wanted = LogFilter(events=("pushed", "pushes_sent", *CHANGES))
    lines = [
        {**json.loads(line.text), "at": line.at / 1000, "function": line.function}
        for line in read_logs(stage, since=int(logged_since * 1000), follow=False, wanted=wanted)
    ]
    return [trace(arrival, since, lines) for arrival in arrivals]


def trace(arrival: Arrival, since: float, lines: Sequence[Mapping[str, Any]]) -> Traced:
    """Find what a push announces.

    Args:
        arrival: of the push.
        since: as in `Traced`.
        lines: log lines with `at` (epoch seconds) and `function`.
    """
    device = log.hash_secret(arrival.phone.device_library_identifier)
    near = [line for line in lines if abs(line["at"] - arrival.at) < NEAR_SECONDS]
    own = [line for line in near if line["event"] == "pushed" and line["device"] == device]
    others = [line for line in near if line["event"] == "pushes_sent" and line["devices"] > MAX_LOGGED_DELIVERIES]
    sent = min(own or others, key=lambda line: abs(line["at"] - arrival.at), default=None)
    if sent is None:
        return Traced(arrival, since, None, ())
    changes = _changes(sent)
    announced = [
        line
        for line in lines
        if line["event"] in CHANGES and (line.get("request_id") in changes or changes & set(_named(line)))
    ]
    return Traced(arrival, since, sent, announced)


def _changes(sent: Mapping[str, Any]) -> set[str]:
    """Return the changes that a push announces: requests in which passes were stamped, by default its own."""
    return set(_named(sent)) or {str(sent.get("request_id"))}


def _named(line: Mapping[str, Any]) -> list[str]:
    return str(line.get("changes") or "").split()


def _happened_at(line: Mapping[str, Any]) -> float:
    return float(line.get("written_at") or line["at"])

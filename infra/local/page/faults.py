"""The switches of the page for faults of the APNs stand-in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Switch:
    """A fault.

    Args:
        name: of the switch.
        title: for people.
        effect: what the service does then.
        faults: what it sets, as in `PUT /faults`.
    """

    name: str
    title: str
    effect: str
    faults: Mapping[str, Any]

    def is_on(self, current: Mapping[str, Any]) -> bool:
        """Return whether the current faults contain those of the switch."""
        return all(_contains(current.get(name), value) for name, value in self.faults.items())


SWITCHES = (
    Switch("down", "Down", "Connections are reset. Pushes wait in the queue.", {"down": True}),
    Switch("silent", "Silent", "Nothing is answered, as if the host were cut off.", {"black_hole": True}),
    Switch("slow", "Slow", "Every answer takes two seconds.", {"latency_ms": 2000}),
    Switch(
        "unavailable",
        "503",
        "Every push is answered with ServiceUnavailable, and tried again.",
        {"answer": {"status": 503, "reason": "ServiceUnavailable"}},
    ),
    Switch(
        "throttled",
        "429",
        "Every push is answered with TooManyRequests, and tried again.",
        {"answer": {"status": 429, "reason": "TooManyRequests"}},
    ),
    Switch("goaway", "Goaway", "A connection is closed after each push.", {"goaway_after": 1}),
)


class StandInFaults:
    """Reads and sets the faults of the stand-in, whose other faults stay as they are.

    Args:
        control_url: of the stand-in.
    """

    def __init__(self, control_url: str) -> None:
        self._control = httpx.Client(base_url=control_url, timeout=TIMEOUT_SECONDS, trust_env=False)

    def current(self) -> dict[str, Any]:
        """The current faults, by name.

        Raises:
            httpx.HTTPError: the stand-in does not answer.
        """
        faults: dict[str, Any] = self._control.get("/faults").raise_for_status().json()
        return faults

    def turn(self, name: str, *, on: bool) -> Switch:
        """Turn a switch on or off.

        Raises:
            KeyError: there is no such switch.
            httpx.HTTPError: the stand-in does not answer.
        """
        switch = {switch.name: switch for switch in SWITCHES}[name]
        faults = {key: value for key, value in self.current().items() if key not in switch.faults}
        if on:
            faults.update(switch.faults)
        self._control.put("/faults", json=faults).raise_for_status()
        return switch


def _contains(current: object, wanted: object) -> bool:
    if isinstance(wanted, Mapping):
        return isinstance(current, Mapping) and all(current.get(name) == value for name, value in wanted.items())
    return current == wanted

"""Waits for effects that come some time after an action, and reads the pushes that arrived."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

import httpx
import pytest

from infra.local.phone import Phone

PATIENCE_SECONDS = 30.0
T = TypeVar("T")


class Apns:
    """The APNs stand-in of the local run, by its control endpoint."""

    def __init__(self, control_url: str) -> None:
        self._control = httpx.Client(base_url=control_url)

    def pushes_to(self, phone: Phone) -> list[dict[str, Any]]:
        return [push for push in self._control.get("/pushes").json() if push["token"] == phone.push_token]

    def answers(self, phone: Phone, **answer: object) -> None:
        self._control.put(f"/tokens/{phone.push_token}", json=answer).raise_for_status()

    def is_well_again(self, phone: Phone) -> None:
        self._control.delete(f"/tokens/{phone.push_token}").raise_for_status()


def eventually(condition: Callable[[], T], what: str) -> T:
    """Wait until a condition returns a true value, and return that; `what` describes it in the error."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        if result := condition():
            return result
        time.sleep(0.05)
    pytest.fail(f"{what} did not happen within {PATIENCE_SECONDS} s")

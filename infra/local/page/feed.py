"""Brings the pushes that the APNs stand-in receives to the phones."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx

RETRY_SECONDS = 0.5
WAIT_SECONDS = 20
EVERY_PUSH = 1 << 62
"""More than can arrive: the answer tells the number of pushes so far, and none of them."""
TIMEOUT_SECONDS = 30.0


class PushFeed:
    """Reads the feed of the stand-in on a thread of its own, until the process ends.

    Args:
        control_url: of the stand-in.
        on_push: called with each push, as `GET /pushes` describes it.
    """

    def __init__(self, control_url: str, on_push: Callable[[Mapping[str, Any]], None]) -> None:
        self._control_url = control_url
        self._on_push = on_push

    def start(self) -> None:
        """Deliver pushes that arrive from now on."""
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        after = None
        with httpx.Client(base_url=self._control_url, timeout=TIMEOUT_SECONDS, trust_env=False) as control:
            while True:
                query = {"after": EVERY_PUSH, "wait": 0} if after is None else {"after": after, "wait": WAIT_SECONDS}
                try:
                    answer = control.get("/pushes", params=query).raise_for_status().json()
                except httpx.HTTPError:
                    time.sleep(RETRY_SECONDS)
                    continue
                after = answer["next"]
                for push in answer["pushes"]:
                    self._on_push(push)

"""Brings the messages of all `POST /v1/log` that the service received, from its log, to the timeline."""

import json
import threading
import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infra.core.terminal import printable
from infra.operate.logs import LogFilter, read_logs
from infra.stage.stage import Stage

MESSAGE, CUT = "device_log", "device_log_cut"
SHOWN_CHARACTERS = 400
RETRY_SECONDS = 2.0


class DeviceLogFeed:
    """Follows the log of the API function on a thread of its own, until the process ends.

    Args:
        stage: of the local run.
        on_message: called with each message, as the page shows it.
    """

    def __init__(self, stage: Stage, on_message: Callable[[str], None]) -> None:
        self._stage = stage
        self._on_message = on_message

    def start(self) -> None:
        """Show messages that arrive from now on."""
        threading.Thread(target=self._run, args=(int(time.time() * 1000),), daemon=True).start()

    def _run(self, since: int) -> None:
        wanted = LogFilter(functions=("api",), events=(MESSAGE, CUT))
        while True:
            try:
                for line in read_logs(self._stage, since=since, follow=True, wanted=wanted):
                    since = line.at + 1
                    self._on_message(describe_message(json.loads(line.text)))
            except (BotoCoreError, ClientError):
                time.sleep(RETRY_SECONDS)


def describe_message(fields: dict[str, Any]) -> str:
    """Return what a device reported as one printable line of limited length.

    Args:
        fields: of an event `device_log` or `device_log_cut`.
    """
    if fields["event"] == CUT:
        return f"left out {fields['left_out']} more messages of this request"
    message = str(fields["message"])
    shown = printable(message[:SHOWN_CHARACTERS])
    if len(message) > SHOWN_CHARACTERS:
        return f"received: {shown}... ({len(message):,} characters)"
    return f"received: {shown}"

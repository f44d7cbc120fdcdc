"""Starts and stops the process of the page."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from infra.local.processes import LOOPBACK, PROJECT

PHONES_FILE = "phones.json"


@dataclass(frozen=True, slots=True)
class Page:
    """A running page. It ends with `stop`, or when the process that started it ends, even by a signal.

    Args:
        url: without a slash at its end.
    """

    url: str
    _process: "subprocess.Popen[str]" = field(repr=False)

    @classmethod
    def start(cls, description: Mapping[str, Any], *, folder: Path, port: int) -> Self:
        """Start the process and wait until it listens.

        Args:
            description: of the local run, as in `local.json`.
            folder: for the phones and the log.
            port: to listen on.

        Raises:
            RuntimeError: it did not start; the message names its log.
        """
        log = folder / "page.log"
        with log.open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "infra.local.page", "--port", str(port), "--folder", str(folder.resolve())],
                stdin=subprocess.PIPE,  # closed by the kernel when this process ends
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=PROJECT,
                start_new_session=True,  # Ctrl-C interrupts this process only, which then stops the other
            )
        if process.stdin is not None and process.stdout is not None:
            process.stdin.write(json.dumps(description) + "\n")
            process.stdin.flush()
            if process.stdout.readline().strip() == "ready":
                return cls(f"http://{LOOPBACK}:{port}", process)
        process.kill()
        process.wait()
        raise RuntimeError(f"the page did not start; see its log {log}")

    def stop(self) -> None:
        """Stop the process and wait for its end."""
        self._process.terminate()
        self._process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

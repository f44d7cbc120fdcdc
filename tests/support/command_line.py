"""Runs commands of the command line: as another program does, or in this process."""

import io
import os
import pty
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any
from unittest.mock import patch

import psutil

from infra.commands import main
from infra.local.processes import PROJECT

COMMAND = [sys.executable, "-m", "infra"]


def infra(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, without a terminal."""
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def run_here(*arguments: str) -> int:
    """Run a command in this process, which saves the start of another one; returns its exit code."""
    with patch("sys.argv", ["passwire", *arguments]):
        try:
            return main()
        except SystemExit as ended:
            return int(ended.code or 0)


def interrupt(process: subprocess.Popen[Any]) -> None:
    """Send Ctrl-C to a process that waits for an answer, again and again until it ends.

    Python misses a signal that comes between its last check and the read that then waits.
    """
    until = time.monotonic() + 60
    while process.poll() is None:
        assert time.monotonic() < until
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)


class Keyboard(io.StringIO):
    """Standard input at a terminal."""

    def isatty(self) -> bool:
        return True


class AtTerminal:
    """Runs a command at a terminal, where it asks questions."""

    def __init__(self, *arguments: str) -> None:
        self._terminal, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [*COMMAND, *arguments], cwd=PROJECT, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        self.shown = ""

    def until(self, text: str) -> None:
        """Read until it shows a text.

        Raises:
            AssertionError: it ended before it showed the text.
        """
        while text not in self.shown:
            try:
                self.shown += os.read(self._terminal, 4096).decode(errors="replace")
            except OSError:
                raise AssertionError(f"it ended without {text!r}: {self.shown}") from None

    def types(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def interrupts(self) -> None:
        """Send Ctrl-C once it waits for an answer."""
        until = time.monotonic() + 60
        while psutil.Process(self.process.pid).status() != psutil.STATUS_SLEEPING:
            assert time.monotonic() < until
            time.sleep(0.05)
        interrupt(self.process)

    def ends(self) -> int:
        """Wait for the end; returns the exit code."""
        try:
            while piece := os.read(self._terminal, 4096):
                self.shown += piece.decode(errors="replace")
        except OSError:  # Linux: the other side is closed
            pass
        os.close(self._terminal)
        return self.process.wait(60)

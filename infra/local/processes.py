"""Child processes of the local run, which end when the process that started them ends, even by a signal."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

PROJECT = Path(__file__).parents[2]
LOOPBACK = "127.0.0.1"
STOP_TIMEOUT_SECONDS = 30.0
_PR_SET_PDEATHSIG = 1
_TETHER = "from infra.local.processes import tether; tether()"


def start_tethered(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    cwd: Path = PROJECT,
    stdout: int | IO[bytes] = subprocess.DEVNULL,
    stderr: int | IO[bytes] | None = None,
) -> "subprocess.Popen[bytes]":
    """Start a command in a process group of its own that the kernel ends when this process ends.

    A Python process asks the kernel for that and then becomes the command (`tether`).
    """
    return subprocess.Popen(
        [sys.executable, "-c", _TETHER, str(os.getpid()), str(cwd), *command],
        cwd=PROJECT,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
    )


def tether() -> None:
    """Become a command that ends with its parent. Runs in the child: `python -c ... PARENT CWD COMMAND...`."""
    parent, cwd, *command = sys.argv[1:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):  # the parent ended before the request to the kernel
        sys.exit(0)
    os.chdir(cwd)
    os.execvp(command[0], command)  # noqa: S606 - the process becomes the command


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Stop a process and its process group, and wait for its end."""
    for sent in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sent)
        except ProcessLookupError:
            break
        try:
            process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def free_port() -> int:
    """Find a free port of the loopback interface."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def port_is_free(port: int) -> bool:
    """Return true if a process could listen on this port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True

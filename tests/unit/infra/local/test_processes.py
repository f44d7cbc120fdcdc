"""Tests of child processes: they end with their parent, however that ends, and `stop` ends their children too."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from infra.local.processes import LOOPBACK, PROJECT, free_port, port_is_free, start_tethered, stop
from tests.support.eventually import eventually

PARENT = """
import sys, time
from infra.local.processes import start_tethered
print(start_tethered(["sleep", "600"]).pid, flush=True)
time.sleep(600)
"""


def has_ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.skipif(sys.platform != "linux", reason="Linux ends the children of a killed process if asked to")
def test_child_ends_when_its_parent_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], cwd=PROJECT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        eventually(lambda: psutil.Process(child).name() == "sleep", "the child becoming its command")
        assert not has_ended(child)
        parent.send_signal(signal.SIGKILL)
        eventually(lambda: has_ended(child), "the end of the child")


def test_stop_ends_the_process_and_its_children(tmp_path: Path) -> None:
    output = tmp_path / "pid"
    with output.open("wb") as written:
        process = start_tethered(["sh", "-c", "sleep 600 & echo $!; wait"], stdout=written)
        eventually(lambda: output.read_text().endswith("\n"), "the start of the grandchild")
    stop(process)
    assert process.returncode is not None
    eventually(lambda: has_ended(int(output.read_text())), "the end of the grandchild")
    stop(process)  # a process that has ended


def test_command_gets_its_environment_and_folder(tmp_path: Path) -> None:
    output = tmp_path / "shown"
    with output.open("wb") as written:
        process = start_tethered(
            ["sh", "-c", "pwd; echo $COLOR"], environment={"COLOR": "red"}, cwd=tmp_path, stdout=written
        )
    assert process.wait(60) == 0
    assert output.read_text().split() == [os.path.realpath(tmp_path), "red"]


def test_port_is_free_until_a_process_listens() -> None:
    port = free_port()
    assert port_is_free(port)
    with socket.create_server((LOOPBACK, port)):
        assert not port_is_free(port)

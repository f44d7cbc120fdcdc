"""The pytest plugin that finds secrets in what a run writes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]
TEST = """
import secrets
import pytest
from chalicelib.core.authentication import AuthenticationKey
from chalicelib.core.errors import RefusedError
from chalicelib.core.identifiers import AuthenticationToken, DeviceLibraryIdentifier, PassId, PushToken
from chalicelib.telemetry import log
from infra.local.phone import Phone

def test_it(capsys):
    {code}
"""
PLANTED = {
    "log line": "log.event('x', message=PushToken(secrets.token_hex(32)).value)",
    "error": "RefusedError(f'device {DeviceLibraryIdentifier(secrets.token_hex(16)).value} failed')",
    "output that a test reads": "print(AuthenticationToken(secrets.token_hex(9)).value); capsys.readouterr()",
    "phone": "print(Phone().push_token)",
    "beginning of a secret": "print(PushToken(secrets.token_hex(32)).value[:20])",
    "derived token": "print('x\\\\n' + AuthenticationKey('1', secrets.token_bytes(32)).derive(PassId('p', '1')).value)",
    "part of a path": "print('/devices/' + DeviceLibraryIdentifier(secrets.token_hex(16)).value + '%2Fx')",
}
HIDDEN = {
    "hash": "log.event('x', device=DeviceLibraryIdentifier(secrets.token_hex(16)))",
    "other text": "PushToken(secrets.token_hex(32)); print(secrets.token_hex(32))",
    "simple text": "print(PushToken('a' * 64).value)",
}


def run(folder: Path, code: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a test in a pytest of its own, with the plugin and without this project's conftest.py."""
    file = folder / "test_it.py"
    file.write_text(TEST.format(code=code))
    command = [sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", "--rootdir", str(folder), str(file)]
    command += ["-p", "tests.support.leaks", "-p", "no:cacheprovider", *options]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("code", PLANTED.values(), ids=PLANTED)
def test_secret_that_is_written_fails_the_run(tmp_path: Path, code: str) -> None:
    finished = run(tmp_path, code)
    assert finished.returncode == pytest.ExitCode.TESTS_FAILED, finished.stdout
    assert "no_secret_is_written" in finished.stdout
    assert "test_it" in finished.stdout


@pytest.mark.parametrize("code", HIDDEN.values(), ids=HIDDEN)
def test_run_that_writes_no_secret_succeeds(tmp_path: Path, code: str) -> None:
    finished = run(tmp_path, code)
    assert finished.returncode == pytest.ExitCode.OK, finished.stdout


def test_parallel_run_fails_as_well(tmp_path: Path) -> None:
    finished = run(tmp_path, PLANTED["phone"], "-p", "xdist", "--numprocesses", "1")
    assert finished.returncode == pytest.ExitCode.TESTS_FAILED, finished.stdout
    assert "push token of a phone is written by" in finished.stdout

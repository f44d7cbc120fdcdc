"""The pytest plugin that finds secrets in what a run writes."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
IMPORTS = """
import secrets
from chalicelib.core.authentication import AuthenticationKey
from chalicelib.core.errors import RefusedError
from chalicelib.core.identifiers import AuthenticationToken, DeviceLibraryIdentifier, PassId, PushToken
from chalicelib.telemetry import log
from infra.local.phone import Phone
"""
PLANTED = {
    "log_line": "log.event('x', message=PushToken(secrets.token_hex(32)).value)",
    "error": "RefusedError(f'device {DeviceLibraryIdentifier(secrets.token_hex(16)).value} failed')",
    "output_that_the_test_reads": "print(AuthenticationToken(secrets.token_hex(9)).value); capsys.readouterr()",
    "phone": "print(Phone().push_token)",
    "beginning_of_a_secret": "print(PushToken(secrets.token_hex(32)).value[:20])",
    "derived_token": "print('x\\\\n' + AuthenticationKey('1', secrets.token_bytes(32)).derive(PassId('p', '1')).value)",
    "part_of_a_path": "print('/devices/' + DeviceLibraryIdentifier(secrets.token_hex(16)).value + '%2Fx')",
}
HIDDEN = {
    "hash": "log.event('x', device=DeviceLibraryIdentifier(secrets.token_hex(16)))",
    "other_text": "PushToken(secrets.token_hex(32)); print(secrets.token_hex(32))",
    "simple_text": "print(PushToken('a' * 64).value)",
    "words": "print(PushToken('PersonalizeThrottleRate').value)",
}


def run(folder: Path, tests: Mapping[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    """Run tests in a pytest of its own, with the plugin and without this project's conftest.py."""
    file = folder / "test_it.py"
    file.write_text(IMPORTS + "".join(f"def test_{name}(capsys):\n    {code}\n" for name, code in tests.items()))
    command = [sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", "--rootdir", str(folder), str(file)]
    command += ["-p", "tests.support.leaks", "-p", "no:cacheprovider", *options]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("options", [(), ("-p", "xdist", "--numprocesses", "1")], ids=["one process", "xdist"])
def test_secret_that_is_written_fails_the_run(tmp_path: Path, options: tuple[str, ...]) -> None:
    finished = run(tmp_path, PLANTED, *options)
    assert finished.returncode == pytest.ExitCode.TESTS_FAILED, finished.stdout
    assert f"1 failed, {len(PLANTED)} passed" in finished.stdout
    assert "no_secret_is_written" in finished.stdout
    assert [name for name in PLANTED if f"::test_{name}" not in finished.stdout] == []


def test_run_that_writes_no_secret_succeeds(tmp_path: Path) -> None:
    finished = run(tmp_path, HIDDEN)
    assert finished.returncode == pytest.ExitCode.OK, finished.stdout

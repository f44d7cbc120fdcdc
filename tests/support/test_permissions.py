"""The pytest plugin that compares the IAM actions that were used with the policies."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
TEST = """
import botocore.session
import contextlib
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from tests.support.permissions import acting_as

@pytest.mark.parametrize("number", [1, 2, 3])
def test_call(number):
    client = botocore.session.Session().create_client(
        "dynamodb", "eu-central-1", endpoint_url="http://127.0.0.1:9", aws_access_key_id="x", aws_secret_access_key="x",
        config=Config(retries={{"total_max_attempts": 1}}))
    with acting_as("{function}"), contextlib.suppress(BotoCoreError):
        client.{operation}(TableName="passwire-dev-passes", Key={{"pass_id": {{"S": "x"}}}})
"""


def run(folder: Path, test: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a test file in a pytest of its own, with the plugin and without this project's conftest.py."""
    file = folder / "test_it.py"
    file.write_text(test)
    command = [sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", "--rootdir", str(folder), str(file)]
    command += ["-p", "tests.support.permissions", "-p", "no:cacheprovider", *options]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)


def test_parallel_run_fails_when_a_function_used_an_action_that_its_policy_lacks(tmp_path: Path) -> None:
    finished = run(
        tmp_path, TEST.format(function="api_handler", operation="delete_item"), "-p", "xdist", "--numprocesses", "1"
    )
    assert finished.returncode == pytest.ExitCode.TESTS_FAILED, finished.stdout
    assert "1 failed, 3 passed" in finished.stdout
    assert "api_handler used dynamodb:DeleteItem on PassesTable" in finished.stdout


def test_run_reports_one_more_success_when_the_policies_suffice(tmp_path: Path) -> None:
    finished = run(tmp_path, TEST.format(function="api_handler", operation="get_item"))
    assert finished.returncode == pytest.ExitCode.OK, finished.stdout
    assert "4 passed" in finished.stdout


def test_run_without_calls_of_a_function_reports_nothing(tmp_path: Path) -> None:
    finished = run(tmp_path, "def test_nothing():\n    pass\n")
    assert finished.returncode == pytest.ExitCode.OK, finished.stdout
    assert "1 passed" in finished.stdout

"""Finds secrets in logs, errors and output. A pytest plugin.

It remembers every secret that the suite uses: device library identifiers, push tokens, authentication tokens and keys,
and, with a local run, the content of its tables, its secrets and its private keys. And it collects what is written: the
captured output of every test, the output of the command line, the message of every error, and the logs of the deployed
functions. At the end of a run one more result is reported, `NO_SECRET_IS_WRITTEN`, which fails if a secret was written.
It never shows a secret, only its kind and where it was found.

Texts are compared by words of at least `MIN_LENGTH` characters. A word counts as the secret if their first
`MIN_LENGTH` characters are equal, so that a secret that was cut off is found, too.
"""

import os
import re
import subprocess
from base64 import b64encode
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import boto3
import hypothesis
import pytest
import typer.testing

from chalicelib.core.authentication import AuthenticationKey
from chalicelib.core.errors import PasswireError
from chalicelib.core.identifiers import AuthenticationToken, DeviceLibraryIdentifier, PushToken
from infra.local.phone import InstalledPass, Phone
from infra.local.run import LocalRun

NO_SECRET_IS_WRITTEN = "tests/support/leaks.py::no_secret_is_written"
MIN_LENGTH = 16
MIN_DIFFERENT = 7
"""A shorter or simpler text, such as 64 times `a`, or one without a digit is also found in other places."""
_WORD = re.compile(rf"[A-Za-z0-9_-]{{{MIN_LENGTH},}}")
_SEPARATORS = re.compile(r"%[0-9A-Fa-f]{2}|\\[nrt\"'\\]|\\u00[0-9a-f]{2}|\x1b\[[0-9;]*[A-Za-z]")
"""Escapes, whose last character would be taken for the first one of the word after it."""


class Leaks:
    """The secrets and the words of a run."""

    def __init__(self) -> None:
        self._secrets: dict[str, str] = {}
        self._remembered: set[str] = set()
        self._words: dict[str, str] = {}

    def remember(self, secret: str, kind: str) -> None:
        """Look for a secret, whether it was written before or is written later."""
        if secret in self._remembered:
            return
        self._remembered.add(secret)
        for word in _WORD.findall(secret):
            if len(set(word)) >= MIN_DIFFERENT and any(map(str.isdigit, word)):
                self._secrets.setdefault(word[:MIN_LENGTH], kind)

    def observe(self, text: str, source: str) -> None:
        """Take note of a text that was written."""
        for word in _WORD.findall(_SEPARATORS.sub(" ", text)):
            self._words.setdefault(word[:MIN_LENGTH], source)

    def found(self) -> list[str]:
        """Return a sentence for each secret that was written."""
        both = self._secrets.keys() & self._words.keys()
        return sorted(f"{self._secrets[word]} is written by {self._words[word]}" for word in both)


_of_run = Leaks()
_test = "the start of the run"


def observe_stack(stack: LocalRun, folder: Path, leaks: Leaks = _of_run) -> None:
    """Remember the secrets of a local run, and observe the logs of its functions.

    Args:
        stack: the local run.
        folder: its folder, with the private keys.
        leaks: what to add them to.
    """
    for name, text in _function_logs(stack):
        leaks.observe(text, f"function {name}")
    for kind, secret in _secrets_of(stack):
        leaks.remember(secret, kind)
    for path in _private_keys(folder):
        for line in _key_lines(path.read_text()):
            leaks.remember(line, f"private key {path.name}")


def _private_keys(folder: Path) -> Iterator[Path]:
    """Yield the files of private keys. Unlike `Path.rglob`, `os.walk` ignores folders that the embedded AWS deletes."""
    for parent, _, names in os.walk(folder):
        yield from (Path(parent, name) for name in names if name.endswith((".key.pem", ".p8")))


def _function_logs(stack: LocalRun) -> Iterator[tuple[str, str]]:
    logs = boto3.client("logs")
    for role, function in stack.functions.items():
        try:
            pages = logs.get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{function}")
            for page in pages:
                for event in page["events"]:
                    yield role, event["message"]
        except logs.exceptions.ResourceNotFoundException:
            continue


def _secrets_of(stack: LocalRun) -> Iterator[tuple[str, str]]:
    client = boto3.client("secretsmanager")
    for page in client.get_paginator("list_secrets").paginate():
        for secret in page["SecretList"]:
            text = client.get_secret_value(SecretId=secret["ARN"]).get("SecretString", "")
            for name, pem in re.findall(r'"(private_key|key)": ?"([^"]+)"', text):
                lines = _key_lines(pem.replace("\\n", "\n")) if name == "private_key" else [pem]
                yield from ((f"{name} of {secret['Name']}", line) for line in lines)
    for table, attributes in {
        "devices": ("device_library_identifier", "push_token"),
        "registrations": ("device_library_identifier",),
        "passes": ("authentication_token",),
    }.items():
        for page in boto3.client("dynamodb").get_paginator("scan").paginate(TableName=stack.tables[table]):
            for item in page["Items"]:
                for attribute in attributes:
                    yield attribute, item.get(attribute, {}).get("S", "")


def _key_lines(pem: str) -> list[str]:
    """Return the lines of a key but the first one, which begins alike for all keys of a kind."""
    return pem.splitlines()[2:-1]


def _after(owner: Any, name: str, do: Callable[..., None]) -> None:  # noqa: ANN401 - any class
    """Call a function after a method, with the method's own arguments."""
    method = getattr(owner, name)

    @wraps(method)
    def wrapped(self: Any, *args: Any, **named: Any) -> Any:  # noqa: ANN401
        result = method(self, *args, **named)
        do(self, result)
        return result

    setattr(owner, name, wrapped)


def _remember_identifier(secret: Any, _: object) -> None:  # noqa: ANN401 - one of three types
    """Remember a secret, unless Hypothesis made it up: it also takes texts that the source contains."""
    if not hypothesis.currently_in_test_context():
        _of_run.remember(secret.value, type(secret).__name__)


def _remember_authentication_key(key: AuthenticationKey, _: object) -> None:
    _of_run.remember(b64encode(key.key).decode(), "authentication key")
    _of_run.remember(key.key.hex(), "authentication key")


def _remember_phone(phone: Phone, _: object) -> None:
    _of_run.remember(phone.device_library_identifier, "device library identifier of a phone")
    _of_run.remember(phone.push_token, "push token of a phone")


def _remember_pass(installed: InstalledPass, _: object) -> None:
    _of_run.remember(str(installed.content.get("authenticationToken", "")), "authentication token of a phone's pass")


def _observe_command(process: "subprocess.Popen[Any]", result: tuple[Any, Any]) -> None:
    arguments = process.args if isinstance(process.args, (list, tuple)) else [process.args]
    if "infra" in arguments:
        for written in result:
            if written:
                text = written if isinstance(written, str) else written.decode(errors="replace")
                _of_run.observe(text, f"passwire {arguments[arguments.index('infra') + 1 :][:2]} in {_test}")


def _observe_result(_: object, result: Any) -> None:  # noqa: ANN401 - click's
    _of_run.observe(f"{result.output} {result.exception or ''}", f"a command in {_test}")


def _observe_captured(_: object, result: Any) -> None:  # noqa: ANN401 - pytest's
    if isinstance(result.out, str):
        _of_run.observe(f"{result.out}\n{result.err}", f"the output of {_test}")


def _watch() -> None:
    for kind in (DeviceLibraryIdentifier, PushToken, AuthenticationToken):
        _after(kind, "__post_init__", _remember_identifier)
    _after(AuthenticationKey, "__post_init__", _remember_authentication_key)
    _after(Phone, "__post_init__", _remember_phone)
    _after(InstalledPass, "__init__", _remember_pass)
    _after(PasswireError, "__init__", lambda error, _: _of_run.observe(str(error), f"an error in {_test}"))
    _after(subprocess.Popen, "communicate", _observe_command)
    _after(typer.testing.CliRunner, "invoke", _observe_result)
    _after(pytest.CaptureFixture, "readouterr", _observe_captured)


_watch()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logstart(nodeid: str) -> None:
    """Note which test runs."""
    global _test  # noqa: PLW0603 - one test runs at a time
    _test = nodeid


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Observe what a test wrote, in the process that runs it."""
    of_worker = hasattr(report, "node")  # set by the controller of pytest-xdist
    if report.passed and not of_worker:  # a failure shows the values that differ
        for _, text in report.sections:
            _of_run.observe(text, f"the output of {report.nodeid}")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:  # noqa: ANN401 - pytest-xdist's controller of a worker
    """Take over what a worker of pytest-xdist found."""
    _of_workers.extend(getattr(node, "workeroutput", {}).get("leaks", []))


_of_workers: list[str] = []


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Report what was found as one more test; a worker of pytest-xdist hands it to the controller instead."""
    found = _of_run.found()
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["leaks"] = found
        return
    problems = sorted({*found, *_of_workers})
    if not problems:
        return
    report = pytest.TestReport(
        nodeid=NO_SECRET_IS_WRITTEN,
        location=(NO_SECRET_IS_WRITTEN.partition("::")[0], None, NO_SECRET_IS_WRITTEN.partition("::")[2]),
        keywords={},
        outcome="failed",
        longrepr="\n".join(problems),
        when="call",
    )
    session.config.hook.pytest_runtest_logreport(report=report)
    if session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED

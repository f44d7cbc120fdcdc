"""The audit reports vulnerabilities, and libraries that it could not look up."""

import sys

import pytest

from tests.support.audit import FOUND, NOT_AUDITED, main


def saying(text: str, code: int) -> list[str]:
    """A command in pip-audit's place."""
    return [sys.executable, "-c", f"print({text!r}); raise SystemExit({code})"]


@pytest.mark.parametrize(
    ("text", "code", "result", "shown"),
    [
        ("No known vulnerabilities found", 0, 0, "no known vulnerabilities"),
        ("urllib3 1.0 PYSEC-2021-108 1.26.5", 1, FOUND, "PYSEC-2021-108"),
        ("x Dependency not found on PyPI and could not be audited: x (1)", 0, NOT_AUDITED, "1 libraries could not be"),
        ("requests.exceptions.ConnectionError: Max retries exceeded", 1, NOT_AUDITED, "pypi.org has not answered"),
    ],
)
def test_result_says_what_was_looked_up(
    text: str, code: int, result: int, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(saying(text, code), ["requirements.txt"]) == result
    captured = capsys.readouterr()
    assert shown in captured.out + captured.err

"""Tests of printing findings."""

import pytest

from infra.commands.findings import described, show_findings
from infra.core.terminal import standard_output
from infra.operate.templates.findings import error, warning


def test_findings_are_printed_one_per_line(capsys: pytest.CaptureFixture[str]) -> None:
    show_findings("x.pass", [error("pass.json", "a", "is empty"), warning("b.png", "", "is large")], standard_output())
    assert capsys.readouterr().out == "error: pass.json: a: is empty\nwarning: b.png: is large\n"


def test_folder_without_findings_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    show_findings("x.pass", [], standard_output())
    assert capsys.readouterr().out == "x.pass: no problems found\n"


def test_finding_is_described_for_json() -> None:
    assert described(error("pass.json", "a", "is empty", "Apple")) == {
        "severity": "error",
        "file": "pass.json",
        "path": "a",
        "problem": "is empty",
        "source": "Apple",
    }

"""Tests of findings of the template check."""

from chalicelib.passes.format.findings import Level
from infra.operate.templates.findings import error, warning


def test_finding_shows_file_path_problem_and_source() -> None:
    assert str(error("pass.json", "a.b", "is empty", "Apple, Pass")) == "pass.json: a.b: is empty (Apple, Pass)"
    assert str(warning("", "", "the folder is large")) == "the folder is large"


def test_only_errors_prevent_the_template() -> None:
    assert (error("x", "", "").level, warning("x", "", "").level) == (Level.ERROR, Level.WARNING)

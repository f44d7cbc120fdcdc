"""Tests of collecting findings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.passes.format.findings import MAX_FINDINGS, Finding, Level, Report, quoted


def test_finding_names_its_path_and_source() -> None:
    assert str(Finding(Level.ERROR, "", "is empty")) == "is empty"
    assert str(Finding(Level.WARNING, "a[0].b", "is empty", "Apple, Pass")) == "a[0].b: is empty (Apple, Pass)"


def test_further_errors_of_the_same_value_are_left_out() -> None:
    report = Report()
    for path in ("a", "a", "b", "", ""):
        report.error(path, "is wrong")
    report.warning("a", "is odd")
    report.warning("a", "is long")
    assert [(finding.level, finding.path) for finding in report.findings] == [
        *((Level.ERROR, path) for path in ("a", "b", "", "")),
        *((Level.WARNING, "a") for _ in range(2)),
    ]
    assert report.errors == report.findings[:4]


def test_number_of_findings_is_limited() -> None:
    report = Report()
    for number in range(2 * MAX_FINDINGS):
        assert report.full == (number >= MAX_FINDINGS)
        report.error(str(number), "is wrong")
    assert len(report) == MAX_FINDINGS


def test_missing_sources_are_set_from_an_index_on() -> None:
    report = Report()
    report.error("a", "x")
    report.error("b", "x", "own")
    report.error("c", "x")
    report.cite(1, "Apple")
    assert [finding.source for finding in report.findings] == ["", "own", "Apple"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("x", '"x"'),
        (5, "5"),
        (True, "true"),
        (False, "false"),
        (None, "null"),
        ({"a": 1}, "a map"),
        ([1], "a list"),
        ((1,), "a list"),
        pytest.param(10**6000, "a number of very many digits", id="many digits"),
    ],
)
def test_value_is_quoted_as_json_shows_it(value: object, shown: str) -> None:
    assert quoted(value) == shown


@given(st.text() | st.integers() | st.floats())
def test_quoted_value_is_short_and_printable(value: object) -> None:
    assert len(quoted(value)) < 60
    assert quoted(value).isprintable()

"""Tests of `cost`."""

import json

import pytest
from typer.testing import CliRunner

from infra.commands import app


def test_json_has_the_lines_and_their_sum() -> None:
    done = CliRunner().invoke(app, ["cost", "--devices", "100000", "--updates-per-day", "3", "--json"])
    report = json.loads(done.stdout)
    assert report["dollars_per_month"] == pytest.approx(sum(line["dollars"] for line in report["lines"]), abs=0.01)
    shown = CliRunner().invoke(app, ["cost", "--devices", "100000", "--updates-per-day", "3"]).stdout
    assert f"{report['dollars_per_month']:,.2f}" in shown
    assert report["prices_of"] in shown

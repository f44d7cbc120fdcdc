"""Tests of `simulate` on the command line."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from typer.testing import CliRunner, Result

from infra.commands import app
from infra.core.files import PathError


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["simulate", *map(str, arguments)])


def test_timeline_cost_and_plot_are_written(tmp_path: Path) -> None:
    plot = tmp_path / "plot.svg"
    done = run("--phones", 20_000, "--output", plot)
    assert done.exit_code == 0, done.output
    assert f"plot: {plot}" in done.stderr
    for text in ("paced, s", "unpaced, s", "last phone, s", "refused (429)", "$ total"):
        assert text in done.stdout
    root = ET.fromstring(plot.read_text())  # noqa: S314 - made here
    assert len(list(root.iter("{http://www.w3.org/2000/svg}polyline"))) == 4


def test_json_has_the_same_and_nothing_else_is_printed(tmp_path: Path) -> None:
    done = run("--phones", 20_000, "--json", "--output", tmp_path / "plot.svg")
    report = json.loads(done.stdout)
    assert (report["phones"], report["passes"]) == (20_000, 1)
    paced, unpaced = report["paced"], report["unpaced"]
    assert (paced["updated"], paced["refused"], paced["gave_up"]) == (20_000, 0, 0)
    assert unpaced["refused"] > 0
    assert paced["timeline"][-1]["updated"] == 20_000
    assert paced["dollars"] == pytest.approx(sum(paced["cost"].values()), abs=0.01)


def test_plot_goes_to_standard_output() -> None:
    done = run("--phones", 100, "--output", "-")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("<svg ")


def test_existing_plot_is_replaced_only_if_asked(tmp_path: Path) -> None:
    plot = tmp_path / "plot.svg"
    plot.write_text("mine")
    done = run("--phones", 100, "--output", plot)
    assert isinstance(done.exception, PathError)
    assert plot.read_text() == "mine"
    assert run("--phones", 100, "--output", plot, "--overwrite").exit_code == 0
    assert plot.read_text().startswith("<svg ")


def test_higher_rate_makes_the_rollout_shorter(tmp_path: Path) -> None:
    output = ("--json", "--overwrite", "--output", tmp_path / "plot.svg")
    slow, fast = (
        json.loads(run("--phones", 5_000, "--set", f"ThrottleRate={rate}", *output).stdout)["paced"]["last_s"]
        for rate in (250, 750)
    )
    assert fast < slow / 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--phones", 0), "greater than or equal to 1"),
        (("--phones", 10, "--passes", 11), "11 passes need at least as many phones"),
        (("--phones", 10, "--set", "ThrottleRate=0"), "at least 1"),
        (("--phones", 10, "--set", "ThrottleRate=many"), "at least 1"),
        (("--phones", 10, "--set", "ThrottleRate=nan"), "at least 1"),
        (("--phones", 10, "--set", "PushRateLimit=0"), "2 requests, of which ThrottleRate lets 3000 through"),
        (("--phones", 10, "--set", "PushRateLimit=1501"), "3002 requests per second, but ThrottleRate lets 3000"),
        (("--phones", 10, "--set", "PushRateLimit=few"), "set PushRateLimit to a number from 1 to 1500 (3000 / 2)"),
        (("--phones", 10, "--set", "ThrottleRate=1"), "set ThrottleRate to at least 2"),
        (("--phones", 10, "--set", "ThrottleBurst=2.5"), "a whole number of at least 1"),
        (("--phones", 10, "--set", "Tracing=on"), "Tracing does not affect a rollout"),
    ],
)
def test_invalid_values_are_refused_with_exit_code_2(arguments: tuple[object, ...], message: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert message in " ".join(done.stderr.replace("│", " ").split())

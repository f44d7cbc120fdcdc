"""`simulate`: computes how long a rollout takes on AWS until the last phone shows it, and what it costs."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from chalicelib.updates.pacing import default_push_rate
from infra.commands.options import JsonOption, OverwriteOption, read_value
from infra.core.files import STANDARD, check_new
from infra.core.plot import Chart, Line, svg
from infra.core.terminal import PlainConsole, standard_error, standard_output, write_json, write_text
from infra.deploy.account import check_push_rate
from infra.deploy.cost import prices
from infra.deploy.parameters import read_parameters
from infra.deploy.resources import resources
from infra.local.processes import PROJECT
from infra.simulation.constants import Constants, aws
from infra.simulation.cost import cost_of
from infra.simulation.limits import limits_of
from infra.simulation.rollout import Rollout, RolloutResult
from infra.simulation.rollout import simulate as run

PARAMETERS = ("ThrottleRate", "ThrottleBurst", "PushRateLimit")
PLOT = PROJECT / ".passwire" / "rollout.svg"
TIMELINE_ROWS = 10
LARGEST_LIMIT = 100_000
"""Limits of more phones per second are not shown."""


def simulate(
    phones: Annotated[int, typer.Option(min=1, help="Phones that have a changed pass.")],
    passes: Annotated[int, typer.Option(min=1, help="Changed passes, each on the same number of phones.")] = 1,
    parameters: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help=f"A stack parameter: {', '.join(PARAMETERS)}."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="SVG file for the plot; - for standard output. Default: .passwire/rollout.svg, replaced."),
    ] = None,
    *,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Simulate a rollout on AWS: when the last phone shows the change, how many requests are refused, what it costs.

    The rollout is simulated paced, as the stage does it, and unpaced. Constants and their sources are in
    infra/simulation/constants.py.

    Example: passwire simulate --phones 1000000
    """
    if passes > phones:
        raise typer.BadParameter(f"{passes:,} passes need at least as many phones", param_hint="--passes")
    constants = _constants(parameters or [])
    if output is not None:
        check_new(output, overwrite=overwrite)
    results = {
        name: run(Rollout(phones=phones, passes=passes, paced=name == "paced"), constants)
        for name in ("paced", "unpaced")
    }
    plot = svg(_charts(results))
    if str(output) == STANDARD:
        write_text(plot.rstrip("\n"))
        return
    target = output or PLOT
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(plot)
    if as_json:
        described = {name: _described(result) for name, result in results.items()}
        limits = {limit.what: _finite(limit.phones_per_second) for limit in limits_of(constants, passes=passes)}
        write_json({"phones": phones, "passes": passes, **described, "phones_per_second": limits, "plot": str(target)})
        return
    _show(results, constants, passes)
    standard_error().print(f"plot: {target}")


def _constants(texts: list[str]) -> Constants:
    """Read the parameters that matter; others and impossible ones are refused."""
    given = read_value("--set", read_parameters, texts)
    if others := sorted(given.keys() - set(PARAMETERS)):
        raise typer.BadParameter(f"{', '.join(others)} does not affect a rollout", param_hint="--set")
    defaults = resources()["Parameters"]
    values = {name: given.get(name) or str(defaults.get(name, {}).get("Default", "")) for name in PARAMETERS}
    read_value("--set", check_push_rate, values)
    rate, burst = float(values["ThrottleRate"]), float(values["ThrottleBurst"])
    devices = float(values["PushRateLimit"] or default_push_rate(rate))
    return aws(gateway_rate=rate, gateway_burst=burst, devices_per_second=devices)


def _described(result: RolloutResult) -> dict[str, Any]:
    bill = cost_of(result)
    return {
        "first_s": _finite(result.first_s),
        "median_s": _finite(result.median_s),
        "last_s": _finite(result.last_s),
        "updated": round(result.updated),
        "refused": round(result.refused),
        "failed": round(result.failed),
        "gave_up": round(result.gave_up),
        "cost": {line.what: round(line.dollars, 4) for line in bill},
        "dollars": round(sum(line.dollars for line in bill), 2),
        "timeline": [
            {key: round(value) for key, value in row.items()} for row in _timeline(result, rows=TIMELINE_ROWS)
        ],
    }


def _timeline(result: RolloutResult, *, rows: int) -> list[dict[str, float]]:
    """Return some moments, with the totals until then."""
    total = {"pushes": 0.0, "updated": 0.0, "refused": 0.0, "failed": 0.0, "gave_up": 0.0}
    every = max(1, math.ceil(len(result.seconds) / rows))
    found = []
    for number, second in enumerate(result.seconds, start=1):
        for key in total:
            total[key] += getattr(second, key)
        if number % every == 0 or number == len(result.seconds):
            found.append({"second": number, **total})
    return found


def _charts(results: Mapping[str, RolloutResult]) -> list[Chart]:
    end = max(len(result.seconds) for result in results.values())

    def lines(key: str) -> list[Line]:
        found = []
        for name, result in results.items():
            points = [(row["second"], row[key]) for row in _timeline(result, rows=len(result.seconds))]
            found.append(Line(name, [(0, 0), *points, (end, points[-1][1])]))
        return found

    return [
        Chart("Phones that show the change", "seconds since the change", lines("updated")),
        Chart("Refused requests (429)", "seconds since the change", lines("refused")),
    ]


def _show(results: Mapping[str, RolloutResult], constants: Constants, passes: int) -> None:
    console = standard_output()
    for name, result in results.items():
        _show_timeline(console, name, result)
    table = Table("", *results, box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for label, key in (("first phone, s", "first_s"), ("median phone, s", "median_s"), ("last phone, s", "last_s")):
        table.add_row(label, *(_seconds(getattr(result, key)) for result in results.values()))
    for label, key in (("refused (429)", "refused"), ("failed (5xx)", "failed"), ("phones that gave up", "gave_up")):
        table.add_row(label, *(f"{getattr(result, key):,.0f}" for result in results.values()))
    bills = [cost_of(result) for result in results.values()]
    for lines in zip(*bills, strict=True):
        table.add_row(f"$ {lines[0].what}", *(f"{line.dollars:,.2f}" for line in lines))
    table.add_row("$ total", *(f"{sum(line.dollars for line in bill):,.2f}" for bill in bills))
    console.print(table)
    rate = constants.devices_per_second * constants.lane_share
    shares = ", ".join(
        f"{limit.what} {limit.phones_per_second:,.0f}"
        for limit in limits_of(constants, passes=passes)
        if limit.phones_per_second <= LARGEST_LIMIT
    )
    console.print(f"paced: {rate:,.0f} phones per second; served at most: {shares}")
    console.print(f"list prices of {prices.REGION}, {prices.READ_ON}; no free tier, no discount")


def _show_timeline(console: PlainConsole, name: str, result: RolloutResult) -> None:
    table = Table(f"{name}, s", "notified", "updated", "refused", "failed", "gave up", box=None)
    for column in table.columns:
        column.justify = "right"
    for row in _timeline(result, rows=TIMELINE_ROWS):
        table.add_row(*(f"{row[key]:,.0f}" for key in ("second", "pushes", "updated", "refused", "failed", "gave_up")))
    console.print(table)


def _seconds(value: float) -> str:
    return f"{value:,.1f}" if math.isfinite(value) else "never"


def _finite(value: float) -> float | None:
    return round(value, 1) if math.isfinite(value) else None

"""`stats`: how many devices hold passes, and how many were added, removed and updated."""

import csv
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from infra.commands.options import JsonOption, OverwriteOption, SinceOption, StageOption, read_since
from infra.core.files import STANDARD, check_new, output_file
from infra.core.terminal import standard_error, write_json, write_table
from infra.operate.stats import Stats, plot, read_stats
from infra.stage.stage import Stage


def stats(
    stage: StageOption = "dev",
    since: SinceOption = "30d",
    *,
    as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print one line per day, pass type and template.")] = False,
    plot_file: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE.svg", help="Write a chart; - for standard output.")
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Show how many devices hold passes, and how many added, removed or had passes updated, by type and template.

    A device that holds two passes counts twice. An update counts once, for any number of devices. Days are in UTC.

    Example: passwire stats --stage prod --since 30d --plot stats.svg
    """
    if as_json and as_csv:
        raise typer.BadParameter("give one of --json and --csv")
    moment = read_since(since)
    if plot_file is not None:
        check_new(plot_file, overwrite=overwrite)
    found = read_stats(Stage.open(stage), since=moment, now=time.time())
    if plot_file is not None:
        with output_file(plot_file, "stats.svg") as path:
            path.write_text(plot(found))
        if str(plot_file) == STANDARD:
            return
        standard_error().print(f"wrote {plot_file}")
    if as_json:
        write_json(asdict(found), default=str)
    elif as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(("day", "pass_type_identifier", "template", "added", "removed", "updated"))
        writer.writerows((d.day, d.pass_type_identifier, d.template, d.added, d.removed, d.updated) for d in found.days)
    else:
        _print(found)


def _print(found: Stats) -> None:
    rows = []
    for kind in found.holders:
        days = [
            day
            for day in found.days
            if (day.pass_type_identifier, day.template) == (kind.pass_type_identifier, kind.template)
        ]
        sums = (kind.holders, *(sum(getattr(day, name) for day in days) for name in ("added", "removed", "updated")))
        rows.append((kind.pass_type_identifier, kind.template, *(f"{number:,}" for number in sums)))
    numbers = ("holders", "added", "removed", "updated")
    write_table(("pass type", "template", *numbers), rows, numbers=numbers)

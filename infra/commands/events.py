"""`events`: events on the stage's bus, and the counts behind them."""

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from infra.commands.options import JsonOption, StageOption
from infra.core.terminal import standard_error, write_json, write_line
from infra.operate.events import correct_counts, count_earlier_registrations
from infra.stage.stage import Stage

app = typer.Typer(no_args_is_help=True)


@app.callback()
def events() -> None:
    """Events about phones, and counts of holders."""


@app.command("count")
def count(stage: StageOption = "dev", *, as_json: JsonOption = False) -> None:
    """Count the registrations that were made before the stage had events, and correct counts that are wrong.

    Run it once after the upgrade, and when `doctor` finds wrong counts. It reads the whole tables of registrations and
    counts. Phones may register meanwhile.

    Example: python -m infra events count --stage prod
    """
    target = Stage.open(stage)
    columns = (SpinnerColumn(), TextColumn("{task.completed} registrations counted"), TimeElapsedColumn())
    with Progress(*columns, console=standard_error(), transient=True) as progress:
        task = progress.add_task("", total=None)
        marked = count_earlier_registrations(target, on_progress=lambda done: progress.advance(task, done))
    with standard_error().status("comparing the counts with the registrations"):
        corrected = correct_counts(target)
    if as_json:
        write_json({"counted": marked, "corrected": corrected})
        return
    write_line(f"{marked:,} registrations from before are counted now; {corrected:,} wrong counts were corrected")

"""`events`: events on the stage's bus, and the counts behind them."""

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from infra.commands.options import JsonOption, StageOption
from infra.core.terminal import standard_error, write_json, write_line
from infra.operate.event_tail import described, event_tail
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

    Example: passwire events count --stage prod
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


@app.command("tail")
def tail(stage: StageOption = "dev", *, as_json: JsonOption = False) -> None:
    """Print events as they arrive, until Ctrl-C; with --json, one JSON object per line.

    A queue and a rule on the bus exist meanwhile. Events from before the command are not printed.

    Example: passwire events tail --stage prod
    """
    with event_tail(Stage.open(stage)) as events:
        standard_error().print("waiting for events; Ctrl-C ends it")
        for event in events.follow():
            if as_json:
                write_json({"detail-type": event["detail-type"], "detail": event["detail"]}, indent=None)
            else:
                write_line(described(event))

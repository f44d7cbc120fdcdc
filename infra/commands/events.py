"""`events`: events on the stage's bus, and the counts behind them."""

import time
from typing import Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from infra.commands.confirmation import confirm, counted, require_answer
from infra.commands.options import JsonOption, SinceOption, StageOption, YesOption, read_since
from infra.core.moments import format_moment
from infra.core.terminal import standard_error, write_json, write_line
from infra.operate.event_failures import redrive_events, replay_events
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


@app.command("redrive")
def redrive(stage: StageOption = "dev", *, as_json: JsonOption = False) -> None:
    """Send the events again that the bus did not accept, from the event-failure queue.

    If interrupted, run the same command again: what is left in the queue is sent.

    Example: passwire events redrive --stage prod
    """
    target = Stage.open(stage)
    columns = (SpinnerColumn(), TextColumn("{task.completed} messages"), TimeElapsedColumn())
    with Progress(*columns, console=standard_error(), transient=True) as progress:
        task = progress.add_task("", total=None)
        done = redrive_events(target, on_progress=lambda count: progress.advance(task, count))
    if as_json:
        write_json({"events": done.events, "batches": done.batches, "kept": dict(done.kept)})
    else:
        write_line(f"sent {counted(done.events, 'event')}, processed {counted(done.batches, 'stream batch')} again")
        for reason, count in done.kept.items():
            write_line(f"kept {count:,}: {reason}")
    if done.kept:
        raise typer.Exit(1)


@app.command("replay")
def replay(
    since: SinceOption,
    stage: StageOption = "dev",
    rule: Annotated[
        list[str] | None, typer.Option("--rule", help="Send only to this rule of the bus; repeat it for several.")
    ] = None,
    *,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Send archived events again, to all rules of the bus or to some.

    The archive keeps events for 30 days; an event reaches it within about ten minutes. Replayed events have the same
    deduplication ids.

    Example: passwire events replay --stage prod --since 2h --rule team-passes
    """
    begin, end = read_since(since), time.time()
    require_answer(yes=yes)
    target = Stage.open(stage)
    to = ", ".join(rule) if rule else "all rules"
    confirm(f"send the events of stage {stage} since {format_moment(begin)} again, to {to}?", yes=yes)
    with standard_error().status("replaying"):
        name = replay_events(target, since=begin, until=end, rules=rule or [])
    if as_json:
        write_json({"replay": name, "rules": rule or []})
    else:
        write_line(f"replayed the events since {format_moment(begin)} as {name}")


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

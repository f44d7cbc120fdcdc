"""`push`: shows queues, repeats what was given up, pushes by hand, and decides on held removals."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from chalicelib.aws.tables import Store
from chalicelib.core.identifiers import PassId
from infra.commands.options import JsonOption, StageOption, read_since
from infra.core.terminal import standard_error, standard_output, write_json, write_line
from infra.operate.pacing import Pacing, read_pacing
from infra.operate.pushes import Decided, Pushes
from infra.stage.stage import Stage

app = typer.Typer(name="push", help="Pushes: status, redrive, send, removals.", no_args_is_help=True)
removals = typer.Typer(name="removals", help="Held removals of devices: list, accept, discard.")
app.add_typer(removals)
TypeOption = Annotated[str | None, typer.Option("--type", help="Only removals of this pass type. Default: all.")]


@app.command()
def status(stage: StageOption = "dev", *, as_json: JsonOption = False) -> None:
    """Show the state of the queues, the pushes that are scheduled and until when, and the contents of the dead-letter
    queues.

    Example: python -m infra push status --stage dev
    """
    pushes = _pushes(stage)
    queues = pushes.queues()
    letters = pushes.dead_letters(queues)
    pacing = read_pacing(Stage.open(stage))
    if as_json:
        found = {role: asdict(state) for role, state in queues.items()}
        write_json({"queues": found, "pacing": asdict(pacing), "dead_letters": dict(letters)})
        return
    console = standard_output()
    table = Table("queue", "waiting", "in flight", "delayed", "oldest", box=None)
    for role, state in queues.items():
        oldest = "-" if state.oldest_seconds is None else f"{state.oldest_seconds} s"
        table.add_row(role, str(state.waiting), str(state.in_flight), str(state.delayed), oldest)
    console.print(table)
    for line in _pacing_lines(pacing):
        console.print(line)
    for summary, count in letters.most_common():
        console.print(f"{count:6} x {summary}")
    if letters:
        console.print("`push redrive` repeats what can be repeated")


def _pacing_lines(pacing: Pacing) -> Iterator[str]:
    for name, lane in pacing.lanes.items():
        if lane.until is not None:
            yield f"{lane.devices:6,} devices scheduled in the {name} lane until {_utc(lane.until)}"
    for fan_out in pacing.fan_outs:
        devices = "more" if fan_out.devices is None else f"{fan_out.devices:,}"
        yield f"{devices:>6} devices of pass {fan_out.pass_id} wait to be scheduled"
    if pacing.until is None:
        yield f"no pushes wait for their turn (at most {pacing.devices_per_second:,} devices per second)"
    else:
        yield f"all are notified by {_utc(pacing.until)}, at most {pacing.devices_per_second:,} devices per second"


def _utc(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"


@app.command()
def redrive(
    stage: StageOption = "dev",
    *,
    discard_refused: Annotated[
        bool, typer.Option("--discard-refused", help="Delete the dead letters of refused items instead.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Repeat what was given up: push tasks in the dead-letter queue and batches in the stream-failure queue.

    Passes whose items were refused are rechecked: valid ones are pushed, and the others are refused again.

    Example: python -m infra push redrive --stage dev
    """
    with standard_error().status("redriving") as shown:
        done = _pushes(stage).redrive(
            discard_refused=discard_refused, on_progress=lambda number: shown.update(f"redriving, message {number}")
        )
    if as_json:
        write_json({**asdict(done), "kept": dict(done.kept)})
        return
    write_line(
        f"{done.tasks} push tasks returned to the push queue, {done.batches} stream batches processed again, "
        f"{done.rechecks} passes with refused items to be rechecked"
    )
    for reason, count in done.kept.items():
        write_line(f"{count:6} x kept: {reason}")


@app.command()
def send(
    passes: Annotated[
        list[str] | None, typer.Argument(metavar="[PASS...]", help="`<passTypeIdentifier>/<serialNumber>`")
    ] = None,
    *,
    changed_since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Instead: every pass that changed since 30m, 24h or 7d ago, or 2026-12-24T18:30:00Z."
        ),
    ] = None,
    stage: StageOption = "dev",
) -> None:
    """Push to every device that has a pass, whether the pass changed or not.

    Use --changed-since after an outage in which downloads failed: each pass that changed since then gets a new
    Last-Modified, so that phones are notified and download it again. A pass that cannot be built now is pushed when it
    can be. This reads all versions.

    Example: python -m infra push send pass.com.acme.boarding/7K2M9Q --stage dev
    """
    if bool(passes) == (changed_since is not None):
        raise typer.BadParameter("give either PASS... or --changed-since")
    if changed_since is not None:
        _send_changed_since(changed_since, stage)
        return
    pushes = _pushes(stage)
    for text in passes or ():
        pass_id = PassId.parse(text)
        pushes.send(pass_id)
        write_line(f"requested a push to every device that has pass {pass_id}")


def _send_changed_since(text: str, stage: str) -> None:
    since = read_since(text)
    pushes, count = _pushes(stage), 0
    moment = f"{datetime.fromtimestamp(since, UTC):%Y-%m-%dT%H:%M:%SZ}"
    console = standard_error()
    try:
        with console.status(f"requesting pushes of passes changed since {moment}") as shown:

            def on_progress(step: int) -> None:
                nonlocal count
                count += step
                shown.update(f"requesting pushes of passes changed since {moment}, {count:,} passes")

            pushes.recheck_changed_since(since, on_progress=on_progress)
    finally:
        write_line(f"requested a push to every device that has one of the {count:,} passes changed since {moment}")


@removals.callback(invoke_without_command=True)
def list_removals(context: typer.Context, stage: StageOption = "dev", *, as_json: JsonOption = False) -> None:
    """Show held removals of devices by pass type and reason.

    Removals are held when APNs refuses the push tokens of many devices at once: the push host or the credentials may
    belong to the wrong environment, or APNs may have a problem. Find the cause before you accept them.

    Example: python -m infra push removals --stage dev
    """
    if context.invoked_subcommand is not None:
        return
    held = _pushes(stage).held_removals()
    if as_json:
        write_json([asdict(count) for count in held])
        return
    for count in held:
        since = datetime.fromtimestamp(count.oldest_change, UTC).isoformat(timespec="seconds")
        write_line(f"{count.devices:6} x {count.pass_type_identifier}, APNs: {count.reason}, oldest change {since}")
    if held:
        write_line(
            "if the devices no longer exist: push removals accept; if host or credentials were wrong: "
            "push removals discard"
        )
    else:
        write_line("no removals are held")


@removals.command()
def accept(stage: StageOption = "dev", *, pass_type_identifier: TypeOption = None, as_json: JsonOption = False) -> None:
    """Remove the devices whose removal is held. A device that has registered since is kept, and a push is sent to it.

    Removed devices are not notified of changes until they register again, which phones do not do by themselves.

    Example: python -m infra push removals accept --type pass.com.acme.boarding --stage dev
    """
    deployed = Stage.open(stage)
    with standard_error().status("removing devices") as shown:
        done = Pushes(deployed).accept_removals(
            Store.connect(deployed.settings),
            pass_type_identifier=pass_type_identifier,
            on_progress=lambda number: shown.update(f"removing devices, {number}"),
        )
    _print_decided(done, as_json=as_json)


@removals.command()
def discard(
    stage: StageOption = "dev", *, pass_type_identifier: TypeOption = None, as_json: JsonOption = False
) -> None:
    """Keep the devices whose removal is held, and push to them again.

    Example: python -m infra push removals discard --stage dev
    """
    with standard_error().status("pushing again") as shown:
        done = _pushes(stage).discard_removals(
            pass_type_identifier=pass_type_identifier,
            on_progress=lambda number: shown.update(f"pushing again, device {number}"),
        )
    _print_decided(done, as_json=as_json)


def _print_decided(done: Decided, *, as_json: bool) -> None:
    if as_json:
        write_json(asdict(done))
        return
    write_line(f"{done.removed} devices removed, {done.pushed} to be pushed to again, {done.gone} no longer existed")


def _pushes(stage: str) -> Pushes:
    return Pushes(Stage.open(stage))

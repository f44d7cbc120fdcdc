"""`push`: what waits, what was given up, and pushing by hand."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from chalicelib.aws.tables import Store
from chalicelib.core.identifiers import PassId
from infra.commands.options import JsonOption, StageOption, read_since
from infra.core.terminal import standard_error, standard_output, write_json, write_line
from infra.operate.pushes import Decided, Pushes
from infra.stage.stage import Stage

app = typer.Typer(name="push", help="Pushes: status, redrive, send, removals.", no_args_is_help=True)
removals = typer.Typer(name="removals", help="Removals of devices that are held: list, accept, discard.")
app.add_typer(removals)
TypeOption = Annotated[
    str | None, typer.Option("--type", help="A pass type identifier; without it, removals of every type.")
]


@app.command()
def status(stage: StageOption = "dev", *, as_json: JsonOption = False) -> None:
    """Show what waits in the queues, and what lies in the dead-letter queues.

    Example: python -m infra push status --stage dev
    """
    pushes = _pushes(stage)
    queues = pushes.queues()
    letters = pushes.dead_letters(queues)
    if as_json:
        found = {role: asdict(state) for role, state in queues.items()}
        write_json({"queues": found, "dead_letters": dict(letters)})
        return
    console = standard_output()
    table = Table("queue", "waiting", "in flight", "delayed", "oldest", box=None)
    for role, state in queues.items():
        oldest = "-" if state.oldest_seconds is None else f"{state.oldest_seconds} s"
        table.add_row(role, str(state.waiting), str(state.in_flight), str(state.delayed), oldest)
    console.print(table)
    for summary, count in letters.most_common():
        console.print(f"{count:6} x {summary}")
    if letters:
        console.print("`push redrive` carries out again what can be")


@app.command()
def redrive(
    stage: StageOption = "dev",
    *,
    discard_refused: Annotated[
        bool, typer.Option("--discard-refused", help="Delete the dead letters of refused items instead.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Carry out again what was given up: orders of the dead-letter queue, batches of the stream-failure queue.

    The passes of refused items are looked at again: what has been repaired is pushed, what has not is refused again.

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
        f"{done.tasks} orders are back in the push queue, {done.batches} stream batches were handed over again, "
        f"{done.rechecks} passes of refused items are looked at again"
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
            metavar="TIME", help="Instead: every pass that changed since 30m, 24h, 7d ago or 2026-12-24T18:30:00Z."
        ),
    ] = None,
    stage: StageOption = "dev",
) -> None:
    """Push to every device that holds a pass, whether it changed or not; what changed is then theirs to ask.

    With --changed-since, as after an outage in which downloads failed: each pass that changed since then gets a new
    Last-Modified, so that phones are told of it again and download it again, and one that cannot be made at the moment
    is pushed once it can be. All versions are read to find them.

    Example: python -m infra push send pass.com.acme.boarding/7K2M9Q --stage dev
    """
    if bool(passes) == (changed_since is not None):
        raise typer.BadParameter("name the passes either as PASS... or by --changed-since")
    if changed_since is not None:
        _send_changed_since(changed_since, stage)
        return
    pushes = _pushes(stage)
    for text in passes or ():
        pass_id = PassId.parse(text)
        pushes.send(pass_id)
        write_line(f"asked for a push to every device that holds {pass_id}")


def _send_changed_since(text: str, stage: str) -> None:
    since = read_since(text)
    pushes, count = _pushes(stage), 0
    moment = f"{datetime.fromtimestamp(since, UTC):%Y-%m-%dT%H:%M:%SZ}"
    console = standard_error()
    try:
        with console.status(f"asking for what changed since {moment}") as shown:

            def on_progress(step: int) -> None:
                nonlocal count
                count += step
                shown.update(f"asking for what changed since {moment}, {count:,} passes")

            pushes.recheck_changed_since(since, on_progress=on_progress)
    finally:
        write_line(f"asked for a push to every device that holds one of the {count:,} passes changed since {moment}")


@removals.callback(invoke_without_command=True)
def list_removals(context: typer.Context, stage: StageOption = "dev", *, as_json: JsonOption = False) -> None:
    """Show the removals of devices that are held, by pass type and reason.

    APNs refused the push tokens of so many devices at once that none was removed: the push host or the credential may
    belong to the wrong environment, or APNs has a problem. Find out which before you accept them.

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
            "if the devices are gone: push removals accept; if host or credential were wrong: push removals discard"
        )
    else:
        write_line("no removals are held")


@removals.command()
def accept(stage: StageOption = "dev", *, pass_type_identifier: TypeOption = None, as_json: JsonOption = False) -> None:
    """Remove the devices whose removal is held. One that registered again since then stays, and is pushed to.

    Removed devices are not told of changes until they register again, which phones do not do by themselves.

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
    write_line(f"{done.removed} devices are removed, {done.pushed} are pushed to again, {done.gone} were gone already")


def _pushes(stage: str) -> Pushes:
    return Pushes(Stage.open(stage))

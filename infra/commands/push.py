"""`push`: what waits, what was given up, and pushing by hand."""

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from chalicelib.domain.identifiers import PassId
from infra.commands.options import JsonOption, StageOption
from infra.pushes import Pushes
from infra.stack.deploy import Deployer
from infra.terminal import standard_error, standard_output, write_json, write_line

app = typer.Typer(name="push", help="Pushes: status, redrive, send.", no_args_is_help=True)


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
        bool, typer.Option("--discard-refused", help="Forget the refused items: their pipelines have been mended.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Carry out again what was given up: orders of the dead-letter queue, batches of the stream-failure queue.

    Example: python -m infra push redrive --stage dev
    """
    with standard_error().status("redriving") as shown:
        done = _pushes(stage).redrive(
            discard_refused=discard_refused, say=lambda number: shown.update(f"redriving, message {number}")
        )
    if as_json:
        write_json({**asdict(done), "kept": dict(done.kept)})
        return
    write_line(f"{done.orders} orders are back in the push queue, {done.batches} stream batches were handed over again")
    for reason, count in done.kept.items():
        write_line(f"{count:6} x kept: {reason}")


@app.command()
def send(
    passes: Annotated[list[str], typer.Argument(metavar="PASS...", help="`<passTypeIdentifier>/<serialNumber>`")],
    stage: StageOption = "dev",
) -> None:
    """Push to every device that holds a pass, whether it changed or not; what changed is then theirs to ask.

    Example: python -m infra push send pass.com.acme.boarding/7K2M9Q --stage dev
    """
    pushes = _pushes(stage)
    for text in passes:
        pass_id = PassId.parse(text)
        pushes.send(pass_id)
        write_line(f"asked for a push to every device that holds {pass_id}")


def _pushes(stage: str) -> Pushes:
    return Pushes(Deployer(stage, say=lambda _: None).describe())

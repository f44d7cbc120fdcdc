"""`up`, `demo` and `env`: run the service on this machine, and use it."""

import os
import shlex
import shutil
import signal
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Self

import typer

from infra.commands.completion import complete_stages
from infra.commands.options import JsonOption, chosen_stage, read_value
from infra.core.terminal import standard_error, standard_output, write_json, write_line, write_table, write_text
from infra.local.demo import run_demo
from infra.local.headless import measure
from infra.local.run import LocalRun, local_run
from infra.operate.logs import read_logs
from infra.stage import aws
from infra.stage.errors import StageError
from infra.stage.local import DESCRIPTION, FOLDER, REPLACED_VARIABLES, STAGE, read_description, use_stage
from infra.stage.stage import Stage, check_stage_name

FIRST_PASS = "HELLO-1"
STILL_SECONDS = 10.0
SHARES = (0.5, 0.95, 0.99, 1.0)

FolderOption = Annotated[Path, typer.Option("--folder", help="Folder for certificates, data, logs and local.json.")]


def up(
    folder: FolderOption = FOLDER,
    port: Annotated[
        int | None,
        typer.Option(
            help="Port of the embedded AWS. Default: the one it had before, or a free one.", min=1, max=65_535
        ),
    ] = None,
    *,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over: remove the data of the last run.")] = False,
) -> None:
    """Run the whole service on this machine, in the foreground, until Ctrl-C.

    It keeps its ports and its data, and ends with three lines to copy and the address of its page.

    Example: passwire up --fresh
    """
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with (
            _Steps() as steps,
            local_run(folder, on_progress=steps.step, port=port, fresh=fresh, any_pass_type=True) as stack,
        ):
            steps.finish()
            for name in ("api_url", "aws_endpoint_url", "apns_url", "apns_control_url"):
                _on_progress(f"{name:18} {getattr(stack, name)}")
            _on_progress(f"{'described in':18} {folder.resolve() / DESCRIPTION}")
            _print_next_steps(stack, folder)
            for line in read_logs(Stage.open(stack.stage), since=int(time.time() * 1000), follow=True):
                if line.readable:
                    _on_progress(line.readable)
    except KeyboardInterrupt:
        _on_progress("stopped; the data is kept for the next run")
        raise


def demo(folder: FolderOption = FOLDER) -> None:
    """Run the whole update loop, on the local run of this folder or on a new one.

    The printed link works until the local run stops. One that this command starts on a terminal runs until Ctrl-C.

    Example: passwire demo
    """
    signal.signal(signal.SIGTERM, _interrupt)
    running = LocalRun.read(folder)
    if running is not None:
        _on_progress(f"the pass: {run_demo(running, folder / 'demo', on_progress=_on_progress)}")
        return
    try:
        with _Steps() as steps, local_run(folder, on_progress=steps.step, any_pass_type=True) as stack:
            steps.finish()
            _on_progress(f"the pass: {run_demo(stack, folder / 'demo', on_progress=_on_progress)}")
            if sys.stdout.isatty():
                _on_progress("the link works until you press Ctrl-C")
                threading.Event().wait()
    except KeyboardInterrupt:
        _on_progress("stopped")
        raise


def phones(
    count: Annotated[int, typer.Option(help="Number of phones.", min=1, max=100_000)] = 100,
    folder: FolderOption = FOLDER,
    *,
    as_json: JsonOption = False,
) -> None:
    """Register headless phones with the local run, change their pass once, and report latencies and losses.

    Ends with exit code 1 if a phone never shows the change.

    Example: passwire phones --count 1000
    """
    running = LocalRun.read(folder)
    if running is None:
        read_description(folder)  # explains why
        raise StageError(f"no local run is up in {folder}; start it in another terminal: make up")
    report = measure(running, count, on_progress=standard_error().print)
    rows = {
        "phones": report.phones,
        "register_seconds": round(report.register_seconds, 2),
        "registrations_per_second": round(report.phones / report.register_seconds, 1),
        **{f"shown_p{round(share * 100)}_seconds": _rounded(report.latency(share)) for share in SHARES},
        "lost": report.lost,
        **{name: round(value, 2) for name, value in asdict(report.counts).items()},
    }
    if as_json:
        write_json(rows)
    else:
        shown = [(name.replace("_", " "), "-" if value is None else f"{value:,}") for name, value in rows.items()]
        write_table(("measured", "value"), shown, numbers=("value",))
    if report.lost:
        raise typer.Exit(1)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 2)


def stage_argument(context: typer.Context, value: str) -> str:
    """Return the valid name of a stage: that of the argument, else that of the global option or of `PASSWIRE_STAGE`.

    Raises:
        BadParameter: the name is not valid.
    """
    source = context.get_parameter_source("stage")
    if source is not None and source.name == "COMMANDLINE":
        return read_value("STAGE", check_stage_name, value)
    parent: Any = context.parent
    return chosen_stage(parent, None) or value


def env(
    stage: Annotated[
        str,
        typer.Argument(
            help="Name of the stage: `local`, or one that is deployed.",
            callback=stage_argument,
            autocompletion=complete_stages,
        ),
    ] = STAGE,
    folder: FolderOption = FOLDER,
    *,
    as_json: JsonOption = False,
) -> None:
    """Print the environment of a stage as shell commands, for AWS SDKs, the AWS CLI and notebooks.

    For `local`, they are the endpoint and credentials for AWS, PASSWIRE_PASS_TYPE, and the settings of the functions,
    with which `chalice local` works. For every stage, they are AWS_REGION, PASSWIRE_STAGE, PASSWIRE_PASSES_TABLE and
    PASSWIRE_TEMPLATES_BUCKET.

    Example: eval "$(passwire env local)"
    """
    variables: dict[str, str] = {}
    if stage == STAGE:
        description = read_description(folder)
        os.environ.pop("AWS_ENDPOINT_URL", None)  # that of an earlier run, if its port has changed
        use_stage(stage, folder=folder)
        variables = {**description["credentials"], "PASSWIRE_PASS_TYPE": description["pass_type_identifier"]}
    deployed = Stage.open(stage)
    if stage == STAGE:
        variables |= deployed.variables
    region = aws.client("dynamodb").meta.region_name
    variables |= {
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "PASSWIRE_STAGE": stage,
        "PASSWIRE_PASSES_TABLE": deployed.table("passes"),
        "PASSWIRE_TEMPLATES_BUCKET": deployed.templates_bucket,
    }
    if as_json:
        write_json(variables)
        return
    if stage == STAGE:
        write_line(f"unset {' '.join(REPLACED_VARIABLES)}")
    for name, value in variables.items():
        write_text(f"export {name}={shlex.quote(value)}")


def _print_next_steps(stack: LocalRun, folder: Path) -> None:
    """Print three lines to copy: issue a pass, open it, change it; before them, one that chooses another folder.

    The page selects the pass, and a person adds it to the phone, as with a real one.
    """
    tool = _command_line()
    pass_id = f"{stack.pass_type_identifier}/{FIRST_PASS}"
    console = standard_output()
    console.print(f"\nThe page with the simulated phones: {stack.page_url}/\n")
    console.print("Copy these lines into another terminal, to issue a pass, open it, and change it.")
    console.print("Before the last one, press 'Add to iPhone 1' on the page:\n")
    if folder.resolve() != FOLDER:
        console.print(f'  eval "$({tool} env local --folder {shlex.quote(str(folder.resolve()))})"')
    console.print(f"  {tool} pass issue {pass_id} --template {stack.template} --field gate=A7 --field seat=14C")
    console.print(f"  xdg-open '{stack.page_url}/?pass={pass_id}'")
    console.print(f"  {tool} pass update {pass_id} --field gate=B22\n")
    console.print("Press Ctrl-C to stop. The functions' logs follow.\n")


def _command_line() -> str:
    """Return how `passwire` of this checkout is called in a shell of the current folder."""
    tool = Path(sys.executable).with_name("passwire")
    if shutil.which("passwire") == str(tool):
        return "passwire"
    return shlex.quote(str(tool.relative_to(Path.cwd()) if tool.is_relative_to(Path.cwd()) else tool))


class _Steps:
    """Prints each step, and every `STILL_SECONDS` that it is still working."""

    def __init__(self) -> None:
        self._step = ""
        self._since = time.monotonic()
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=self._repeat, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def step(self, line: str) -> None:
        """Print a line, which begins a step."""
        self._step, self._since = line, time.monotonic()
        write_text(line)

    def finish(self) -> None:
        """End the last step; later lines are only printed."""
        self._ended.set()

    def _repeat(self) -> None:
        while not self._ended.wait(STILL_SECONDS):
            seconds = time.monotonic() - self._since
            if seconds >= STILL_SECONDS:
                write_text(f"  still {self._step} ({seconds:.0f} s)")


def _interrupt(*_: object) -> None:
    """Handle SIGTERM like Ctrl-C, so that every started process is stopped."""
    raise KeyboardInterrupt


def _on_progress(line: str) -> None:
    write_text(line)

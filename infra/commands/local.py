"""`up`, `demo` and `env`: run the service on this machine, and use it."""

import os
import shlex
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Annotated

import typer

from infra.commands.options import JsonOption
from infra.core.terminal import standard_output, write_json, write_line, write_text
from infra.local.demo import run_demo
from infra.local.run import LocalRun, local_run
from infra.operate.logs import read_logs
from infra.stage import aws
from infra.stage.local import DESCRIPTION, FOLDER, REPLACED_VARIABLES, STAGE, read_description, use_stage
from infra.stage.stage import Stage

FIRST_PASS = "HELLO-1"

FolderOption = Annotated[Path, typer.Option("--folder", help="Folder for certificates, data, logs and local.json.")]


def up(
    folder: FolderOption = FOLDER,
    port: Annotated[
        int | None, typer.Option(help="Port of the embedded AWS. Default: the one it had before, or a free one.")
    ] = None,
    *,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over: remove the data of the last run.")] = False,
) -> None:
    """Run the whole service on this machine, in the foreground, until Ctrl-C.

    It keeps its ports and its data, and ends with three lines to copy.

    Example: passwire up --fresh
    """
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with local_run(folder, on_progress=_on_progress, port=port, fresh=fresh, any_pass_type=True) as stack:
            for name in ("api_url", "aws_endpoint_url", "apns_url", "apns_control_url"):
                _on_progress(f"{name:18} {getattr(stack, name)}")
            _on_progress(f"{'described in':18} {folder.resolve() / DESCRIPTION}")
            _print_next_steps(stack)
            for line in read_logs(Stage.open(stack.stage), since=int(time.time() * 1000), follow=True):
                if line.readable:
                    _on_progress(line.readable)
    except KeyboardInterrupt:
        _on_progress("stopped; the data is kept for the next run")


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
        with local_run(folder, on_progress=_on_progress, any_pass_type=True) as stack:
            _on_progress(f"the pass: {run_demo(stack, folder / 'demo', on_progress=_on_progress)}")
            if sys.stdout.isatty():
                _on_progress("the link works until you press Ctrl-C")
                threading.Event().wait()
    except KeyboardInterrupt:
        _on_progress("stopped")


def env(
    stage: Annotated[str, typer.Argument(help="Name of the stage: `local`, or one that is deployed.")] = STAGE,
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


def _print_next_steps(stack: LocalRun) -> None:
    """Print three lines to copy: issue a pass, open it, change it."""
    tool = _command_line()
    pass_id = f"{stack.pass_type_identifier}/{FIRST_PASS}"
    console = standard_output()
    console.print("\nCopy these lines into another terminal, to issue a pass, open it, and change it:\n")
    console.print(f"  {tool} pass issue {pass_id} --template {stack.template} --field gate=A7 --field seat=14C")
    console.print(f"  {tool} pass link {pass_id} --qr")
    console.print(f"  {tool} pass update {pass_id} --field gate=B22\n")
    console.print("Press Ctrl-C to stop. The functions' logs follow.\n")


def _command_line() -> str:
    """Return how `passwire` of this checkout is called in a shell of the current folder."""
    tool = Path(sys.executable).with_name("passwire")
    if shutil.which("passwire") == str(tool):
        return "passwire"
    return shlex.quote(str(tool.relative_to(Path.cwd()) if tool.is_relative_to(Path.cwd()) else tool))


def _interrupt(*_: object) -> None:
    """Handle SIGTERM like Ctrl-C, so that every started process is stopped."""
    raise KeyboardInterrupt


def _on_progress(line: str) -> None:
    write_text(line)

"""`up` and `demo`: run the service on this machine."""

import signal
import time
from pathlib import Path
from typing import Annotated

import typer

from infra.core.terminal import write_text
from infra.local.demo import run_demo
from infra.local.processes import PROJECT
from infra.local.run import DESCRIPTION, LocalRun, local_run
from infra.operate.logs import read_logs
from infra.stage.stage import Stage

FOLDER = PROJECT / ".passwire"

FolderOption = Annotated[Path, typer.Option("--folder", help="Folder for certificates, logs and local.json.")]


def up(
    folder: FolderOption = FOLDER,
    port: Annotated[int | None, typer.Option(help="Port of the embedded AWS; a free port by default.")] = None,
) -> None:
    """Run the whole service on this machine, in the foreground, until Ctrl-C.

    Example: python -m infra up --port 4566
    """
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with local_run(folder, on_progress=_on_progress, port=port) as stack:
            for name in ("api_url", "aws_endpoint_url", "apns_url", "apns_control_url"):
                _on_progress(f"{name:18} {getattr(stack, name)}")
            _on_progress(f"{'described in':18} {folder.resolve() / DESCRIPTION}")
            _on_progress("press Ctrl-C to stop")
            for line in read_logs(Stage.open(stack.stage), since=int(time.time() * 1000), follow=True):
                if line.readable:
                    _on_progress(line.readable)
    except KeyboardInterrupt:
        _on_progress("stopped")


def demo(folder: FolderOption = FOLDER) -> None:
    """Run the whole update loop, on the local run of this folder or on a new one.

    Example: python -m infra demo
    """
    signal.signal(signal.SIGTERM, _interrupt)
    running = LocalRun.read(folder)
    if running is not None:
        final = run_demo(running, folder / "demo", on_progress=_on_progress)
    else:
        with local_run(folder, on_progress=_on_progress) as stack:
            final = run_demo(stack, folder / "demo", on_progress=_on_progress)
    _on_progress(f"the pass: {final}")


def _interrupt(*_: object) -> None:
    """Handle SIGTERM like Ctrl-C, so that every started process is stopped."""
    raise KeyboardInterrupt


def _on_progress(line: str) -> None:
    write_text(line)

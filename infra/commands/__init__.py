"""The command line `passwire`, also `python -m infra`: one module per group of commands."""

import errno
import sys
import warnings
from typing import Annotated

import typer
from botocore.exceptions import BotoCoreError, ClientError
from typer._completion_classes import completion_init

from chalicelib.core.errors import PasswireError
from infra.commands import completion, lazy
from infra.commands.remedies import with_remedy
from infra.commands.version import print_version, require_checkout
from infra.core.terminal import standard_error, styled
from infra.stage.aws import explain

EXPECTED = (PasswireError, BotoCoreError, ClientError, OSError)
"""Errors that the command line reports in one sentence. Any other is a defect and ends with a traceback."""
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
INTERRUPTED = 130

HELP = """Passwire: updatable Apple Wallet passes, serverless.

Exit codes: 0 success; 1 failure, or a check found something, described in one sentence; 2 invalid arguments;
3 `diff` found changes; 130 interrupted.

Example: python -m infra deploy --stage dev
"""

COMMANDS = {
    "up": "local.up",
    "demo": "local.demo",
    "phones": "local.phones",
    "env": "local.env",
    "deploy": "stack.deploy",
    "diff": "stack.diff",
    "package": "stack.package",
    "outputs": "stack.outputs",
    "logs": "stack.logs",
    "destroy": "stack.destroy",
    "prepare": "chalice.prepare",
    "finish": "chalice.finish",
    "doctor": "doctor.doctor",
    "backup": "backup.backup",
    "restore": "backup.restore",
    "cost": "cost.cost",
    "simulate": "simulate.simulate",
    "ci": "ci.app",
    "completion": "completion.completion",
    "schema": "schema.schema",
    "cert": "cert.app",
    "template": "template.app",
    "image": "image.app",
    "push": "push.app",
    "pass": "passes.app",
}

app = typer.Typer(
    name="python -m infra",
    cls=lazy.group_of(COMMANDS),
    help=HELP,
    add_completion=False,  # it would complete `python`; see the command `completion`
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def options(
    *,
    version: Annotated[  # noqa: ARG001 - its callback has printed it
        bool,
        typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Handle the options of the command line itself, whose help text is `HELP`."""
    require_checkout()


def main() -> int:
    """Run the command line with the arguments of this process, and return the exit code."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # libraries warn their developers, who pass -W
    errors = standard_error()
    completion_init()
    try:
        app(standalone_mode=True, complete_var=completion.VARIABLE)
    except EXPECTED as error:
        errors.print(styled("error:", "red", f" {_sentence(error)}"))
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _sentence(error: BaseException) -> str:
    """Describe an error; AWS's own error says more than the one that it caused."""
    for candidate in (error, error.__cause__):
        if isinstance(candidate, (BotoCoreError, ClientError)):
            return explain(candidate)
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        path = error.filename or "a file"
        return f"{path} cannot be written: {error.strerror}; free some space, then run the command again"
    return with_remedy(error) if isinstance(error, PasswireError) else str(error)

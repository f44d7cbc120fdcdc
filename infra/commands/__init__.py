"""The command line, a file for each group of commands."""

import errno
import sys
import warnings
from typing import Annotated

import typer
from botocore.exceptions import BotoCoreError, ClientError
from typer._completion_classes import completion_init

from chalicelib.core.errors import PasswireError
from infra.commands import completion, lazy
from infra.commands.version import print_version, require_checkout
from infra.core.terminal import standard_error, styled
from infra.stage.aws_errors import explain

EXPECTED = (PasswireError, BotoCoreError, ClientError, OSError)
"""What is said in a sentence (a full disk too); anything else is a defect and shows where it came from."""
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
INTERRUPTED = 130

HELP = """Passwire: updatable Apple Wallet passes, serverless.

Exit codes: 0 done; 1 it could not be done, or a check found something (a sentence says what); 2 the command was not
understood; 3 `diff` found something to change; 130 interrupted.

Example: python -m infra deploy --stage dev
"""

COMMANDS = {
    "up": "local.up",
    "demo": "local.demo",
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
    cls=lazy.having(COMMANDS),
    help=HELP,
    add_completion=False,  # it would complete `python`; `completion` gives the command line a name
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
    """Options of the command line itself. `HELP` is its help text."""
    require_checkout()


def main() -> int:
    """Run the command line of this process; its exit code."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # what libraries warn of is for developers, who ask for it with -W
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
    """What AWS refused says more than that the service had no answer from it."""
    for said in (error, error.__cause__):
        if isinstance(said, (BotoCoreError, ClientError)):
            return explain(said)
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return f"{error.filename or 'a file'} cannot be written: {error.strerror}; make room and repeat the command"
    return str(error)

"""The command line, a file for each group of commands."""

import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.markup import escape
from typer._completion_classes import completion_init

from chalicelib.domain.errors import PasswireError
from infra.aws import explain
from infra.backup.errors import BackupError
from infra.certificates import CertificateError
from infra.commands import (
    backup,
    bulk,
    cert,
    chalice,
    completion,
    cost,
    doctor,
    history,
    local,
    passes,
    push,
    stack,
    template,
)
from infra.local.ministack import LocalError
from infra.local.phone import PhoneError
from infra.logs import LogsError
from infra.pushes import PushesError
from infra.stack.deploy import DeployError
from infra.stack.package import PackagingError

EXPECTED = (
    PasswireError,
    CertificateError,
    LocalError,
    LogsError,
    PhoneError,
    DeployError,
    PackagingError,
    PushesError,
    BackupError,
    BotoCoreError,
    ClientError,
    OSError,
)
"""What is said in a sentence (a full disk too); anything else is a defect and shows where it came from."""
INTERRUPTED = 130

HELP = """Passwire: updatable Apple Wallet passes, serverless.

Exit codes: 0 done; 1 it could not be done, or a check found something (a sentence says what); 2 the command was not
understood; 3 `diff` found something to change; 130 interrupted.

Example: python -m infra deploy --stage dev
"""

app = typer.Typer(
    name="python -m infra",
    help=HELP,
    add_completion=False,  # it would complete `python`; `completion` gives the command line a name
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(local.up)
app.command()(local.demo)
app.command()(stack.deploy)
app.command()(stack.diff)
app.command()(stack.outputs)
app.command()(stack.logs)
app.command()(stack.destroy)
app.command()(chalice.prepare)
app.command()(chalice.finish)
app.command()(doctor.doctor)
app.command()(backup.backup)
app.command()(backup.restore)
app.command()(cost.cost)
app.command()(completion.completion)
app.add_typer(cert.app)
app.add_typer(template.app)
app.add_typer(push.app)
passes.app.command(name="import")(bulk.import_file)
passes.app.command(name="export")(bulk.export_file)
passes.app.command()(history.history)
app.add_typer(passes.app)


def main() -> int:
    """Run the command line of this process; its exit code."""
    errors = Console(stderr=True)
    completion_init()
    try:
        app(standalone_mode=True, complete_var=completion.VARIABLE)
    except EXPECTED as error:
        errors.print(f"[red]error:[/red] {escape(_sentence(error))}", highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _sentence(error: BaseException) -> str:
    """What AWS refused says more than that the service had no answer from it."""
    for said in (error, error.__cause__):
        if isinstance(said, (BotoCoreError, ClientError)):
            return explain(said)
    return str(error)

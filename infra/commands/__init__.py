"""The command line, a file for each group of commands.

Exit codes: 0 done, 1 it could not be done (the message says why), 2 the command was not understood, 3 `diff` found
something to change, 130 interrupted.
"""

import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.markup import escape

from chalicelib.domain.errors import PasswireError
from infra.aws import explain
from infra.backup.errors import BackupError
from infra.commands import backup, bulk, chalice, cost, doctor, history, local, passes, push, stack, template
from infra.local.ministack import LocalError
from infra.local.phone import PhoneError
from infra.logs import LogsError
from infra.pushes import PushesError
from infra.stack.deploy import DeployError
from infra.stack.package import PackagingError

EXPECTED = (
    PasswireError,
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

app = typer.Typer(
    name="python -m infra",
    help="Passwire: updatable Apple Wallet passes, serverless.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
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
app.add_typer(template.app)
app.add_typer(push.app)
passes.app.command(name="import")(bulk.import_file)
passes.app.command(name="export")(bulk.export_file)
passes.app.command()(history.history)
app.add_typer(passes.app)


def main() -> int:
    """Run the command line of this process; its exit code."""
    errors = Console(stderr=True)
    try:
        app(standalone_mode=True)
    except EXPECTED as error:
        sentence = explain(error) if isinstance(error, (BotoCoreError, ClientError)) else str(error)
        errors.print(f"[red]error:[/red] {escape(sentence)}", highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0

"""The command line `passwire`, also `python -m infra`: one module per group of commands."""

import errno
import re
import sys
import warnings
from typing import Annotated

import typer
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.core.errors import PasswireError
from infra.commands import lazy
from infra.commands.completion import complete_stages
from infra.commands.options import STAGE_VARIABLE
from infra.commands.remedies import with_remedy
from infra.commands.version import print_version, require_checkout
from infra.core import program
from infra.core.errors import InvalidValueError
from infra.core.terminal import standard_error, styled
from infra.stage import aws

EXPECTED = (PasswireError, BotoCoreError, ClientError, OSError)
"""Errors that the command line reports in one sentence. Any other is a defect and ends with a traceback."""
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FAILED, INVALID, INTERRUPTED = 1, 2, 130
COMPLETION_OPTIONS = ("--install-completion", "--show-completion")
REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]+")

HELP = """Passwire: updatable Apple Wallet passes, serverless.

Exit codes: 0 success; 1 failure, or a check found something, described in one sentence; 2 an invalid option, argument
or value; 3 `diff` found changes; 130 interrupted.

`--stage`, `--profile` and `--region` can be given before or after a command.

Example: passwire deploy --stage dev
"""

COMMANDS = {
    "up": "local.up",
    "demo": "local.demo",
    "phones": "local.phones",
    "env": "local.env",
    "deploy": "stack.deploy",
    "diff": "stack.diff",
    "package": "stack.package",
    "stages": "stages.stages",
    "outputs": "stages.outputs",
    "logs": "logs.logs",
    "destroy": "stack.destroy",
    "prepare": "chalice.prepare",
    "finish": "chalice.finish",
    "events": "events.app",
    "stats": "stats.stats",
    "doctor": "doctor.doctor",
    "backup": "backup.backup",
    "restore": "backup.restore",
    "cost": "cost.cost",
    "simulate": "simulate.simulate",
    "ci": "ci.app",
    "schema": "schema.schema",
    "cert": "cert.app",
    "keys": "keys.app",
    "template": "template.app",
    "image": "image.app",
    "push": "push.app",
    "pass": "passes.app",
}

app = typer.Typer(
    name=program.NAME,
    cls=lazy.group_of(COMMANDS),
    help=program.renamed(HELP),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def options(
    context: typer.Context,
    *,
    stage: Annotated[  # noqa: ARG001 - the commands read it from the context
        str | None,
        typer.Option(
            "--stage", "-s", envvar=STAGE_VARIABLE, help="Stage of the command.", autocompletion=complete_stages
        ),
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help="Profile of the AWS configuration, instead of AWS_PROFILE; also after a command.")
    ] = None,
    region: Annotated[str | None, typer.Option(help="AWS region, instead of AWS_REGION; also after a command.")] = None,
    version: Annotated[  # noqa: ARG001 - its callback has printed it
        bool,
        typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Handle the options of the command line itself, whose help text is `HELP`."""
    require_checkout()
    if profile is not None and profile not in (known := aws.profiles()):
        listed = f"; there are {', '.join(known)}" if known else ""
        raise typer.BadParameter(f"the AWS configuration has no profile {profile!r}{listed}", param_hint="--profile")
    if region is not None and not REGION.fullmatch(region):
        raise typer.BadParameter(f"{region!r} is not a region such as eu-central-1", param_hint="--region")
    given = {"--profile": profile, "--region": region}
    context.with_resource(program.called_with(tuple(t for pair in given.items() if pair[1] for t in pair if t)))
    context.with_resource(aws.selected(profile=profile, region=region))


def main() -> int:
    """Run the command line with the arguments of this process, and return the exit code."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # libraries warn their developers, who pass -W
    if program.name() != program.NAME and any(text.startswith(COMPLETION_OPTIONS) for text in sys.argv[1:]):
        standard_error().print(
            f"error: shells complete a program by its name, so call it {program.NAME}, as `make install` does"
        )
        return INVALID
    try:
        app(standalone_mode=True, prog_name=program.name())
    except EXPECTED as error:
        return report(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def report(error: BaseException) -> int:
    """Print an error that is in `EXPECTED`, and return the exit code."""
    standard_error().print(styled("error:", "red", f" {_sentence(error)}"))
    return INVALID if isinstance(error, InvalidValueError) else FAILED


def _sentence(error: BaseException) -> str:
    """Describe an error; AWS's own error says more than the one that it caused."""
    for candidate in (error, error.__cause__):
        if isinstance(candidate, (BotoCoreError, ClientError)):
            return aws.explain(candidate)
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        path = error.filename or "a file"
        return f"{path} cannot be written: {error.strerror}; free some space, then run the command again"
    return with_remedy(error) if isinstance(error, PasswireError) else str(error)

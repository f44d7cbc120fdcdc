"""`ci`: writes what a CI service needs to deploy stages."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from infra.commands.options import JsonOption
from infra.core.terminal import printable, standard_error, write_json, write_line
from infra.deploy.errors import DeployError
from infra.deploy.github import Pipeline, Target, roles_commands, written

app = typer.Typer(name="ci", help="Deployment by a CI service: github.", no_args_is_help=True)


@app.callback()
def ci() -> None:
    """Deployment by a CI service: github."""


@app.command()
def github(
    stages: Annotated[
        list[str],
        typer.Option("--stage", metavar="STAGE=ACCOUNT", help="A stage and its AWS account; repeat it, in order."),
    ],
    repository: Annotated[str, typer.Option(metavar="OWNER/NAME", help="The repository on GitHub.")],
    region: Annotated[str, typer.Option(help="Region of the stages. Default: AWS_REGION.")] = "",
    branch: Annotated[str, typer.Option(help="Branch that is deployed.")] = "main",
    out: Annotated[Path, typer.Option(help="Folder of the checkout to write to.")] = Path(),
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Replace files without asking for confirmation.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a GitHub Actions workflow, and the CloudFormation template of the IAM roles that it uses.

    The workflow checks every change, shows on a pull request what it would change in each stage, and deploys the branch
    stage by stage, with `doctor` after each. It needs no stored AWS keys. Nothing is deployed by this command.

    Example: python -m infra ci github --repository acme/passes --stage dev=111122223333 --stage prod=444455556666
    --region eu-central-1
    """
    pipeline = Pipeline(
        repository=repository,
        branch=branch,
        region=region or os.environ.get("AWS_REGION", "") or os.environ.get("AWS_DEFAULT_REGION", ""),
        targets=[Target.parse(text) for text in stages],
    )
    files = {out / name: text for name, text in written(pipeline).items()}
    changed = [path for path, text in files.items() if path.exists() and path.read_text() != text]
    if changed and not yes:
        _confirm(changed)
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    commands = roles_commands(pipeline)
    if as_json:
        write_json({"files": [str(path) for path in files], "commands": commands})
        return
    for path in files:
        write_line(f"wrote {path}")
    write_line("create the roles with administrator's credentials for each account:")
    for command in commands:
        write_line(f"  {command}")
    standard_error().print(
        "then create a GitHub environment per stage (docs/guides/github-actions.md), and deploy each stage once by hand"
    )


def _confirm(paths: list[Path]) -> None:
    names = ", ".join(map(str, paths))
    if not sys.stdin.isatty():
        raise typer.BadParameter(
            f"{names}: already exists with other content; to replace it without a terminal, add --yes"
        )
    if not typer.confirm(printable(f"{names}: already exists with other content; replace it?"), err=True):
        raise DeployError("declined; nothing was written")

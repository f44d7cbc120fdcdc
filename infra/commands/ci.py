"""`ci`: writes what a CI service needs to deploy stages."""

import os
from pathlib import Path
from typing import Annotated

import typer

from infra.commands.confirmation import confirm
from infra.commands.options import JsonOption, YesOption, read_value
from infra.core.terminal import standard_error, write_json, write_line
from infra.deploy.github import DeploymentTarget, Pipeline, roles_commands, written

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
    branch: Annotated[str, typer.Option(help="Branch that is deployed.")] = "main",
    out: Annotated[
        Path, typer.Option(help="Folder of the checkout to write to.", exists=True, file_okay=False)
    ] = Path(),
    *,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write a GitHub Actions workflow, and the CloudFormation template of the IAM roles that it uses.

    The workflow checks every change, shows on a pull request what it would change in each stage, and deploys the branch
    stage by stage, with `doctor` after each. It needs no stored AWS keys. Nothing is deployed by this command. The
    region of the stages is that of --region or AWS_REGION.

    Example: passwire ci github --repository acme/passes --stage dev=111122223333 --stage prod=444455556666
    --region eu-central-1
    """
    pipeline = Pipeline(
        repository=repository,
        branch=branch,
        region=os.environ.get("AWS_REGION", "") or os.environ.get("AWS_DEFAULT_REGION", ""),
        targets=[read_value("--stage", DeploymentTarget.parse, text) for text in stages],
    )
    files = {out / name: text for name, text in written(pipeline).items()}
    changed = [path for path, text in files.items() if path.exists() and path.read_text() != text]
    if changed:
        confirm(f"replace {', '.join(map(str, changed))}?", yes=yes, unchanged="nothing was written")
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

"""`deploy`, `diff`, `package`, `outputs`, `logs`, `destroy`: a stage in AWS."""

import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from infra.commands.dialogue import Terminal
from infra.commands.options import (
    ApnsPushTypeOption,
    JsonOption,
    SetOption,
    SinceOption,
    StageOption,
    WebServiceUrlOption,
    YesOption,
    read_since,
)
from infra.core.terminal import write_json, write_line, write_text
from infra.deploy.chalice.stage import ChaliceDeployer
from infra.deploy.deployer import Deployer
from infra.deploy.errors import DeployError
from infra.deploy.git import read_checkout
from infra.deploy.package import build_package
from infra.deploy.parameters import read_parameters
from infra.deploy.write_package import write_package
from infra.operate.logs import read_logs
from infra.stage.aws import is_embedded
from infra.stage.secrets import check_authentication_keys, ensure_authentication_keys
from infra.stage.stage import Stage

DIFFERS = 3
"""Exit code of `diff` if a deployment would change something."""


def deploy(
    stage: StageOption = "dev",
    web_service_url: WebServiceUrlOption = None,
    apns_push_type: ApnsPushTypeOption = None,
    parameters: SetOption = None,
    *,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Deploy this checkout to a stage: package it, show the changes, ask for confirmation, make them.

    Example: python -m infra deploy --stage dev --set ThrottleRate=500
    """
    given = read_parameters(parameters or [], web_service_url=web_service_url, apns_push_type=apns_push_type)
    refuse_without_terminal(yes=yes)
    with tempfile.TemporaryDirectory() as work, Terminal(stage=stage, yes=yes) as dialogue:
        warn_of_dirty_checkout(dialogue, yes=yes)
        check_authentication_keys(stage)
        deployed = Deployer(stage, on_progress=dialogue.on_progress).deploy(
            lambda: build_package(stage, Path(work)), parameters=given, dialogue=dialogue
        )
    ensure_authentication_keys(stage, on_progress=dialogue.on_progress)
    print_values(deployed.outputs, as_json=as_json)


def diff(
    stage: StageOption = "dev",
    web_service_url: WebServiceUrlOption = None,
    apns_push_type: ApnsPushTypeOption = None,
    parameters: SetOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Show what `deploy` would change, without changing anything. Exit code 3 if there are changes.

    Example: python -m infra diff --stage prod
    """
    given = read_parameters(parameters or [], web_service_url=web_service_url, apns_push_type=apns_push_type)
    with tempfile.TemporaryDirectory() as work, Terminal(stage=stage, yes=False) as dialogue:
        changes = Deployer(stage, on_progress=dialogue.on_progress).diff(
            lambda: build_package(stage, Path(work)), parameters=given
        )
    if as_json:
        write_json([asdict(change) for change in changes])
    elif changes:
        for change in changes:
            write_line(str(change))
    else:
        write_line("nothing would change")
    if changes:
        raise typer.Exit(DIFFERS)


def package(
    stage: StageOption = "dev",
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("package"),
    web_service_url: WebServiceUrlOption = None,
    apns_push_type: ApnsPushTypeOption = None,
    parameters: SetOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Write a stage's template, code and deployment script to a folder, for your own pipeline. Nothing is deployed.

    Example: python -m infra package --stage prod --out build
    """
    given = read_parameters(parameters or [], web_service_url=web_service_url, apns_push_type=apns_push_type)
    place = Deployer(stage, on_progress=lambda _: None).location()
    with tempfile.TemporaryDirectory() as work:
        written = write_package(
            build_package(stage, Path(work)),
            location=place,
            parameters=given,
            commit=read_checkout().name,
            folder=out,
        )
    print_values(written, as_json=as_json)


def outputs(stage: StageOption = "dev", *, as_json: JsonOption = False) -> None:
    """Print the URLs and names of a deployed stage.

    Example: python -m infra outputs --stage dev --json
    """
    print_values(Stage.open(stage).outputs, as_json=as_json)


def logs(
    stage: StageOption = "dev",
    since: SinceOption = "10m",
    *,
    follow: Annotated[bool, typer.Option("--follow", help="Continue with new lines until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print each line as a JSON object, for scripts.")] = False,
) -> None:
    """Print the logs of all functions of a stage in order, with times in UTC.

    Example: python -m infra logs --stage dev --since 1h --follow
    """
    begin = read_since(since)
    deployed = Stage.open(stage)
    for line in read_logs(deployed, since=int(begin * 1000), follow=follow):
        text = line.as_json if as_json else line.readable
        if text:
            write_text(text)


def destroy(
    stage: Annotated[str, typer.Option("--stage", help="Name of the stage to delete.")],
    *,
    with_data: Annotated[bool, typer.Option("--with-data", help="Also delete tables, templates and secrets.")] = False,
    confirm: Annotated[
        str, typer.Option(metavar="STAGE", help="Name of the stage again, instead of typing it when asked.")
    ] = "",
) -> None:
    """Delete a stage but keep its tables, templates and secrets, which the next `deploy` takes over.

    Example: python -m infra destroy --stage dev
    """
    with Terminal(stage=stage, yes=True) as dialogue:
        deployer = Deployer(stage, on_progress=dialogue.on_progress)
        if not confirm and not sys.stdin.isatty():
            raise typer.BadParameter(f"confirmation needs a terminal; without one, add --confirm {stage}")
        data = (
            " with all its tables, templates and secrets" if with_data else "; tables, templates and secrets are kept"
        )
        dialogue.on_progress(f"stage {stage} will be deleted{data}")
        if devices := deployer.registered_devices():
            dialogue.on_progress(
                f"registered devices: {devices}; the URL that they call is deleted with the stage, and a new API has "
                "another. Unless the stage has a domain, they will not get updates from any later deployment"
            )
        if with_data:
            dialogue.on_progress(
                "AWS keeps a backup of each table for 35 days (point-in-time recovery), but none of the bucket and the "
                "secrets: make one with `backup` first"
            )
        named = confirm or typer.prompt("type the stage's name to confirm", err=True)
        if named != stage:
            raise DeployError(f"not confirmed: {named!r} is not {stage!r}; nothing was deleted")
        is_deployed_by_chalice = deployer.is_deployed_by_chalice
        kept = deployer.destroy(with_data=with_data, dialogue=dialogue)
        if is_deployed_by_chalice:
            ChaliceDeployer(stage, on_progress=dialogue.on_progress).forget()
            dialogue.on_progress(
                f"chalice deployed its functions and its API; to delete them, run: chalice delete --stage {stage}"
            )
    for names in kept.values():
        for name in names:
            write_line(f"{'deleted' if with_data else 'kept':8} {name}")


def refuse_without_terminal(*, yes: bool) -> None:
    """Refuse, before packaging takes its time, to deploy without a way to ask for confirmation.

    Raises:
        BadParameter: there is neither a terminal nor `--yes`.
    """
    if not yes and not sys.stdin.isatty():
        raise typer.BadParameter(
            "confirmation needs a terminal; without one, add --yes, and see with `diff` what will change"
        )


def warn_of_dirty_checkout(dialogue: Terminal, *, yes: bool) -> None:
    """Ask before uncommitted changes are deployed; a script must not deploy them, except to an embedded AWS.

    Raises:
        DeployError: `--yes` was given, or the person declined.
    """
    warning = read_checkout().warning
    if not warning or is_embedded():
        return
    if yes:
        raise DeployError(f"{warning}; commit them, or deploy without --yes")
    if not dialogue.allows(f"{warning}; continue?"):
        raise DeployError("declined; nothing was changed")


def print_values(values: Mapping[str, str], *, as_json: bool) -> None:
    """Print names and values, aligned or as JSON."""
    if as_json:
        write_json(dict(values))
        return
    width = max(map(len, values), default=0)
    for name, value in sorted(values.items()):
        write_line(f"{name:{width}}  {value}")

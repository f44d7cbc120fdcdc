"""`deploy`, `diff`, `outputs`, `destroy`: a stage in AWS."""

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
from infra.deploy.chalice.stage import ChaliceStage
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
"""Exit code of `diff` where a deployment would change something."""


def deploy(
    stage: StageOption = "dev",
    web_service_url: WebServiceUrlOption = None,
    apns_push_type: ApnsPushTypeOption = None,
    parameters: SetOption = None,
    *,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Bring a stage to the state of this checkout: package, show what will change, ask, do it.

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
    """Show what `deploy` would change, and change nothing; exit code 3 where that is anything.

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
    out: Annotated[Path, typer.Option(help="The folder that is written.")] = Path("package"),
    web_service_url: WebServiceUrlOption = None,
    apns_push_type: ApnsPushTypeOption = None,
    parameters: SetOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Write a stage's template, code and commands into a folder, for a pipeline of your own; nothing is deployed.

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
    follow: Annotated[bool, typer.Option("--follow", help="Go on with what comes, until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print every line as a JSON object, for scripts.")] = False,
) -> None:
    """Print what all functions of a stage wrote, in order; times are UTC.

    Example: python -m infra logs --stage dev --since 1h --follow
    """
    begin = read_since(since)
    deployed = Stage.open(stage)
    for line in read_logs(deployed, since=int(begin * 1000), follow=follow):
        text = line.as_json if as_json else line.readable
        if text:
            write_text(text)


def destroy(
    stage: Annotated[str, typer.Option("--stage", help="Which deployment to delete.")],
    *,
    with_data: Annotated[bool, typer.Option("--with-data", help="Delete tables, templates and secrets too.")] = False,
    confirm: Annotated[
        str, typer.Option(metavar="STAGE", help="The stage's name once more, instead of being asked for it.")
    ] = "",
) -> None:
    """Delete a stage; its tables, templates and secrets stay, and the next `deploy` takes them over.

    Example: python -m infra destroy --stage dev
    """
    with Terminal(stage=stage, yes=True) as dialogue:
        deployer = Deployer(stage, on_progress=dialogue.on_progress)
        if not confirm and not sys.stdin.isatty():
            raise typer.BadParameter(f"there is no terminal to ask at; add --confirm {stage}")
        lost = "and all its tables, templates and secrets" if with_data else "; tables, templates and secrets stay"
        dialogue.on_progress(f"stage {stage} will be deleted{' ' if with_data else ''}{lost}")
        if devices := deployer.registered_devices():
            dialogue.on_progress(
                f"registered devices: {devices}; the address that they call goes with the stage, and a new API has "
                "a new one. Without a domain of the stage's own they get no more updates, whatever is deployed later"
            )
        if with_data:
            dialogue.on_progress(
                "AWS keeps a backup of each table for 35 days (point-in-time recovery), and nothing of the bucket and "
                "the secrets: make a copy with `backup` first"
            )
        named = confirm or typer.prompt("type the stage's name to go on", err=True)
        if named != stage:
            raise DeployError(f"declined: {named!r} is not {stage!r}; nothing was deleted")
        by_chalice = deployer.by_chalice
        kept = deployer.destroy(with_data=with_data, dialogue=dialogue)
        if by_chalice:
            ChaliceStage(stage, on_progress=dialogue.on_progress).forget()
            dialogue.on_progress(f"its functions and its API are Chalice's; now run: chalice delete --stage {stage}")
    for names in kept.values():
        for name in names:
            write_line(f"{'deleted' if with_data else 'kept':8} {name}")


def refuse_without_terminal(*, yes: bool) -> None:
    """Say so before minutes go by.

    Raises:
        BadParameter: nobody can be asked.
    """
    if not yes and not sys.stdin.isatty():
        raise typer.BadParameter("there is no terminal to ask at; add --yes, and see what will change with `diff`")


def warn_of_dirty_checkout(dialogue: Terminal, *, yes: bool) -> None:
    """A person decides whether to deploy what no commit holds; a script must not, but to an embedded AWS.

    Raises:
        DeployError: it is not to be deployed.
    """
    warning = read_checkout().warning
    if not warning or is_embedded():
        return
    if yes:
        raise DeployError(f"{warning}; commit them, or deploy without --yes")
    if not dialogue.allows(f"{warning}; go on?"):
        raise DeployError("declined; nothing was changed")


def print_values(values: Mapping[str, str], *, as_json: bool) -> None:
    """Names and values, for a person or a script."""
    if as_json:
        write_json(dict(values))
        return
    width = max(map(len, values), default=0)
    for name, value in sorted(values.items()):
        write_line(f"{name:{width}}  {value}")

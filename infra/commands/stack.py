"""`deploy`, `diff`, `package`, `destroy`: a stage in AWS."""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from infra.commands.confirmation import confirm, require_answer
from infra.commands.dialogue import Terminal
from infra.commands.next_steps import after_deployment
from infra.commands.options import (
    ApnsPushTypeOption,
    JsonOption,
    NamedStageOption,
    OverwriteOption,
    SetOption,
    StageOption,
    WebServiceUrlOption,
    YesOption,
    read_parameters,
)
from infra.core.terminal import standard_error, write_json, write_line, write_table, write_values
from infra.deploy.chalice.stage import ChaliceDeployer
from infra.deploy.changes import ResourceChange
from infra.deploy.deployer import Deployer
from infra.deploy.errors import DeployError
from infra.deploy.git import read_checkout
from infra.deploy.package import build_package
from infra.deploy.write_package import check_new_folder, write_package
from infra.stage.aws import is_embedded
from infra.stage.secrets import check_authentication_keys, ensure_authentication_keys

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

    Example: passwire deploy --stage dev --set ThrottleRate=500
    """
    given = read_parameters(parameters, web_service_url=web_service_url, apns_push_type=apns_push_type)
    require_answer(yes=yes)
    with tempfile.TemporaryDirectory() as work, Terminal(stage=stage, yes=yes) as dialogue:
        warn_of_dirty_checkout(dialogue, yes=yes)
        check_authentication_keys(stage)
        deployed = Deployer(stage, on_progress=dialogue.on_progress).deploy(
            lambda: build_package(stage, Path(work)), parameters=given, dialogue=dialogue
        )
    ensure_authentication_keys(stage, on_progress=dialogue.on_progress)
    if as_json:
        write_json(dict(deployed.outputs))
    else:
        write_values(sorted(deployed.outputs.items()))
    after_deployment(deployed)


def diff(
    stage: StageOption = "dev",
    web_service_url: WebServiceUrlOption = None,
    apns_push_type: ApnsPushTypeOption = None,
    parameters: SetOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Show what `deploy` would change, without changing anything. Exit code 3 if there are changes.

    Example: passwire diff --stage prod
    """
    given = read_parameters(parameters, web_service_url=web_service_url, apns_push_type=apns_push_type)
    with tempfile.TemporaryDirectory() as work, Terminal(stage=stage, yes=False) as dialogue:
        changes = Deployer(stage, on_progress=dialogue.on_progress).diff(
            lambda: build_package(stage, Path(work)), parameters=given
        )
    write_changes(changes, as_json=as_json)
    if changes:
        raise typer.Exit(DIFFERS)


def write_changes(changes: Sequence[ResourceChange], *, as_json: bool) -> None:
    """Print the changes of a deployment."""
    if as_json:
        write_json([asdict(change) for change in changes])
    elif changes:
        for change in changes:
            write_line(str(change))
    else:
        standard_error().print("nothing would change")


def package(
    stage: StageOption = "dev",
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("package"),
    web_service_url: WebServiceUrlOption = None,
    apns_push_type: ApnsPushTypeOption = None,
    parameters: SetOption = None,
    *,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write a stage's template, code and deployment script to a folder, for your own pipeline. Nothing is deployed.

    Example: passwire package --stage prod --out build
    """
    given = read_parameters(parameters, web_service_url=web_service_url, apns_push_type=apns_push_type)
    check_new_folder(out, overwrite=overwrite)
    place = Deployer(stage, on_progress=lambda _: None).location()
    with tempfile.TemporaryDirectory() as work:
        written = write_package(
            build_package(stage, Path(work)),
            location=place,
            parameters=given,
            commit=read_checkout().name,
            folder=out,
        )
    if as_json:
        write_json(written)
    else:
        write_values(sorted(written.items()))


def destroy(
    stage: NamedStageOption = "",
    *,
    with_data: Annotated[bool, typer.Option("--with-data", help="Also delete tables, templates and secrets.")] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Delete a stage but keep its tables, templates and secrets, which the next `deploy` takes over.

    Example: passwire destroy --stage dev
    """
    require_answer(yes=yes)
    with Terminal(stage=stage, yes=yes) as dialogue:
        deployer = Deployer(stage, on_progress=dialogue.on_progress)
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
        data = (
            " with all its tables, templates and secrets" if with_data else ", and keep tables, templates and secrets"
        )
        confirm(f"delete stage {stage}{data}?", yes=yes, unchanged="nothing was deleted")
        is_deployed_by_chalice = deployer.is_deployed_by_chalice
        found = deployer.destroy(with_data=with_data, dialogue=dialogue)
        if is_deployed_by_chalice:
            ChaliceDeployer(stage, on_progress=dialogue.on_progress).forget()
            dialogue.on_progress(
                f"chalice deployed its functions and its API; to delete them, run: chalice delete --stage {stage}"
            )
    names = [name for kind in found.values() for name in kind]
    fate = "deleted" if with_data else "kept"
    if as_json:
        write_json({"stage": stage, "deleted": names if with_data else [], "kept": [] if with_data else names})
    else:
        write_table(("resource", "result"), [(name, fate) for name in names])


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

"""`deploy`, `outputs`: a stage in AWS."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from infra.stack.deploy import Change, Deployer
from infra.stack.secrets import ensure_authentication_keys

StageOption = Annotated[str, typer.Option("--stage", help="Which deployment: its name is part of every resource's.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object, for scripts.")]


def deploy(
    stage: StageOption = "dev",
    web_service_url: Annotated[
        str, typer.Option(help="The API's URL where it has a domain of its own; passes name it to phones.")
    ] = "",
    apns_push_type: Annotated[str, typer.Option(help="Value of apns-push-type: alert or background.")] = "",
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before changing anything.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Bring a stage to the state of this checkout: package, show what will change, ask, do it.

    Example: python -m infra deploy --stage dev
    """
    progress = Console(stderr=True)

    def confirm(changes: list[Change]) -> bool:
        for change in changes:
            progress.print(f"  {change}", highlight=False)
        return yes or typer.confirm(f"make these {len(changes)} changes to stage {stage}?", err=True)

    with tempfile.TemporaryDirectory() as work:
        deployed = Deployer(stage, say=lambda line: progress.print(line, highlight=False)).deploy(
            work=Path(work),
            parameters={
                name: value
                for name, value in (("WebServiceUrl", web_service_url), ("ApnsPushType", apns_push_type))
                if value
            },
            confirm=confirm,
        )
    ensure_authentication_keys(stage)
    _print(deployed.outputs, as_json=as_json)


def outputs(stage: StageOption = "dev", *, as_json: JsonOption = False) -> None:
    """Print the URLs and names of a deployed stage.

    Example: python -m infra outputs --stage dev --json
    """
    _print(Deployer(stage, say=lambda _: None).describe().outputs, as_json=as_json)


def _print(values: Mapping[str, str], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(dict(values), indent=2))
    else:
        for name, value in sorted(values.items()):
            print(f"{name:24} {value}")

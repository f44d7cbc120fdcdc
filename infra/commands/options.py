"""Options that several commands share."""

import time
from pathlib import Path
from typing import Annotated

import typer

from infra.core.moments import FORMS, MomentError, parse_moment
from infra.stage.local import default_stage, use_stage


def _stage(context: typer.Context, parameter: typer.CallbackParam, value: str) -> str:
    """Return the stage to use, and point the AWS SDK at the local run for its stage."""
    if context.resilient_parsing:
        return value
    source = context.get_parameter_source(parameter.name or "")
    name = default_stage() if source is not None and source.name == "DEFAULT" else value
    use_stage(name)
    return name


FolderArgument = Annotated[
    Path, typer.Argument(metavar="NAME.pass", help="A designer's folder, or Pass Designer's NAME.pkpasstemplate.")
]
PassArgument = Annotated[str, typer.Argument(metavar="PASS", help="`<passTypeIdentifier>/<serialNumber>`")]
StageOption = Annotated[
    str,
    typer.Option(
        "--stage",
        callback=_stage,
        help="Name of the stage; part of the name of each of its resources. While the local run is up, `local` is the "
        "default.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object, for scripts.")]
SinceOption = Annotated[str, typer.Option("--since", help=f"Start time: {FORMS}.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Make changes without asking for confirmation.")]
WebServiceUrlOption = Annotated[
    str | None,
    typer.Option(help="URL to write into passes, if phones use neither the URL of API Gateway nor DomainName."),
]
ApnsPushTypeOption = Annotated[
    str | None, typer.Option(help="Value of the header apns-push-type: alert or background.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", help="A stack parameter; parameters that are not given keep their values."
    ),
]


def read_since(text: str) -> float:
    """Return the time that `--since` names, in epoch seconds.

    Raises:
        BadParameter: the text does not name a time.
    """
    try:
        return parse_moment(text, now=time.time())
    except MomentError as error:
        raise typer.BadParameter(str(error), param_hint="--since") from None

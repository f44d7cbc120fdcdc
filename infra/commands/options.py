"""Options that several commands have."""

import time
from typing import Annotated

import typer

from infra.core.moments import FORMS, MomentError, parse_moment

PassArgument = Annotated[str, typer.Argument(metavar="PASS", help="`<passTypeIdentifier>/<serialNumber>`")]
StageOption = Annotated[str, typer.Option("--stage", help="Which deployment: its name is part of every resource's.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object, for scripts.")]
SinceOption = Annotated[str, typer.Option("--since", help=f"From when on: {FORMS}.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask before changing anything.")]
WebServiceUrlOption = Annotated[
    str | None, typer.Option(help="The API's URL where phones reach it by another; passes name it to them.")
]
ApnsPushTypeOption = Annotated[str | None, typer.Option(help="Value of apns-push-type: alert or background.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A parameter of the template; what is not given keeps its value."),
]


def read_since(text: str) -> float:
    """The moment that `--since` names; epoch seconds.

    Raises:
        BadParameter: it names none.
    """
    try:
        return parse_moment(text, now=time.time())
    except MomentError as error:
        raise typer.BadParameter(str(error), param_hint="--since") from None

"""Options that several commands have."""

from typing import Annotated

import typer

StageOption = Annotated[str, typer.Option("--stage", help="Which deployment: its name is part of every resource's.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object, for scripts.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask before changing anything.")]
WebServiceUrlOption = Annotated[
    str | None, typer.Option(help="The API's URL where phones reach it by another; passes name it to them.")
]
ApnsPushTypeOption = Annotated[str | None, typer.Option(help="Value of apns-push-type: alert or background.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A parameter of the template; what is not given keeps its value."),
]

"""`pass`: single passes, issued, handed out, changed, looked at, deleted."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from chalicelib.domain.identifiers import PassId
from infra.commands.stack import JsonOption, StageOption
from infra.passes.table import PassTable
from infra.stack.deploy import Deployer
from infra.stack.settings import settings_of

app = typer.Typer(name="pass", help="Passes: show.", no_args_is_help=True)
PassArgument = Annotated[str, typer.Argument(metavar="PASS", help="<passTypeIdentifier>/<serialNumber>")]


@app.command()
def show(pass_: PassArgument, stage: StageOption = "dev", *, as_json: JsonOption = False) -> None:
    """Show a pass: its item, its version, and how many devices hold it. No secret, no device and no person is shown.

    Example: python -m infra pass show pass.com.acme.boarding/7K2M9Q --stage dev
    """
    pass_id = PassId.parse(pass_)
    with Console(stderr=True).status("looking"):
        state = _table(stage).state(pass_id)
    modified = f"{datetime.fromtimestamp(state.version.modified_at, UTC):%Y-%m-%dT%H:%M:%SZ}" if state.version else None
    shown = {
        "item": dict(state.attributes),
        "revision": state.version.revision if state.version else 0,
        "last_modified": modified,
        "devices": state.devices,
    }
    if as_json:
        print(json.dumps(shown, indent=2, default=plain))
        return
    table = Table(box=None, show_header=False)
    for name, value in (*state.attributes.items(), *list(shown.items())[1:]):
        table.add_row(Text(_readable(name)), Text(_readable(value)))
    Console(soft_wrap=True).print(table)


def plain(value: object) -> object:
    """A value of DynamoDB's that JSON has no form for."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return sorted(value, key=str) if isinstance(value, set | frozenset) else str(value)


def _readable(value: object) -> str:
    """As it is where that is one line; a terminal never gets a control character of a pipeline's."""
    if isinstance(value, str) and value.isprintable():
        return value
    return json.dumps(value, default=plain, ensure_ascii=False)


def _table(stage: str) -> PassTable:
    return PassTable(settings_of(Deployer(stage, say=lambda _: None).describe()))

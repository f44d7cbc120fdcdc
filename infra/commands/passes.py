"""`pass`: issues, links, changes, shows, lists and deletes single passes."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Self, TypeVar

import typer
from rich.table import Table

from chalicelib.core.identifiers import PassId
from chalicelib.passes.format.findings import Finding
from infra.commands import lazy
from infra.commands.dialogue import DeclinedError, Terminal
from infra.commands.options import JsonOption, PassArgument, StageOption, YesOption
from infra.core.terminal import standard_error, standard_output, styled, write_json, write_line
from infra.operate.passes.change import ItemChange
from infra.operate.passes.cli_values import CliValueError, read_fields, read_lifetime, read_overrides
from infra.operate.passes.links import DownloadLink, Links
from infra.operate.passes.qr import terminal_qr
from infra.operate.passes.serial import new_serial_number
from infra.operate.passes.table import PassTable
from infra.stage.stage import Stage

MAX_PAGE_SIZE = 1000
"""Items per page if a filter is given, which may match few of them."""

T = TypeVar("T")
R = TypeVar("R")

app = typer.Typer(
    name="pass",
    cls=lazy.group_of({"import": "bulk.import_file", "export": "bulk.export_file", "history": "history.history"}),
    help="Passes: issue, link, update, void, unvoid, show, list, delete, import, export, history.",
    no_args_is_help=True,
)

FieldOption = Annotated[
    list[str] | None,
    typer.Option(
        "--field", metavar="KEY=TEXT", help="Value of a field; KEY:=JSON for a number or a map of Apple's field keys."
    ),
]
OverrideOption = Annotated[
    str, typer.Option("--override", metavar="JSON", help="Top-level keys of pass.json, as a JSON object.")
]
ExpiresOption = Annotated[str, typer.Option("--expires", help="How long the link is valid: 15m, 12h, 7d.")]
QrOption = Annotated[bool, typer.Option("--qr", help="Also show the link as a QR code in the terminal.")]
LinesOption = Annotated[bool, typer.Option("--json", help="Print one JSON object per line, for scripts.")]


@dataclass(frozen=True)
class _Stage:
    """Access to the passes of a stage."""

    table: PassTable
    links: Links

    @classmethod
    def of(cls, stage: str) -> Self:
        deployed = Stage.open(stage)
        return cls(PassTable(deployed), Links(deployed))


@app.command()
def issue(  # noqa: PLR0913 - options of a command
    pass_: Annotated[str, typer.Argument(metavar="[PASS]", help="`<passTypeIdentifier>/<serialNumber>`")] = "",
    *,
    template: Annotated[str, typer.Option(help="Name of the template.")],
    pass_type: Annotated[str, typer.Option("--type", help="Instead of PASS: the passTypeIdentifier.")] = "",
    serial: Annotated[str, typer.Option(help="With --type: the serial number. Default: a new one.")] = "",
    field: FieldOption = None,
    override: OverrideOption = "{}",
    reuse_serial: Annotated[
        bool, typer.Option("--reuse-serial", help="Allow the serial number of a deleted pass.")
    ] = False,
    expires: ExpiresOption = "7d",
    qr: QrOption = False,
    stage: StageOption = "dev",
    as_json: JsonOption = False,
) -> None:
    """Issue a pass: write its item and print a download link.

    Nothing is written if the pass exists already or does not match its template. The serial number of a deleted pass is
    refused, since the holder of that pass could download the new one; --reuse-serial allows it for the same person.

    Example: python -m infra pass issue --type pass.com.acme.boarding --template boarding --field gate=A7 --qr
    """
    pass_id = _pass_id(pass_, pass_type, serial)
    change, lifetime = _change(field, override), _given("--expires", read_lifetime, expires)
    with standard_error().status("issuing"):
        found = _Stage.of(stage)
        warnings = found.table.issue(pass_id, template=template, change=change, reuse_serial=reuse_serial)
        link = found.links.make([pass_id], lifetime=lifetime)
    _print_warnings(warnings)
    _print_link(f"issued pass {pass_id}", pass_id, link, qr=qr, as_json=as_json)


@app.command()
def link(
    pass_: PassArgument,
    expires: ExpiresOption = "7d",
    *,
    qr: QrOption = False,
    stage: StageOption = "dev",
    as_json: JsonOption = False,
) -> None:
    """Print a new download link for an existing pass.

    Example: python -m infra pass link pass.com.acme.boarding/7K2M9Q --expires 12h --qr
    """
    pass_id, lifetime = PassId.parse(pass_), _given("--expires", read_lifetime, expires)
    with standard_error().status("creating a link"):
        found = _Stage.of(stage)
        found.table.validate(pass_id)
        new_link = found.links.make([pass_id], lifetime=lifetime)
    _print_link(f"pass {pass_id}", pass_id, new_link, qr=qr, as_json=as_json)


@app.command()
def update(
    pass_: PassArgument,
    field: FieldOption = None,
    override: OverrideOption = "{}",
    *,
    stage: StageOption = "dev",
    as_json: JsonOption = False,
) -> None:
    """Change single values of an existing pass; the rest of its item is kept.

    Example: python -m infra pass update pass.com.acme.boarding/7K2M9Q --field gate=B22 --stage dev
    """
    change = _change(field, override)
    if not change.fields and not change.overrides:
        raise typer.BadParameter("give a --field or an --override to change")
    _update("updated", pass_, change, stage, as_json=as_json)


@app.command()
def void(pass_: PassArgument, stage: StageOption = "dev", *, as_json: JsonOption = False) -> None:
    """Make phones show a pass as void. `unvoid` reverses this.

    Example: python -m infra pass void pass.com.acme.boarding/7K2M9Q --stage dev
    """
    _update("voided", pass_, ItemChange(voided=True), stage, as_json=as_json)


@app.command()
def unvoid(pass_: PassArgument, stage: StageOption = "dev", *, as_json: JsonOption = False) -> None:
    """Make phones show a void pass as valid again.

    Example: python -m infra pass unvoid pass.com.acme.boarding/7K2M9Q --stage dev
    """
    _update("unvoided", pass_, ItemChange(voided=False), stage, as_json=as_json)


@app.command()
def show(pass_: PassArgument, stage: StageOption = "dev", *, as_json: JsonOption = False) -> None:
    """Show the item and the version of a pass and the number of its devices, without secrets and personal data.

    Example: python -m infra pass show pass.com.acme.boarding/7K2M9Q --stage dev
    """
    pass_id = PassId.parse(pass_)
    with standard_error().status("reading the pass"):
        state = _Stage.of(stage).table.state(pass_id)
    modified = f"{datetime.fromtimestamp(state.version.modified_at, UTC):%Y-%m-%dT%H:%M:%SZ}" if state.version else None
    shown = {
        "item": dict(state.attributes),
        "revision": state.version.revision if state.version else 0,
        "last_modified": modified,
        "devices": state.devices,
    }
    if as_json:
        write_json(shown, default=plain)
        return
    table = Table(box=None, show_header=False)
    for name, value in (*state.attributes.items(), *list(shown.items())[1:]):
        table.add_row(_readable(name), _readable(value))
    standard_output().print(table)


@app.command(name="list")
def list_(
    pass_type: Annotated[str | None, typer.Option("--type", help="Only passes of this passTypeIdentifier.")] = None,
    template: Annotated[str | None, typer.Option(help="Only passes of this template.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of passes.")] = 50,
    after: Annotated[str | None, typer.Option(metavar="PASS", help="Start after this pass.")] = None,
    *,
    stage: StageOption = "dev",
    as_json: LinesOption = False,
) -> None:
    """List passes in the table's order.

    There is no index: the table is read from its beginning, and each item read costs, whether it is listed or not. The
    number of items read and their cost are printed at the end, also after Ctrl-C. Writes of the last second may be
    missing.

    Example: python -m infra pass list --type pass.com.acme.boarding --limit 20 --json
    """
    table = _Stage.of(stage).table
    pages = table.pages(
        pass_type_identifier=pass_type,
        template=template,
        after=PassId.parse(after) if after is not None else None,
        page_size=MAX_PAGE_SIZE if pass_type or template else min(limit, MAX_PAGE_SIZE),
    )
    progress = standard_error()
    listed = read = 0
    units, last = 0.0, None
    try:
        with progress.status("reading") as status:
            for page in pages:
                read, units = read + page.read, units + page.units
                passes = page.passes[: limit - listed]
                for item in passes:
                    _print_listed(item, as_json=as_json)
                listed, last = listed + len(passes), passes[-1]["pass_id"] if passes else last
                status.update(f"reading, {read:,} items, {listed:,} passes found")
                if listed == limit:
                    break
            else:
                last = None
    finally:
        progress.print(f"{listed:,} passes listed, {read:,} items read for {units:,.1f} read units")
        if last is not None:
            progress.print(f"there may be more passes; to continue: --after '{last}'")


@app.command()
def delete(
    pass_: PassArgument,
    *,
    yes: YesOption = False,
    stage: StageOption = "dev",
    as_json: JsonOption = False,
) -> None:
    """Delete a pass permanently. Phones keep their copy: a pass cannot be removed from a phone remotely.

    Example: python -m infra pass delete pass.com.acme.boarding/7K2M9Q --stage dev
    """
    pass_id = PassId.parse(pass_)
    with standard_error().status("reading the pass"):
        table = _Stage.of(stage).table
        state = table.state(pass_id)
    with Terminal(stage=stage, yes=yes) as dialogue:
        if state.devices:
            valid = state.attributes.get("voided") is not True
            dialogue.on_progress(
                f"{_devices(state.devices)} the pass: it stays there unchanged, and receives no more updates"
                + ("; to have it shown as void, run `pass void` first" if valid else "")
            )
        if not dialogue.allows(f"delete pass {pass_id}?"):
            raise DeclinedError("declined; nothing was deleted")
    table.delete(pass_id)
    if as_json:
        write_json({"pass_id": str(pass_id), "devices": state.devices})
    else:
        write_line(f"deleted pass {pass_id}; its download links no longer work")


def plain(value: object) -> object:
    """Convert a value of DynamoDB that JSON cannot contain."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return sorted(value, key=str) if isinstance(value, set | frozenset) else str(value)


def _update(done: str, pass_: str, change: ItemChange, stage: str, *, as_json: bool) -> None:
    pass_id = PassId.parse(pass_)
    with standard_error().status("writing"):
        table = _Stage.of(stage).table
        warnings = table.update(pass_id, change)
        devices = table.devices(pass_id)
    _print_warnings(warnings)
    if as_json:
        write_json({"pass_id": str(pass_id), "devices": devices})
    else:
        write_line(f"{done} pass {pass_id}; {_devices(devices)} it, and each is notified if its content has changed")


def _print_warnings(warnings: list[Finding]) -> None:
    """Print warnings about values that phones leave out or show differently."""
    console = standard_error()
    for warning in warnings:
        console.print(styled("warning", "yellow", f": {warning}"))


def _devices(count: int) -> str:
    return "1 device has" if count == 1 else f"{count:,} devices have"


def _print_link(done: str, pass_id: PassId, link: DownloadLink, *, qr: bool, as_json: bool) -> None:
    """Print a link. Standard output contains only the link, so that a shell can use `$(...)`."""
    console = standard_error()
    expires_at = f"{link.expires_at:%Y-%m-%dT%H:%M:%SZ}"
    console.print(f"{done}; until {expires_at}, anyone with this link can download the pass:")
    if as_json:
        write_json({"pass_id": str(pass_id), "link": link.url, "expires_at": expires_at})
    else:
        write_line(link.url)
    if not qr:
        return
    lines = terminal_qr(link.url)
    if console.is_terminal and console.width < len(lines[0]):
        console.print(f"the QR code needs {len(lines[0])} columns; this terminal has {console.width}")
        return
    for line in lines:
        console.print(line)


def _print_listed(item: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        write_json(item, indent=None, default=plain)
    else:
        void_ = "void" if item.get("voided") is True else ""
        write_line(f"{_readable(item['pass_id']):48} {_readable(item.get('template', '')):16} {void_}".rstrip())


def _pass_id(pass_: str, pass_type: str, serial: str) -> PassId:
    if bool(pass_) == bool(pass_type) or (serial and not pass_type):
        raise typer.BadParameter("give either PASS, or --type with or without --serial")
    return PassId.parse(pass_) if pass_ else PassId(pass_type, serial or new_serial_number())


def _change(field: list[str] | None, override: str) -> ItemChange:
    return ItemChange(
        fields=_given("--field", read_fields, field or []), overrides=_given("--override", read_overrides, override)
    )


def _given(option: str, read: Callable[[T], R], values: T) -> R:
    try:
        return read(values)
    except CliValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def _readable(value: object) -> str:
    """Return printable text as it is, and anything else as JSON."""
    if isinstance(value, str) and value.isprintable():
        return value
    return json.dumps(value, default=plain, ensure_ascii=False)

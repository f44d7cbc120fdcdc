"""`pass`: issues, links, changes, shows, lists and deletes single passes."""

import json
import shlex
from decimal import Decimal
from typing import Annotated

import typer

from chalicelib.core.errors import excerpt
from chalicelib.core.identifiers import PassId
from chalicelib.passes.format.findings import Finding
from infra.commands import lazy
from infra.commands.completion import complete_pass_types, complete_templates
from infra.commands.confirmation import confirm, confirm_notification, counted
from infra.commands.links import ExpiresOption, QrOption, print_link
from infra.commands.next_steps import print_next
from infra.commands.options import (
    JsonOption,
    LinesOption,
    NotifyYesOption,
    PassArgument,
    PassTypeOption,
    StageOption,
    TemplateOption,
    YesOption,
    check_pass_type_option,
    check_template_option,
    read_pass,
    read_value,
)
from infra.core.moments import format_moment
from infra.core.terminal import standard_error, styled, write_json, write_line, write_values
from infra.operate.passes.change import ItemChange
from infra.operate.passes.cli_values import PATHS, read_fields, read_lifetime, read_overrides, read_unset
from infra.operate.passes.links import Links
from infra.operate.passes.serial import new_serial_number
from infra.operate.passes.table import PassTable, check_key
from infra.stage.stage import Stage

MAX_PAGE_SIZE = 1000
"""Items per page if a filter is given, which may match few of them."""

app = typer.Typer(
    name="pass",
    cls=lazy.group_of(
        {
            "link": "links.link",
            "import": "bulk.import_file",
            "export": "bulk.export_file",
            "history": "history.history",
        }
    ),
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
KeyArgument = Annotated[
    str,
    typer.Argument(
        metavar="KEY", help="`<passTypeIdentifier>/<serialNumber>`, or any other key of an item in the passes table."
    ),
]
ROW = "{:40} {:14} {}"


@app.command()
def issue(  # noqa: PLR0913 - options of a command
    pass_: Annotated[str, typer.Argument(metavar="[PASS]", help="`<passTypeIdentifier>/<serialNumber>`")] = "",
    *,
    template: Annotated[
        str,
        typer.Option(help="Name of the template.", callback=check_template_option, autocompletion=complete_templates),
    ],
    pass_type: Annotated[
        str,
        typer.Option(
            "--type",
            help="Instead of PASS: the passTypeIdentifier.",
            callback=check_pass_type_option,
            autocompletion=complete_pass_types,
        ),
    ] = "",
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

    Example: passwire pass issue --type pass.com.acme.boarding --template boarding --field gate=A7 --qr
    """
    pass_id = _pass_id(pass_, pass_type, serial)
    change, lifetime = _change(field, override), read_value("--expires", read_lifetime, expires)
    with standard_error().status("issuing"):
        deployed = Stage.open(stage)
        table = PassTable(deployed)
        warnings = table.issue(pass_id, template=template, change=change, reuse_serial=reuse_serial)
        link = Links(deployed).make([pass_id], lifetime=lifetime)
    _print_warnings(warnings)
    print_link(f"issued pass {pass_id}", [pass_id], link, qr=qr, as_json=as_json)
    changed = next(iter(change.fields), next(iter(table.field_keys(template)), "KEY"))
    print_next(
        "pass update", str(pass_id), "--field", f"{changed}=TEXT", "--stage", stage, purpose="to change it on phones"
    )


@app.command()
def update(
    pass_: PassArgument,
    field: FieldOption = None,
    override: OverrideOption = "{}",
    unset: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help=f"Value to remove: a field's key, or {PATHS}.")
    ] = None,
    *,
    stage: StageOption = "dev",
    yes: NotifyYesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Change single values of an existing pass; the rest of its item is kept.

    An unset field shows the template's value again.

    Example: passwire pass update pass.com.acme.boarding/7K2M9Q --field gate=B22 --unset seat --stage dev
    """
    change = _change(field, override, unset)
    if change.is_empty:
        raise typer.BadParameter("give a --field, an --override or an --unset")
    _update("updated", pass_, change, stage, yes=yes, as_json=as_json)


@app.command()
def void(
    pass_: PassArgument, stage: StageOption = "dev", *, yes: NotifyYesOption = False, as_json: JsonOption = False
) -> None:
    """Make phones show a pass as void. `unvoid` reverses this.

    Example: passwire pass void pass.com.acme.boarding/7K2M9Q --stage dev
    """
    _update("voided", pass_, ItemChange(voided=True), stage, yes=yes, as_json=as_json)


@app.command()
def unvoid(
    pass_: PassArgument, stage: StageOption = "dev", *, yes: NotifyYesOption = False, as_json: JsonOption = False
) -> None:
    """Make phones show a void pass as valid again.

    Example: passwire pass unvoid pass.com.acme.boarding/7K2M9Q --stage dev
    """
    _update("unvoided", pass_, ItemChange(voided=False), stage, yes=yes, as_json=as_json)


@app.command()
def show(key: KeyArgument, stage: StageOption = "dev", *, as_json: JsonOption = False) -> None:
    """Show the item and the version of a pass and the number of its devices, without secrets and personal data.

    Example: passwire pass show pass.com.acme.boarding/7K2M9Q --stage dev
    """
    read_value("KEY", check_key, key)
    with standard_error().status("reading the pass"):
        state = PassTable(Stage.open(stage)).state(key)
    shown = {
        "item": dict(state.attributes),
        "revision": state.version.revision if state.version else 0,
        "last_modified": format_moment(state.version.modified_at) if state.version else None,
        "devices": state.devices,
    }
    if as_json:
        write_json(shown, default=plain)
        return
    values = (*state.attributes.items(), *list(shown.items())[1:])
    write_values([(_readable(name), _readable(value)) for name, value in values])


@app.command(name="list")
def list_(
    pass_type: PassTypeOption = None,
    template: TemplateOption = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of passes.")] = 50,
    after: Annotated[str | None, typer.Option(metavar="KEY", help="Start after the item with this key.")] = None,
    *,
    stage: StageOption = "dev",
    as_json: LinesOption = False,
) -> None:
    """List passes in the table's order.

    There is no index: the table is read from its beginning, and each item read costs, whether it is listed or not. The
    number of items read and their cost are printed at the end, also after Ctrl-C. Writes of the last second may be
    missing.

    Example: passwire pass list --type pass.com.acme.boarding --limit 20 --json
    """
    start = read_value("--after", check_key, after) if after is not None else None
    pages = PassTable(Stage.open(stage)).pages(
        pass_type_identifier=pass_type,
        template=template,
        after=start,
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
                if passes and not listed and not as_json:
                    write_line(ROW.format("pass", "template", "void"))
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
            progress.print(f"there may be more passes; to continue, add: --after {shlex.quote(str(last))}")


@app.command()
def delete(
    key: KeyArgument,
    *,
    yes: YesOption = False,
    stage: StageOption = "dev",
    as_json: JsonOption = False,
) -> None:
    """Delete a pass permanently. Phones keep their copy: a pass cannot be removed from a phone remotely.

    Example: passwire pass delete pass.com.acme.boarding/7K2M9Q --stage dev
    """
    read_value("KEY", check_key, key)
    console = standard_error()
    with console.status("reading the pass"):
        table = PassTable(Stage.open(stage))
        state = table.state(key)
    if state.devices:
        valid = state.attributes.get("voided") is not True
        console.print(
            f"{_devices(state.devices)} the pass: it stays there unchanged, and receives no more updates"
            + ("; to have it shown as void, run `pass void` first" if valid else "")
        )
    confirm(f"delete pass {key}?", yes=yes, unchanged="nothing was deleted")
    table.delete(key)
    if as_json:
        write_json({"pass_id": key, "devices": state.devices})
    else:
        write_line(f"deleted pass {key}; its download links no longer work")


def plain(value: object) -> object:
    """Convert a value of DynamoDB that JSON cannot contain."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return sorted(value, key=str) if isinstance(value, set | frozenset) else str(value)


def _update(done: str, pass_: str, change: ItemChange, stage: str, *, yes: bool, as_json: bool) -> None:
    pass_id = read_pass(pass_)
    console = standard_error()
    with console.status("reading the pass"):
        table = PassTable(Stage.open(stage))
        found = table.check_update(pass_id, change)
    _print_warnings(found.warnings)
    notified = found.devices if found.changed else 0
    confirm_notification(f"change pass {pass_id}", devices=notified, yes=yes)
    if found.changed:
        with console.status("writing"):
            table.update(pass_id, change)
    if as_json:
        paths = [path for path, _, _ in found.changed]
        write_json({"pass_id": str(pass_id), "changed": paths, "devices": found.devices, "notified": notified})
        return
    if not found.changed:
        write_line(f"pass {pass_id} has these values already; nothing was changed, and no device is notified")
        return
    write_line(f"{done} pass {pass_id}; {counted(notified, 'device')} to notify")
    for path, before, after in found.changed:
        write_line(f"  {path}: {_excerpt(before)} -> {_excerpt(after)}")


def _print_warnings(warnings: list[Finding]) -> None:
    """Print warnings about values that phones leave out or show differently."""
    console = standard_error()
    for warning in warnings:
        console.print(styled("warning", "yellow", f": {warning}"))


def _devices(count: int) -> str:
    return "1 device has" if count == 1 else f"{count:,} devices have"


def _print_listed(item: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        write_json(item, indent=None, default=plain)
    else:
        void_ = "void" if item.get("voided") is True else ""
        write_line(ROW.format(_readable(item["pass_id"]), _readable(item.get("template", "")), void_).rstrip())


def _pass_id(pass_: str, pass_type: str, serial: str) -> PassId:
    if bool(pass_) == bool(pass_type) or (serial and not pass_type):
        raise typer.BadParameter("give either PASS, or --type with or without --serial")
    if pass_:
        return read_pass(pass_)
    return read_value("--type", lambda given: PassId(given, serial or new_serial_number()), pass_type)


def _change(field: list[str] | None, override: str, unset: list[str] | None = None) -> ItemChange:
    return ItemChange(
        fields=read_value("--field", read_fields, field or []),
        overrides=read_value("--override", read_overrides, override),
        unset=read_value("--unset", read_unset, unset or []),
    )


def _excerpt(value: object) -> str:
    return "(none)" if value is None else excerpt(_readable(value))


def _readable(value: object) -> str:
    """Return printable text as it is, and anything else as JSON."""
    if isinstance(value, str) and value.isprintable():
        return value
    return json.dumps(value, default=plain, ensure_ascii=False)

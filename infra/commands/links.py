"""`pass link`: prints a download link for passes, or writes one for each pass of a type."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from chalicelib.core.identifiers import PassId
from infra.commands.confirmation import counted
from infra.commands.options import JsonOption, OverwriteOption, PassTypeOption, StageOption, read_pass, read_value
from infra.core.files import STANDARD, check_new, output_file
from infra.core.moments import format_moment
from infra.core.terminal import progress, standard_error, write_json, write_line
from infra.operate.bulk.linking import write_links
from infra.operate.passes.cli_values import read_lifetime
from infra.operate.passes.links import DownloadLink, Links
from infra.operate.passes.qr import terminal_qr
from infra.operate.passes.table import PassTable
from infra.stage.stage import Stage

LINKS = "links.csv"
ExpiresOption = Annotated[str, typer.Option("--expires", help="How long the link is valid: 15m, 12h, 7d.")]
QrOption = Annotated[bool, typer.Option("--qr", help="Also show the link as a QR code in the terminal.")]


def link(  # noqa: PLR0913 - options of a command
    passes: Annotated[
        list[str] | None, typer.Argument(metavar="PASS", help="`<passTypeIdentifier>/<serialNumber>`; up to ten.")
    ] = None,
    expires: ExpiresOption = "7d",
    pass_type: PassTypeOption = None,
    output: Annotated[
        Path | None, typer.Option(help="With --all: the CSV file to write; - for standard output.")
    ] = None,
    *,
    all_: Annotated[bool, typer.Option("--all", help="A link for each pass of --type, written to --output.")] = False,
    qr: QrOption = False,
    overwrite: OverwriteOption = False,
    stage: StageOption = "dev",
    as_json: JsonOption = False,
) -> None:
    """Print a new download link for existing passes: one link for all of them. With --all, write one for each pass.

    If --all is interrupted, run the same command again to resume.

    Example: passwire pass link pass.com.acme.boarding/7K2M9Q --expires 12h --qr

    Example: passwire pass link --type pass.com.acme.boarding --all --output links.csv
    """
    lifetime = read_value("--expires", read_lifetime, expires)
    if all_:
        if passes or pass_type is None or output is None or qr:
            raise typer.BadParameter("give --type and --output with it, and neither PASS nor --qr", param_hint="--all")
        check_new(output, overwrite=overwrite)
        _link_all(stage, pass_type, output, lifetime, as_json=as_json)
        return
    if not passes or pass_type is not None or output is not None:
        raise typer.BadParameter("give one to ten passes, or --all with --type and --output", param_hint="PASS")
    pass_ids = [read_pass(text) for text in passes]
    with standard_error().status("creating a link"):
        deployed = Stage.open(stage)
        table = PassTable(deployed)
        for pass_id in pass_ids:
            table.validate(pass_id)
        new_link = Links(deployed).make(pass_ids, lifetime=lifetime)
    done = f"pass {pass_ids[0]}" if len(pass_ids) == 1 else f"{len(pass_ids)} passes"
    print_link(done, pass_ids, new_link, qr=qr, as_json=as_json)


def print_link(done: str, pass_ids: Sequence[PassId], link: DownloadLink, *, qr: bool, as_json: bool) -> None:
    """Print a link. Standard output contains only the link, so that a shell can use `$(...)`."""
    console = standard_error()
    expires_at = format_moment(link.expires_at)
    console.print(f"{done}; until {expires_at}, anyone with this link can download the pass:")
    if as_json:
        named = {"pass_id": str(pass_ids[0])} if len(pass_ids) == 1 else {"pass_ids": [str(each) for each in pass_ids]}
        write_json({**named, "link": link.url, "expires_at": expires_at})
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


def _link_all(stage: str, pass_type: str, output: Path, lifetime: timedelta, *, as_json: bool) -> None:
    deployed = Stage.open(stage)
    with progress("creating links") as update, output_file(output, LINKS) as path:
        count, resumed = write_links(
            deployed,
            pass_type,
            path,
            Links(deployed).signer(lifetime=lifetime),
            on_links=lambda done: update(description=counted(done, "link")),
        )
    earlier = f", {resumed:,} of them by an interrupted run" if resumed else ""
    warning = f"{earlier}; anyone who has it can add the passes"
    if str(output) == STANDARD:
        standard_error().print(f"{counted(count, 'link')} written{warning}")
    elif as_json:
        write_json({"links": count, "from_interrupted_run": resumed, "file": str(output)})
    else:
        write_line(f"{counted(count, 'link')} written to {output}{warning}")

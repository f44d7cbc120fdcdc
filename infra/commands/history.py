"""`pass history`: one pass, followed through the logs."""

import json
import time
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console

from chalicelib.domain.identifiers import PassId
from infra.commands.options import JsonOption, StageOption
from infra.passes.history import Entry, History, parse_since
from infra.stack.deploy import Deployer


def history(
    pass_: Annotated[str, typer.Argument(metavar="PASS", help="`<passTypeIdentifier>/<serialNumber>`")],
    stage: StageOption = "dev",
    since: Annotated[str, typer.Option(help="How far back: 30m, 24h, 7d, or a date.")] = "24h",
    *,
    as_json: JsonOption = False,
) -> None:
    """Tell what happened to a pass: stamps, pushes and what APNs said, registrations, lists, downloads.

    Devices stand there as short hashes. What happened within the last seconds may not have reached the logs yet.

    Example: python -m infra pass history pass.com.acme.boarding/7K2M9Q --stage dev --since 7d
    """
    pass_id = PassId.parse(pass_)
    begin = parse_since(since, now=time.time())
    console = Console(stderr=True)
    with console.status("reading logs"):
        entries = History(Deployer(stage, say=lambda _: None).describe()).of(pass_id, since=begin)
    if as_json:
        print(json.dumps([_described(entry) for entry in entries], indent=2))
        return
    for entry in entries:
        print(f"{_time(entry.at)}  {''.join(c if c.isprintable() else ' ' for c in entry.said)}")
    if not entries:
        console.print(f"the logs say nothing of pass {pass_id} since {_time(begin)}", markup=False, highlight=False)


def _described(entry: Entry) -> dict[str, object]:
    return {"at": _time(entry.at), "event": entry.event, "said": entry.said, "fields": dict(entry.fields)}


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

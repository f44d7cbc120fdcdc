"""`pass history`: one pass, followed through the logs."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from chalicelib.core.identifiers import PassId
from infra.commands.options import JsonOption, SinceOption, StageOption, read_since
from infra.core.terminal import standard_error, write_json, write_line
from infra.operate.history import Entry, History
from infra.stage.stage import Stage


def history(
    pass_: Annotated[str, typer.Argument(metavar="PASS", help="`<passTypeIdentifier>/<serialNumber>`")],
    stage: StageOption = "dev",
    since: SinceOption = "24h",
    *,
    as_json: JsonOption = False,
) -> None:
    """Tell what happened to a pass: stamps, pushes and what APNs said, registrations, lists, downloads.

    Devices stand there as short hashes. What happened within the last seconds may not have reached the logs yet.

    Example: python -m infra pass history pass.com.acme.boarding/7K2M9Q --stage dev --since 7d
    """
    pass_id = PassId.parse(pass_)
    begin = read_since(since)
    console = standard_error()
    with console.status("reading logs"):
        entries = History(Stage.open(stage)).of(pass_id, since=begin)
    if as_json:
        write_json([_described(entry) for entry in entries])
        return
    for entry in entries:
        write_line(f"{_time(entry.at)}  {entry.said}")
    if not entries:
        console.print(f"the logs say nothing of pass {pass_id} since {_time(begin)}")


def _described(entry: Entry) -> dict[str, object]:
    return {"at": _time(entry.at), "event": entry.event, "said": entry.said, "fields": dict(entry.fields)}


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

"""`pass history`: shows what happened to one pass."""

from infra.commands.options import JsonOption, PassArgument, SinceOption, StageOption, read_pass, read_since
from infra.core.moments import format_moment
from infra.core.terminal import standard_error, write_json, write_line
from infra.operate.history import Entry, History
from infra.stage.stage import Stage


def history(
    pass_: PassArgument,
    stage: StageOption = "dev",
    since: SinceOption = "24h",
    *,
    as_json: JsonOption = False,
) -> None:
    """Show what happened to a pass: stamps, pushes with APNs' responses, registrations, lists and downloads.

    Devices are shown as short hashes. Events of the last few seconds may not be in the logs yet.

    Example: passwire pass history pass.com.acme.boarding/7K2M9Q --stage dev --since 7d
    """
    pass_id = read_pass(pass_)
    begin = read_since(since)
    console = standard_error()
    with console.status("reading logs"):
        entries = History(Stage.open(stage)).of(pass_id, since=begin)
    if as_json:
        write_json([_described(entry) for entry in entries])
        return
    for entry in entries:
        write_line(f"{_time(entry.at)}  {entry.description}")
    if not entries:
        console.print(f"the logs contain no events of pass {pass_id} since {_time(begin)}")


def _described(entry: Entry) -> dict[str, object]:
    return {
        "at": _time(entry.at),
        "event": entry.event,
        "description": entry.description,
        "fields": dict(entry.fields),
    }


def _time(at: float) -> str:
    return format_moment(at, timespec="milliseconds")

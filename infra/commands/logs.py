"""`logs`: prints what the functions log."""

from typing import Annotated

import typer

from infra.commands.options import LinesOption, SinceOption, StageOption, read_pass, read_since
from infra.core.moments import format_moment
from infra.core.terminal import standard_error, write_text
from infra.operate.logs import LogFilter, read_logs
from infra.stage.stage import Stage


def logs(
    stage: StageOption = "dev",
    since: SinceOption = "10m",
    *,
    function: Annotated[
        list[str] | None, typer.Option(help="Only this function, such as api or push; can be given again.")
    ] = None,
    event: Annotated[
        list[str] | None, typer.Option(help="Only this event, such as pushed; can be given again.")
    ] = None,
    pass_: Annotated[str | None, typer.Option("--pass", metavar="PASS", help="Only lines that name this pass.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Continue with new lines until Ctrl-C.")] = False,
    as_json: LinesOption = False,
) -> None:
    """Print the logs of all functions of a stage in order, with dates and times in UTC.

    Lines about pushes name devices, not passes: `pass history` relates them to a pass.

    Example: passwire logs --stage dev --since 1h --function push --event pushed --follow
    """
    begin = read_since(since)
    pass_id = read_pass(pass_) if pass_ is not None else None
    deployed = Stage.open(stage)
    if unknown := sorted(set(function or ()) - set(deployed.functions)):
        raise typer.BadParameter(
            f"stage {stage} has no function {unknown[0]!r}; it has {', '.join(deployed.functions)}",
            param_hint="--function",
        )
    wanted = LogFilter(functions=tuple(function or ()), events=tuple(event or ()), pass_id=pass_id)
    printed = 0
    for line in read_logs(deployed, since=int(begin * 1000), follow=follow, wanted=wanted):
        if text := line.as_json if as_json else line.readable:
            write_text(text)
            printed += 1
    if not printed:
        standard_error().print(f"no such lines since {format_moment(begin)}")

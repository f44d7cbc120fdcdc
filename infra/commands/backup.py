"""`backup`, `restore`: a stage's data in a file or in S3, and back."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from infra.commands.options import JsonOption, StageOption, YesOption
from infra.commands.stack import refuse_without_terminal
from infra.core.terminal import PlainConsole, printable, standard_error, write_json, write_line
from infra.operate.backup import file
from infra.operate.backup.errors import BackupError
from infra.operate.backup.file import KINDS
from infra.operate.backup.location import Location
from infra.operate.backup.stage import BackedUpStage, Done
from infra.stage.stage import Stage

HOLDS = "it holds push tokens and what people's phones are called: keep it as you keep the tables"


def backup(
    to: Annotated[
        str, typer.Option("--to", metavar="FILE|s3://BUCKET/KEY", help="Where it goes; nothing is there yet.")
    ],
    stage: StageOption = "dev",
    suffix: Annotated[
        str,
        typer.Option(help="Read tables whose names end so: those restored to a point in time (docs/guides/backup.md)."),
    ] = "",
    *,
    as_json: JsonOption = False,
) -> None:
    """Write all tables and templates of a stage into one file, while it runs; secrets are not in it.

    Example: python -m infra backup --stage dev --to dev.jsonl.gz
    """
    location = Location.parse(to)
    progress = standard_error()
    backed_up = BackedUpStage(Stage.open(stage), suffix=suffix)
    with _counting("backing up", progress) as (done, uploaded), location.written(uploaded) as path:
        contents = backed_up.back_up(path, done=done)
    progress.print(f"{to}: {HOLDS}")
    _print(contents.counts, as_json=as_json)


def restore(
    source: Annotated[str, typer.Option("--from", metavar="FILE|s3://BUCKET/KEY", help="What `backup` wrote.")],
    stage: StageOption = "dev",
    *,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Bring a backup back into a stage: passes as they were, and every phone told. Interrupted, it is begun again.

    Example: python -m infra restore --stage dev --from dev.jsonl.gz
    """
    refuse_without_terminal(yes=yes)
    progress = standard_error()
    restored = BackedUpStage(Stage.open(stage))
    with Location.parse(source).read() as path:
        contents = file.verify(path)
        passes = contents.counts["passes"]
        question = (
            f"{source} was made of stage {contents.stage} at {contents.begun_at}. Write its {passes:,} passes over "
            f"those of stage {stage}, and wake the phones whose passes differ?"
        )
        if not yes and not typer.confirm(printable(question), err=True):
            raise BackupError("declined; nothing was written")
        with _counting("restoring", progress) as (done, _):
            try:
                restored.restore(path, done=done)
            except KeyboardInterrupt:
                progress.print("interrupted; the same command begins again, and does not undo what is restored")
                raise
    _print(contents.counts, as_json=as_json)


@contextmanager
def _counting(what: str, console: PlainConsole) -> Iterator[tuple[Done, Callable[[int], object]]]:
    """A line that counts what is done, by kind, and the bytes that go to S3."""
    columns = (SpinnerColumn(), TextColumn(what), TextColumn("{task.description}"), TimeElapsedColumn())
    counts = dict.fromkeys((*KINDS, "bytes uploaded"), 0)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def done(kind: str, count: int) -> None:
            counts[kind] += count
            bar.update(task, description=", ".join(f"{number:,} {name}" for name, number in counts.items() if number))

        yield done, lambda count: done("bytes uploaded", count)


def _print(counts: Mapping[str, int], *, as_json: bool) -> None:
    if as_json:
        write_json(dict(counts), indent=None)
        return
    for kind, count in counts.items():
        write_line(f"{kind:14} {count:,}")

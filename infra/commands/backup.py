"""`backup` and `restore`: write a stage's data to a file or to S3, and restore it."""

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
from infra.operate.backup.stage import BackedUpStage, OnProgress
from infra.stage.stage import Stage

CONFIDENTIAL = "contains push tokens and device library identifiers; protect it as you protect the tables"


def backup(
    to: Annotated[
        str, typer.Option("--to", metavar="FILE|s3://BUCKET/KEY", help="Where to write the backup; must not exist.")
    ],
    stage: StageOption = "dev",
    suffix: Annotated[
        str,
        typer.Option(help="Read the tables with this suffix, restored to a point in time (docs/guides/backup.md)."),
    ] = "",
    *,
    as_json: JsonOption = False,
) -> None:
    """Write all tables and templates of a running stage to one file. Secrets are not included.

    Example: python -m infra backup --stage dev --to dev.jsonl.gz
    """
    location = Location.parse(to)
    progress = standard_error()
    backed_up = BackedUpStage(Stage.open(stage), suffix=suffix)
    with _counting("backing up", progress) as (on_items, on_bytes), location.written(on_bytes) as path:
        contents = backed_up.back_up(path, on_progress=on_items)
    progress.print(f"{to}: {CONFIDENTIAL}")
    _print(contents.counts, as_json=as_json)


def restore(
    source: Annotated[
        str, typer.Option("--from", metavar="FILE|s3://BUCKET/KEY", help="A backup that `backup` wrote.")
    ],
    stage: StageOption = "dev",
    *,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Restore a backup into a stage and notify the phones whose passes differ. If interrupted, run it again.

    Example: python -m infra restore --stage dev --from dev.jsonl.gz
    """
    refuse_without_terminal(yes=yes)
    progress = standard_error()
    restored = BackedUpStage(Stage.open(stage))
    with Location.parse(source).read() as path:
        contents = file.verify(path)
        passes = contents.counts["passes"]
        question = (
            f"{source} is a backup of stage {contents.stage} from {contents.begun_at}. Overwrite the passes of stage "
            f"{stage} with its {passes:,} passes, and notify the phones whose passes differ?"
        )
        if not yes and not typer.confirm(printable(question), err=True):
            raise BackupError("declined; nothing was written")
        with _counting("restoring", progress) as (on_items, _):
            try:
                restored.restore(path, on_progress=on_items)
            except KeyboardInterrupt:
                progress.print("interrupted; restored items are kept. Run the same command again to restore the rest")
                raise
    _print(contents.counts, as_json=as_json)


@contextmanager
def _counting(activity: str, console: PlainConsole) -> Iterator[tuple[OnProgress, Callable[[int], object]]]:
    """Show a line that counts items by kind, and bytes uploaded to S3; yield a callback for each."""
    columns = (SpinnerColumn(), TextColumn(activity), TextColumn("{task.description}"), TimeElapsedColumn())
    counts = dict.fromkeys((*KINDS, "bytes uploaded"), 0)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def on_items(kind: str, count: int) -> None:
            counts[kind] += count
            bar.update(task, description=", ".join(f"{number:,} {name}" for name, number in counts.items() if number))

        yield on_items, lambda count: on_items("bytes uploaded", count)


def _print(counts: Mapping[str, int], *, as_json: bool) -> None:
    if as_json:
        write_json(dict(counts), indent=None)
        return
    for kind, count in counts.items():
        write_line(f"{kind:14} {count:,}")

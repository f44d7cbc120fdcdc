"""`backup` and `restore`: write a stage's data to a file or to S3, and restore it."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated

import typer

from infra.commands.confirmation import confirm, counted, require_answer
from infra.commands.options import DryRunOption, JsonOption, StageOption, YesOption, read_value
from infra.core.files import STANDARD
from infra.core.terminal import progress, standard_error, write_json, write_table
from infra.operate.backup import file
from infra.operate.backup.file import KINDS, Contents
from infra.operate.backup.location import Location
from infra.operate.backup.stage import BackedUpStage, OnProgress, RestorePlan
from infra.stage.stage import Stage

CONFIDENTIAL = "contains push tokens and device library identifiers; protect it as you protect the tables"
PLACE = "FILE|s3://BUCKET/KEY|-"


def backup(
    to: Annotated[
        str,
        typer.Option("--to", metavar=PLACE, help="Where to write the backup; must not exist. - for standard output."),
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

    If interrupted, nothing is left behind: run it again. With `--to -`, the number of items is not printed.

    Example: passwire backup --stage dev --to dev.jsonl.gz
    """
    location = read_value("--to", Location.parse, to)
    console = standard_error()
    backed_up = BackedUpStage(Stage.open(stage), suffix=suffix)
    with _counting("backing up") as (on_items, on_bytes), location.written(on_bytes) as path:
        contents = backed_up.back_up(path, on_progress=on_items)
    console.print(f"{'the backup' if to == STANDARD else to}: {CONFIDENTIAL}")
    if to != STANDARD:
        _print_counts(contents.counts, as_json=as_json)


def restore(
    source: Annotated[
        str,
        typer.Option("--from", metavar=PLACE, help="A backup that `backup` wrote. - for standard input."),
    ],
    stage: StageOption = "dev",
    *,
    events: Annotated[
        bool, typer.Option("--events", help="Publish pass.registered and pass.updated for what is restored.")
    ] = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Restore a backup into a stage and notify the phones whose passes differ. If interrupted, run it again.

    Passes that the backup does not contain are kept.

    Example: passwire restore --stage dev --from dev.jsonl.gz
    """
    location = read_value("--from", Location.parse, source)
    if not dry_run:
        require_answer(yes=yes)
    restored = BackedUpStage(Stage.open(stage))
    with location.read() as path:
        contents = file.verify(path)
        described = f"{source} is a backup of stage {contents.stage} from {contents.begun_at}"
        if dry_run or not yes:
            with _counting("comparing") as (on_items, _):
                plan = restored.plan(path, on_progress=on_items)
            if dry_run:
                _print_plan(plan, contents, as_json=as_json)
                return
            question = (
                f"{described}. Overwrite {counted(plan.changed, 'pass')} of stage {stage}, add "
                f"{counted(plan.new, 'pass')}, and notify {counted(plan.devices, 'device')}?"
            )
        else:
            question = f"{described}. Restore it into stage {stage}?"
        confirm(question, yes=yes, unchanged="nothing was written")
        written: Counter[str] = Counter()
        with _counting("restoring") as (on_items, _):

            def on_written(kind: str, count: int) -> None:
                written[kind] += count
                on_items(kind, count)

            try:
                done = restored.restore(path, on_progress=on_written, events=events)
            except BaseException:
                standard_error().print(
                    f"stopped after {_listed(written) or 'nothing'}; what was restored is kept. Run the same command "
                    "again to restore the rest"
                )
                raise
    if as_json:
        changed = {kind: done.changed[kind] for kind in contents.counts}
        write_json({"restored": contents.counts, "changed": changed, "not_restored": list(done.not_restored)})
    else:
        rows = [(kind, f"{count:,}", f"{done.changed[kind]:,}") for kind, count in contents.counts.items()]
        write_table(("items", "in the backup", "changed"), rows, numbers=("in the backup", "changed"))
    for problem in done.not_restored:
        standard_error().print(f"not restored: {problem}")
    if done.not_restored:
        standard_error().print("passes of these templates are refused until you push the templates again")
        raise typer.Exit(1)


@contextmanager
def _counting(activity: str) -> Iterator[tuple[OnProgress, Callable[[int], object]]]:
    """Show a line that counts items by kind, and bytes uploaded to S3; yield a callback for each."""
    counts = Counter(dict.fromkeys((*KINDS, "bytes uploaded"), 0))
    with progress(activity) as update:

        def on_items(kind: str, count: int) -> None:
            counts[kind] += count
            update(description=_listed(counts))

        yield on_items, lambda count: on_items("bytes uploaded", count)


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in counts.items() if number)


def _print_counts(counts: Mapping[str, int], *, as_json: bool) -> None:
    if as_json:
        write_json(dict(counts))
    else:
        write_table(("items", "count"), [(kind, f"{count:,}") for kind, count in counts.items()], numbers=("count",))


def _print_plan(plan: RestorePlan, contents: Contents, *, as_json: bool) -> None:
    if as_json:
        write_json({"dry_run": True, "stage": contents.stage, "begun_at": contents.begun_at, **asdict(plan)})
        return
    rows = [
        ("passes to add", plan.new),
        ("passes to overwrite", plan.changed),
        ("passes that are unchanged", plan.unchanged),
        ("registrations to restore", plan.lost),
        ("devices to notify", plan.devices),
    ]
    write_table(("would do", "count"), [(name, f"{count:,}") for name, count in rows], numbers=("count",))

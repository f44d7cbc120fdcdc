"""`pass import` and `pass export`: write and read many passes at once."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

from chalicelib.aws.templates import Templates
from infra.commands.options import JsonOption, StageOption
from infra.core.terminal import standard_error, styled, write_json, write_line
from infra.operate.bulk.exporting import SECRET, export_passes
from infra.operate.bulk.importing import Imported, Plan, import_passes
from infra.operate.bulk.importing import Progress as Progressed
from infra.operate.bulk.rows import open_rows
from infra.stage.stage import Stage


def import_file(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="FILE.csv, .jsonl or .parquet.", exists=True, dir_okay=False)
    ],
    stage: StageOption = "dev",
    pass_type: Annotated[
        str | None, typer.Option("--type", help="Pass type of rows that contain only a serial number.")
    ] = None,
    template: Annotated[str | None, typer.Option(help="Template of rows that name none.")] = None,
    mapping: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="COLUMN=TARGET",
            help="Target of a column, if its name differs: serial_number, a field's key, overrides.KEY, "
            "attributes.NAME, ...; nothing after = ignores the column.",
        ),
    ] = None,
    rate: Annotated[float | None, typer.Option(min=0.1, help="Maximum number of rows per second.")] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Write the rows of a file as passes. A row replaces an existing pass. Refused rows go to FILE.rejected.

    If interrupted, run the same command again to resume. Exit code 1: rows were refused.

    Example: python -m infra pass import tickets.csv --type pass.com.acme.boarding --template boarding --map Gate=gate
    """
    columns = dict(_split(entry) for entry in mapping or [])
    console = standard_error()
    with console.status(f"reading {file}"):
        deployed = Stage.open(stage)
        rows = open_rows(file)
    plan = Plan(
        stage=deployed,
        pass_type=pass_type,
        template=template,
        mapping=columns,
        rate=rate,
    )
    shown = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*shown, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("importing", total=rows.size)

        def on_rows(progress: Progressed) -> None:
            description = f"{progress.written:,} written, {progress.rejected:,} refused"
            bar.update(task, completed=progress.position, description=description)

        imported = import_passes(
            rows,
            plan,
            Templates(bucket=deployed.templates_bucket),
            on_rows=on_rows,
            on_progress=console.print,
        )
    _print(imported, as_json=as_json)
    if imported.rejected:
        raise typer.Exit(1)


def export_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="FILE.csv, .jsonl or .parquet.", dir_okay=False)],
    stage: StageOption = "dev",
    *,
    with_tokens: Annotated[
        bool, typer.Option("--with-tokens", help="Include authentication tokens of items that have one.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write all passes to a file that `pass import` can read. Only its owner can read the file.

    Example: python -m infra pass export passes.csv --stage dev
    """
    console = standard_error()
    deployed = Stage.open(stage)
    shown = (SpinnerColumn(), TextColumn("{task.completed:,} passes"))
    with Progress(*shown, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("export", total=None)
        exported = export_passes(
            deployed,
            file,
            Templates(bucket=deployed.templates_bucket),
            leave_out=() if with_tokens else (SECRET,),
            on_rows=lambda count: bar.advance(task, count),
        )
    if as_json:
        write_json({"passes": exported.passes, "tokens_left_out": exported.tokens_left_out, "file": str(file)})
    else:
        write_line(f"{exported.passes:,} passes written to {file}")
    if exported.tokens_left_out:
        console.print(
            styled(
                "warning",
                "yellow",
                f": the file does not contain the authentication tokens of {exported.tokens_left_out:,} passes; if it "
                "is imported over these passes, their phones can no longer authenticate. To include the tokens, export "
                "--with-tokens",
            )
        )


def _split(entry: str) -> tuple[str, str]:
    column, equals, target = entry.rpartition("=")
    if not equals:
        raise typer.BadParameter(f"{entry!r} is not a mapping; write COLUMN=TARGET", param_hint="--map")
    return column, target


def _print(imported: Imported, *, as_json: bool) -> None:
    rejects = str(imported.rejects) if imported.rejects else None
    if as_json:
        numbers = {"written": imported.written, "skipped": imported.skipped, "rejected": imported.rejected}
        rate = {"seconds": round(imported.seconds, 3), "rows_per_second": round(imported.rows_per_second, 1)}
        write_json({**numbers, **rate, "rejects": rejects})
        return
    earlier = f", {imported.skipped:,} finished by an interrupted run" if imported.skipped else ""
    write_line(
        f"{imported.written:,} written, {imported.rejected:,} refused{earlier}, "
        f"in {imported.seconds:.1f} s ({imported.rows_per_second:,.0f} rows/s)"
    )
    if rejects:
        write_line(f"refused rows are in {rejects}, each with its line and the reason; fix them there and import it")

"""`pass import` and `pass export`: write and read many passes at once."""

from dataclasses import asdict
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import TaskProgressColumn, TimeRemainingColumn

from chalicelib.aws.templates import Templates
from infra.commands.completion import complete_pass_types, complete_templates
from infra.commands.confirmation import NOTIFIED_WITHOUT_ASKING, confirm_notification, counted
from infra.commands.options import (
    DryRunOption,
    JsonOption,
    NotifyYesOption,
    OverwriteOption,
    StageOption,
    check_pass_type_option,
    check_template_option,
    read_value,
)
from infra.core.files import STANDARD, check_new, input_file, output_file
from infra.core.terminal import progress, standard_error, styled, write_json, write_line, write_table
from infra.operate.bulk.exporting import SECRET, export_passes
from infra.operate.bulk.files.base import RowFile
from infra.operate.bulk.files.kinds import KINDS, WRITTEN, kind_of, open_rows
from infra.operate.bulk.importing import Imported, import_passes
from infra.operate.bulk.linking import write_import_links
from infra.operate.bulk.plan import ImportPlan, ImportProgress
from infra.operate.bulk.survey import Survey, survey_import
from infra.operate.passes.cli_values import read_lifetime
from infra.operate.passes.links import Links
from infra.operate.passes.registrations import RegistrationCounter
from infra.operate.passes.table import require_certificate
from infra.stage.stage import Stage

STANDARD_NAME = "passes"
"""Name of the file that standard input and output count as, before its suffix."""
FormatOption = Annotated[
    str,
    typer.Option("--format", metavar="FORMAT", help="With -: csv, jsonl or parquet; xlsx too for an import."),
]


def import_file(  # noqa: PLR0913 - options of a command
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="FILE.csv, .jsonl, .parquet or .xlsx; - for standard input.")
    ],
    stage: StageOption = "dev",
    pass_type: Annotated[
        str | None,
        typer.Option(
            "--type",
            help="Pass type of rows that contain only a serial number.",
            callback=check_pass_type_option,
            autocompletion=complete_pass_types,
        ),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(
            help="Template of rows that name none.", callback=check_template_option, autocompletion=complete_templates
        ),
    ] = None,
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
    links: Annotated[
        Path | None,
        typer.Option(
            help="CSV file to write: the accepted rows with a column of download links; - for standard output."
        ),
    ] = None,
    expires: Annotated[str, typer.Option(help="With --links: how long the links are valid: 15m, 12h, 7d.")] = "7d",
    format_: FormatOption = "csv",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file of --links if it exists.")] = False,
    dry_run: DryRunOption = False,
    yes: NotifyYesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write the rows of a file as passes. A row replaces an existing pass. Refused rows go to FILE.rejected.

    Rows whose pass type has no certificate are refused. If interrupted, run the same command again to resume. Exit
    code 1: rows were refused.

    Without --yes, a stage with more than 100 registrations is compared with the file first, to count the devices that
    would be notified.

    Example: passwire pass import tickets.csv --type pass.com.acme.boarding --template boarding --map Gate=gate
    """
    columns = dict(_split(entry) for entry in mapping or [])
    lifetime = read_value("--expires", read_lifetime, expires)
    if links is not None:
        check_new(links, overwrite=overwrite)
    suffix = f".{format_}" if str(file) == STANDARD else file.suffix
    read_value("FILE", lambda path: kind_of(path, KINDS), file if str(file) != STANDARD else Path(f"-{suffix}"))
    console = standard_error()
    with input_file(file, f"{STANDARD_NAME}{suffix}") as path:
        with console.status(f"reading {file}"):
            deployed = Stage.open(stage)
            rows = open_rows(path)
        plan = ImportPlan(
            stage=deployed,
            pass_type=pass_type,
            template=template,
            mapping=columns,
            rate=rate,
            check_pass_type=cache(lambda kind: require_certificate(stage, kind)),
            side_files=None if path == file else Path(path.name),
        )
        templates = Templates(bucket=deployed.templates_bucket)
        if dry_run:
            _print_survey(_surveyed(rows, plan, templates), as_json=as_json)
            return
        if not yes and RegistrationCounter(deployed).has_more_than(NOTIFIED_WITHOUT_ASKING):
            survey = _surveyed(rows, plan, templates)
            confirm_notification(
                f"import {counted(survey.new, 'new pass')} and {counted(survey.changed, 'changed pass')}",
                devices=survey.devices,
                yes=yes,
            )
        imported = _imported(rows, plan, templates)
        if links is not None:
            _write_links(rows, plan, templates, links, lifetime)
    _print(imported, as_json=as_json)
    if imported.rejected:
        raise typer.Exit(1)


def export_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="FILE.csv, .jsonl or .parquet; - for standard output.")],
    stage: StageOption = "dev",
    *,
    format_: FormatOption = "csv",
    with_tokens: Annotated[
        bool, typer.Option("--with-tokens", help="Include authentication tokens of items that have one.")
    ] = False,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write all passes to a file that `pass import` can read. Only its owner can read the file.

    If interrupted, no file is left behind. With FILE -, the number of passes is printed to standard error.

    Example: passwire pass export passes.csv --stage dev
    """
    to_standard = str(file) == STANDARD
    name = f"{STANDARD_NAME}.{format_}" if to_standard else file.name
    read_value("FILE", lambda path: kind_of(path, WRITTEN), Path(name))
    check_new(file, overwrite=overwrite)
    console = standard_error()
    deployed = Stage.open(stage)
    with progress("exporting") as update, output_file(file, name) as path:
        passes = 0

        def on_rows(count: int) -> None:
            nonlocal passes
            passes += count
            update(description=counted(passes, "pass"))

        exported = export_passes(
            deployed,
            path,
            Templates(bucket=deployed.templates_bucket),
            leave_out=() if with_tokens else (SECRET,),
            on_rows=on_rows,
        )
    if to_standard:
        console.print(f"{counted(exported.passes, 'pass')} written")
    elif as_json:
        write_json({"passes": exported.passes, "tokens_left_out": exported.tokens_left_out, "file": str(file)})
    else:
        write_line(f"{counted(exported.passes, 'pass')} written to {file}")
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


def _write_links(rows: RowFile, plan: ImportPlan, templates: Templates, links: Path, lifetime: timedelta) -> None:
    sign = Links(plan.stage).signer(lifetime=lifetime)
    with (
        progress("creating links", TaskProgressColumn(), TimeRemainingColumn(), total=rows.size) as update,
        output_file(links, f"{STANDARD_NAME}.csv") as path,
    ):
        count = write_import_links(rows, plan, templates, path, sign, on_rows=lambda done: update(completed=done))
    standard_error().print(f"{counted(count, 'link')} written to {links}; anyone who has it can add the passes")


def _surveyed(rows: RowFile, plan: ImportPlan, templates: Templates) -> Survey:
    with progress("comparing", TaskProgressColumn(), TimeRemainingColumn(), total=rows.size) as update:
        return survey_import(rows, plan, templates, on_rows=lambda done: update(completed=done.position))


def _imported(rows: RowFile, plan: ImportPlan, templates: Templates) -> Imported:
    console = standard_error()
    latest = ImportProgress(0, 0, 0)
    with progress("importing", TaskProgressColumn(), TimeRemainingColumn(), total=rows.size) as update:

        def on_rows(done: ImportProgress) -> None:
            nonlocal latest
            latest = done
            update(completed=done.position, description=f"{done.written:,} written, {done.rejected:,} refused")

        try:
            return import_passes(rows, plan, templates, on_rows=on_rows, on_progress=console.print)
        except KeyboardInterrupt:
            console.print(
                f"stopped after {latest.written:,} written and {latest.rejected:,} refused rows; run the same command "
                "again to resume"
            )
            raise


def _split(entry: str) -> tuple[str, str]:
    column, equals, target = entry.rpartition("=")
    if not equals:
        raise typer.BadParameter(f"{entry!r} is not a mapping; write COLUMN=TARGET", param_hint="--map")
    return column, target


def _print_survey(survey: Survey, *, as_json: bool) -> None:
    if as_json:
        write_json({"dry_run": True, **asdict(survey)})
        return
    rows = [
        ("passes to add", survey.new),
        ("passes to change", survey.changed),
        ("passes that are unchanged", survey.unchanged),
        ("rows to refuse", survey.rejected),
        ("devices to notify", survey.devices),
    ]
    write_table(("would do", "count"), [(name, f"{count:,}") for name, count in rows], numbers=("count",))
    for refusal in survey.refusals:
        write_line(refusal)
    if more := survey.rejected - len(survey.refusals):
        write_line(f"and {counted(more, 'more refused row')}")


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

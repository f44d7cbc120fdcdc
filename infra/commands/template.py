"""`template`: what designers make, checked, seen and pushed."""

import json
import time
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from chalicelib.aws.templates import KEEP_SECONDS, pack, packaged_names
from chalicelib.core.errors import RefusedError
from chalicelib.core.identifiers import MIN_AUTHENTICATION_TOKEN_LENGTH, AuthenticationToken
from chalicelib.passes.item import PassItem
from chalicelib.passes.rendering import localized_strings, render, validate
from chalicelib.passes.template import Template, pass_files
from chalicelib.preview import page
from infra.commands.options import JsonOption, StageOption
from infra.core.terminal import PlainConsole, standard_error, standard_output, styled, write_json, write_line
from infra.local.processes import PROJECT
from infra.operate.pushes import Pushes
from infra.operate.templates.bucket import TemplatesBucket
from infra.operate.templates.check import check_template
from infra.operate.templates.findings import Finding, Severity, warning
from infra.operate.templates.folder import read_checked, template_name
from infra.operate.templates.touch import touch, untouched
from infra.stage.stage import Stage

DEFAULT_RATE = 50.0
SETTLE_SECONDS = KEEP_SECONDS + 2
"""After so long no sandbox makes passes of the old revision."""
PREVIEWS = PROJECT / ".passwire" / "preview"
SAMPLE_PASS_ID = "pass.example.preview/PREVIEW-1"
COLORS = {Severity.ERROR: "red", Severity.WARNING: "yellow"}

app = typer.Typer(name="template", help="Templates: check, preview, push, pull, list.", no_args_is_help=True)
FolderArgument = Annotated[
    Path, typer.Argument(metavar="NAME.pass", help="A designer's folder, or Pass Designer's NAME.pkpasstemplate.")
]


class PullForm(Enum):
    """What a pulled template is written as."""

    PASS = "pass"
    DESIGNER = "pkpasstemplate"


class TemplateRefusedError(RefusedError):
    """A template with errors: nothing was stored."""


@app.command()
def check(
    folders: Annotated[
        list[Path], typer.Argument(metavar="NAME.pass...", help="Designers' folders, or .pkpasstemplate.")
    ],
    *,
    as_json: JsonOption = False,
) -> None:
    """Check folders against Apple's format, and say what to do about each fault; 1 where there is an error.

    Example: python -m infra template check chalicelib/templates/boarding.pass
    """
    found = {str(folder): _findings(folder)[1] for folder in folders}
    if as_json:
        write_json({folder: [_described(f) for f in findings] for folder, findings in found.items()})
    else:
        for folder, findings in found.items():
            _show(folder, findings, standard_output())
    if any(finding.severity is Severity.ERROR for findings in found.values() for finding in findings):
        raise typer.Exit(1)


@app.command()
def preview(
    folder: FolderArgument,
    language: Annotated[str, typer.Option(help="Of the person who looks, as en or de.")] = "en",
    item: Annotated[
        Path | None, typer.Option(help="A JSON file with a pass item's attributes: fields, overrides, voided.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Where the page goes; .passwire/preview/ if not given.")] = None,
) -> None:
    """Draw a pass of a folder as an HTML page, front and back.

    Example: python -m infra template preview chalicelib/templates/boarding.pass --language de
    """
    name, findings, files = _readable(folder)
    _show(str(folder), findings, standard_error())
    attributes = _attributes(item)
    template = Template.parse(name, files)
    parsed = PassItem.parse({"pass_id": SAMPLE_PASS_ID, **attributes, "template": name})
    for each in validate(template, parsed):
        _show(str(item), [warning("", each.path, each.problem, each.source)], standard_error())
    rendered = render(
        template,
        parsed,
        web_service_url="https://example.com",
        authentication_token=AuthenticationToken("0" * MIN_AUTHENTICATION_TOKEN_LENGTH),
        team_identifier="PREVIEW",
    )
    target = output or PREVIEWS / f"{name}.html"
    target.parent.mkdir(parents=True, exist_ok=True)
    archive = template.archive_with(localized_strings(template, parsed), personalized=False)
    target.write_text(page(archive.with_pass(rendered, sign=lambda _: b"not signed"), language=language))
    write_line(str(target))


@app.command()
def push(
    folder: FolderArgument,
    stage: StageOption = "dev",
    *,
    notify: Annotated[
        bool, typer.Option("--notify", help="Touch all passes of the template, so that phones get its new look.")
    ] = False,
    rate: Annotated[float, typer.Option(min=0.1, help="Passes to touch a second, at most.")] = DEFAULT_RATE,
    as_json: JsonOption = False,
) -> None:
    """Check a folder, and make it what passes are made from within 5 seconds, without a deploy.

    Passes whose items were refused for this template are looked at again: those that can be made now are pushed.
    With --notify its passes are touched at --rate a second; interrupted, the same command goes on where it was.

    Example: python -m infra template push boarding.pass --stage dev --notify --rate 100
    """
    progress = standard_error()
    name, findings, files = _readable(folder)
    _show(str(folder), findings, progress)
    deployed = Stage.open(stage)
    bucket = TemplatesBucket(deployed)
    _warn_of_lost_fields(bucket.current(name), Template.parse(name, files), progress)
    with Progress(TextColumn("uploading"), BarColumn(), DownloadColumn(), console=progress, transient=True) as bar:
        task = bar.add_task("upload", total=len(pack(files)))
        pushed = bucket.push(name, files, uploaded=lambda count: bar.advance(task, count))
    progress.print(
        f"template {name}: revision {pushed.revision} "
        + ("is current already" if pushed.unchanged else "is current now")
    )
    rechecked = _recheck_refused(Pushes(deployed), name, progress)
    touched = None
    if notify:
        progress.print(f"waiting {SETTLE_SECONDS:.0f} s until every sandbox has it")
        time.sleep(SETTLE_SECONDS)
        touched = _notify(deployed, name, pushed.revision, rate, progress)
    if as_json:
        done = {"revision": pushed.revision, "before": pushed.before, "rechecked": rechecked, "touched": touched}
        write_json({"template": name, **done}, indent=None)


@app.command()
def pull(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of a template that was pushed.")],
    stage: StageOption = "dev",
    into: Annotated[Path, typer.Option(help="Where the folder NAME.pass goes.", file_okay=False, exists=True)] = Path(),
    as_: Annotated[
        PullForm, typer.Option("--as", help="pass, or pkpasstemplate: what Pass Designer opens, NAME.pkpasstemplate.")
    ] = PullForm.PASS,
) -> None:
    """Get the folder of a template as it was last pushed.

    Example: python -m infra template pull boarding --stage dev --into designs
    """
    write_line(str(TemplatesBucket(Stage.open(stage)).pull(name, into, suffix=f".{as_.value}")))


@app.command(name="list")
def list_templates(stage: StageOption = "dev", *, as_json: JsonOption = False) -> None:
    """List the templates of a stage: those that were pushed, and those that come with the app.

    Example: python -m infra template list --stage dev
    """
    pushed = TemplatesBucket(Stage.open(stage)).list()
    rows: list[tuple[str, str, str | None]] = [
        (template.name, template.revision, f"{template.pushed_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}")
        for template in pushed
    ]
    there = {template.name for template in pushed}
    rows += [(name, "packaged", None) for name in packaged_names() if name not in there]
    rows.sort(key=lambda row: row[0])
    if as_json:
        keys = ("template", "revision", "pushed_at")
        write_json([dict(zip(keys, row, strict=True)) for row in rows])
        return
    for name, revision, pushed_at in rows:
        write_line(f"{name:24} {revision:18} {pushed_at or ''}".rstrip())


def _warn_of_lost_fields(before: Template | None, after: Template, console: PlainConsole) -> None:
    """A pass whose item writes a field that is gone can be made no more."""
    lost = sorted(set(before.places) - set(after.places)) if before else []
    if lost:
        console.print(
            styled(
                "warning",
                "yellow",
                f": the fields {', '.join(lost)} are gone: passes whose items still write them are refused; put them "
                "back, or have the pipeline leave them out",
            )
        )


def _recheck_refused(pushes: Pushes, name: str, console: PlainConsole) -> int:
    """Bring back what was refused for this template, also where it was current already: an earlier push may have been
    interrupted here.
    """
    with console.status("looking for refused passes") as shown:
        count = pushes.recheck_refused(name, on_progress=lambda _: shown.update("asking for refused passes again"))
    if count:
        console.print(f"{count:,} passes whose items were refused are looked at again")
    return count


def _notify(stage: Stage, name: str, revision: str, rate: float, console: PlainConsole) -> int:
    """Touch the template's passes, and say how far it came, at the end as after Ctrl-C."""
    columns = (SpinnerColumn(), TextColumn("{task.completed:,} passes touched"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("touch", total=None)
        started, advice = datetime.now(UTC), "; interrupted: repeat the command to go on"
        try:
            touch(
                stage,
                untouched(stage, template=name, revision=revision),
                template=name,
                revision=revision,
                rate=rate,
                touched=lambda count: bar.advance(task, count),
            )
            advice = ""
        finally:
            seconds = (datetime.now(UTC) - started).total_seconds()
            count = int(bar.tasks[task].completed)
            console.print(f"touched {count:,} passes in {seconds:.1f} s{advice}")
    return count


def _findings(folder: Path) -> tuple[str, list[Finding], dict[str, bytes]]:
    name = template_name(folder)
    files, unread = read_checked(folder)
    found = [*unread, *check_template(name, files)]
    return name, found, pass_files(files, icon=False)


def _readable(folder: Path) -> tuple[str, list[Finding], dict[str, bytes]]:
    """A folder without errors."""
    name, findings, files = _findings(folder)
    errors = [str(finding) for finding in findings if finding.severity is Severity.ERROR]
    if errors:
        raise TemplateRefusedError("\n  ".join([f"template {name} has errors, nothing was done:", *errors]))
    return name, findings, files


def _attributes(path: Path | None) -> dict[str, object]:
    if path is None:
        return {}
    try:
        attributes = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise RefusedError(f"{path}: cannot be read as a pass item: {error}") from None
    if not isinstance(attributes, dict):
        raise RefusedError(f'{path}: must be a JSON object such as {{"fields": {{"gate": "B22"}}}}')
    return attributes


def _show(folder: str, findings: list[Finding], console: PlainConsole) -> None:
    for finding in findings:
        console.print(styled(finding.severity.value, COLORS[finding.severity], f": {finding}"))
    if not findings:
        console.print(f"{folder}: no faults")


def _described(finding: Finding) -> dict[str, str]:
    return {
        "severity": finding.severity.value,
        "file": finding.file,
        "path": finding.path,
        "problem": finding.problem,
        "source": finding.source,
    }

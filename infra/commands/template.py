"""`template`: checks, previews, pushes, pulls and lists templates."""

import json
import time
from collections.abc import Mapping
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
from infra.operate.certificates.nfc import check_template_certificates
from infra.operate.certificates.stage import StageCertificates
from infra.operate.passes.images import ItemImages
from infra.operate.pushes import Pushes
from infra.operate.templates.bucket import TemplatesBucket
from infra.operate.templates.check import check_template
from infra.operate.templates.findings import Finding, Severity, warning
from infra.operate.templates.folder import read_checked, template_name
from infra.operate.templates.recompress import Recompressed, recompress_images
from infra.operate.templates.touch import touch, untouched
from infra.stage.stage import Stage

DEFAULT_RATE = 50.0
SETTLE_SECONDS = KEEP_SECONDS + 2
"""After this time no execution environment builds passes from the old revision."""
PREVIEWS = PROJECT / ".passwire" / "preview"
SAMPLE_PASS_ID = "pass.example.preview/PREVIEW-1"
COLORS = {Severity.ERROR: "red", Severity.WARNING: "yellow"}

app = typer.Typer(name="template", help="Templates: check, preview, push, pull, list.", no_args_is_help=True)
FolderArgument = Annotated[
    Path, typer.Argument(metavar="NAME.pass", help="A designer's folder, or Pass Designer's NAME.pkpasstemplate.")
]


class PullForm(Enum):
    """Form of the folder of a pulled template."""

    PASS = "pass"
    DESIGNER = "pkpasstemplate"


class TemplateRefusedError(RefusedError):
    """A template has errors; nothing was stored."""


@app.command()
def check(
    folders: Annotated[
        list[Path], typer.Argument(metavar="NAME.pass...", help="Designers' folders, or .pkpasstemplate.")
    ],
    stage: Annotated[str | None, typer.Option(help="Stage whose certificates must be able to sign the passes.")] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Check folders against Apple's format, and print each problem with its remedy. Exit code 1: an error was found.

    Example: python -m infra template check chalicelib/templates/boarding.pass
    """
    can_sign = _can_sign_nfc(stage) if stage is not None else {}
    found = {str(folder): _findings(folder, can_sign)[1] for folder in folders}
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
    language: Annotated[str, typer.Option(help="Language of the page, such as en or de.")] = "en",
    item: Annotated[
        Path | None,
        typer.Option(
            help="JSON file with attributes of a pass item: fields, overrides, images, voided. An image is the name of "
            "a file beside it, or with --stage a key of `image put`."
        ),
    ] = None,
    stage: Annotated[str | None, typer.Option(help="Stage that has the images of the item's keys.")] = None,
    output: Annotated[Path | None, typer.Option(help="File to write. Default: in .passwire/preview/.")] = None,
) -> None:
    """Write an HTML page that shows a pass of a template, front and back.

    Example: python -m infra template preview chalicelib/templates/boarding.pass --language de
    """
    name, findings, files = _readable(folder)
    _show(str(folder), findings, standard_error())
    images = ItemImages(item.parent if item else Path(), Stage.open(stage) if stage is not None else None)
    attributes = images.with_keys(_attributes(item))
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
    own = localized_strings(template, parsed) | {path: images.get(key) for path, key in parsed.images.items()}
    archive = template.archive_with(own, personalized=False)
    target.write_text(page(archive.with_pass(rendered, sign=lambda _: b"not signed"), language=language))
    write_line(str(target))


@app.command()
def push(
    folder: FolderArgument,
    stage: StageOption = "dev",
    *,
    notify: Annotated[
        bool, typer.Option("--notify", help="Touch all passes of the template, so that phones download them again.")
    ] = False,
    rate: Annotated[float, typer.Option(min=0.1, help="Maximum number of passes to touch per second.")] = DEFAULT_RATE,
    keep_images: Annotated[
        bool, typer.Option("--keep-images", help="Store images as they are, without lossless recompression.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check a folder and store it as the template that passes are built from. Takes effect within 5 seconds.

    PNGs are recompressed without changing a pixel, since each phone downloads them; --keep-images stores them as they
    are. Passes whose items were refused because of this template are rechecked, and pushed if they are valid now. With
    --notify, all passes of the template are touched; if interrupted, run the same command again to resume.

    Example: python -m infra template push boarding.pass --stage dev --notify --rate 100
    """
    progress = standard_error()
    name, findings, files = _readable(folder)
    _show(str(folder), findings, progress)
    deployed = Stage.open(stage)
    bucket = TemplatesBucket(deployed)
    _warn_of_lost_fields(bucket.current(name), Template.parse(name, files), progress)
    images = None if keep_images else _recompress(files, progress)
    files = images.files if images else files
    with Progress(TextColumn("uploading"), BarColumn(), DownloadColumn(), console=progress, transient=True) as bar:
        task = bar.add_task("upload", total=len(pack(files)))
        pushed = bucket.push(name, files, on_progress=lambda count: bar.advance(task, count))
    progress.print(
        f"template {name}: revision {pushed.revision} "
        + ("was current already" if pushed.unchanged else "is current now")
    )
    rechecked = _recheck_refused(Pushes(deployed), name, progress)
    touched = None
    if notify:
        progress.print(f"waiting {SETTLE_SECONDS:.0f} s until all functions use it")
        time.sleep(SETTLE_SECONDS)
        touched = _notify(deployed, name, pushed.revision, rate, progress)
    if as_json:
        saving = {"bytes_before": images.bytes_before, "bytes_after": images.bytes_after} if images else None
        done = {"revision": pushed.revision, "before": pushed.before, "rechecked": rechecked, "touched": touched}
        write_json({"template": name, **done, "images": saving}, indent=None)


@app.command()
def pull(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a pushed template.")],
    stage: StageOption = "dev",
    into: Annotated[Path, typer.Option(help="Parent of the new folder.", file_okay=False, exists=True)] = Path(),
    as_: Annotated[
        PullForm, typer.Option("--as", help="pass: NAME.pass; pkpasstemplate: for Pass Designer.")
    ] = PullForm.PASS,
) -> None:
    """Write a template to a folder as it was last pushed.

    Example: python -m infra template pull boarding --stage dev --into designs
    """
    write_line(str(TemplatesBucket(Stage.open(stage)).pull(name, into, suffix=f".{as_.value}")))


@app.command(name="list")
def list_templates(stage: StageOption = "dev", *, as_json: JsonOption = False) -> None:
    """List the templates of a stage: pushed ones, and those packaged with the app.

    Example: python -m infra template list --stage dev
    """
    pushed = TemplatesBucket(Stage.open(stage)).list()
    rows: list[tuple[str, str, str | None]] = [
        (template.name, template.revision, f"{template.pushed_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}")
        for template in pushed
    ]
    pushed_names = {template.name for template in pushed}
    rows += [(name, "packaged", None) for name in packaged_names() if name not in pushed_names]
    rows.sort(key=lambda row: row[0])
    if as_json:
        keys = ("template", "revision", "pushed_at")
        write_json([dict(zip(keys, row, strict=True)) for row in rows])
        return
    for name, revision, pushed_at in rows:
        write_line(f"{name:24} {revision:18} {pushed_at or ''}".rstrip())


def _warn_of_lost_fields(before: Template | None, after: Template, console: PlainConsole) -> None:
    """Warn of fields that the new revision lacks: items that contain them are refused."""
    lost = sorted(set(before.places) - set(after.places)) if before else []
    if lost:
        console.print(
            styled(
                "warning",
                "yellow",
                f": the fields {', '.join(lost)} were removed: items that contain them are refused; restore "
                "the fields, or remove them from the pipeline",
            )
        )


def _recompress(files: dict[str, bytes], console: PlainConsole) -> Recompressed:
    """Recompress the images, and print what that saves per download."""
    with console.status("recompressing images") as shown:
        images = recompress_images(files, on_progress=lambda path: shown.update(f"recompressing {path}"))
    if images.count:
        sizes = f"{images.bytes_before:,} to {images.bytes_after:,} bytes"
        share = 1 - images.bytes_after / images.bytes_before
        console.print(f"images recompressed without loss: {sizes} ({share:.0%} less)")
    return images


def _recheck_refused(pushes: Pushes, name: str, console: PlainConsole) -> int:
    """Request a recheck of the passes that were refused because of this template.

    This is done even if the revision was current already: an earlier push may have been interrupted before it.
    """
    with console.status("reading refused passes") as shown:
        count = pushes.recheck_refused(name, on_progress=lambda _: shown.update("requesting rechecks"))
    if count:
        console.print(f"{count:,} passes whose items were refused will be rechecked")
    return count


def _notify(stage: Stage, name: str, revision: str, rate: float, console: PlainConsole) -> int:
    """Touch the template's passes, and print their number, also after Ctrl-C."""
    columns = (SpinnerColumn(), TextColumn("{task.completed:,} passes touched"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("touch", total=None)
        started, advice = datetime.now(UTC), "; interrupted, run the same command again to resume"
        try:
            touch(
                stage,
                untouched(stage, template=name, revision=revision),
                template=name,
                revision=revision,
                rate=rate,
                on_progress=lambda count: bar.advance(task, count),
            )
            advice = ""
        finally:
            seconds = (datetime.now(UTC) - started).total_seconds()
            count = int(bar.tasks[task].completed)
            console.print(f"touched {count:,} passes in {seconds:.1f} s{advice}")
    return count


def _can_sign_nfc(stage: str) -> dict[str, bool]:
    """Return by pass type of a stage whether its certificate is an NFC certificate, unusable ones left out."""
    rows = StageCertificates(Stage.open(stage).name).status([], now=datetime.now(UTC))
    return {row.pass_type_identifier: row.nfc for row in rows if row.nfc is not None}


def _findings(folder: Path, can_sign: Mapping[str, bool] | None = None) -> tuple[str, list[Finding], dict[str, bytes]]:
    name = template_name(folder)
    files, unread = read_checked(folder)
    found = [*unread, *check_template(name, files), *check_template_certificates(files, can_sign or {})]
    return name, found, pass_files(files, icon=False)


def _readable(folder: Path) -> tuple[str, list[Finding], dict[str, bytes]]:
    """Read a folder without errors.

    Raises:
        TemplateRefusedError: the template has errors.
    """
    name, findings, files = _findings(folder)
    errors = [str(finding) for finding in findings if finding.severity is Severity.ERROR]
    if errors:
        raise TemplateRefusedError("\n  ".join([f"template {name} has errors; nothing was stored:", *errors]))
    return name, findings, files


def _attributes(path: Path | None) -> dict[str, object]:
    if path is None:
        return {}
    try:
        attributes = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise RefusedError(f"{path}: not a readable pass item: {error}") from None
    if not isinstance(attributes, dict):
        raise RefusedError(f'{path}: must be a JSON object such as {{"fields": {{"gate": "B22"}}}}')
    return attributes


def _show(folder: str, findings: list[Finding], console: PlainConsole) -> None:
    for finding in findings:
        console.print(styled(finding.severity.value, COLORS[finding.severity], f": {finding}"))
    if not findings:
        console.print(f"{folder}: no problems found")


def _described(finding: Finding) -> dict[str, str]:
    return {
        "severity": finding.severity.value,
        "file": finding.file,
        "path": finding.path,
        "problem": finding.problem,
        "source": finding.source,
    }

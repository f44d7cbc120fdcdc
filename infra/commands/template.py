"""`template`: checks, pushes, pulls, lists, rolls back and deletes templates; `new` and `preview` are in `design`."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from chalicelib.aws.templates import KEEP_SECONDS, pack, packaged_names
from chalicelib.core.errors import RefusedError
from chalicelib.passes.template import Template, pass_files
from infra.commands import lazy
from infra.commands.dialogue import DeclinedError, Terminal
from infra.commands.findings import described, show_findings
from infra.commands.options import FolderArgument, JsonOption, StageOption, YesOption
from infra.core.terminal import PlainConsole, standard_error, standard_output, styled, write_json, write_line
from infra.operate.certificates.nfc import check_template_certificates
from infra.operate.certificates.stage import StageCertificates
from infra.operate.pushes import Pushes
from infra.operate.templates.bucket import PushedRevision, TemplatesBucket, TemplateUsedError
from infra.operate.templates.check import check_template
from infra.operate.templates.findings import Finding, Severity
from infra.operate.templates.folder import read_checked, template_name
from infra.operate.templates.recompress import Recompressed, recompress_images
from infra.operate.templates.touch import touch, untouched, used_by
from infra.stage.stage import Stage

DEFAULT_RATE = 50.0
SETTLE_SECONDS = KEEP_SECONDS + 2
"""After this time no execution environment builds passes from the old revision."""
MAX_NAMED_PASSES = 5
"""Passes that the refusal to delete a template names."""

app = typer.Typer(
    name="template",
    cls=lazy.group_of({"new": "design.new", "preview": "design.preview"}),
    help="Templates: new, check, preview, push, list, pull, rollback, delete.",
    no_args_is_help=True,
)
NotifyOption = Annotated[
    bool, typer.Option("--notify", help="Touch all passes of the template, so that phones download them again.")
]
RateOption = Annotated[float, typer.Option(min=0.1, help="Maximum number of passes to touch per second.")]


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
        write_json({folder: [described(f) for f in findings] for folder, findings in found.items()})
    else:
        for folder, findings in found.items():
            show_findings(folder, findings, standard_output())
    if any(finding.severity is Severity.ERROR for findings in found.values() for finding in findings):
        raise typer.Exit(1)


@app.command()
def push(
    folder: FolderArgument,
    stage: StageOption = "dev",
    *,
    notify: NotifyOption = False,
    rate: RateOption = DEFAULT_RATE,
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
    show_findings(str(folder), findings, progress)
    deployed = Stage.open(stage)
    bucket = TemplatesBucket(deployed)
    _warn_of_lost_fields(bucket.current(name), Template.parse(name, files), progress)
    images = None if keep_images else _recompress(files, progress)
    files = images.files if images else files
    with Progress(TextColumn("uploading"), BarColumn(), DownloadColumn(), console=progress, transient=True) as bar:
        task = bar.add_task("upload", total=len(pack(files)))
        pushed = bucket.push(name, files, on_progress=lambda count: bar.advance(task, count))
    done = _publish(deployed, name, pushed, rate=rate if notify else None, console=progress)
    if as_json:
        saving = {"bytes_before": images.bytes_before, "bytes_after": images.bytes_after} if images else None
        write_json({**done, "images": saving}, indent=None)


@app.command()
def rollback(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a pushed template.")],
    revision: Annotated[
        str | None, typer.Argument(metavar="[REVISION]", help="Default: the revision that was pushed before.")
    ] = None,
    stage: StageOption = "dev",
    *,
    notify: NotifyOption = False,
    rate: RateOption = DEFAULT_RATE,
    as_json: JsonOption = False,
) -> None:
    """Make an older revision of a template current again, as a push of it would. Takes effect within 5 seconds.

    `template list` shows the revisions. No revision is lost: a rollback can be rolled back by naming the newer one.

    Example: python -m infra template rollback boarding --stage dev --notify
    """
    progress = standard_error()
    deployed = Stage.open(stage)
    bucket = TemplatesBucket(deployed)
    target = bucket.find(name, revision)
    _warn_of_lost_fields(bucket.current(name), target, progress)
    done = _publish(deployed, name, bucket.make_current(target), rate=rate if notify else None, console=progress)
    if as_json:
        write_json(done, indent=None)


@app.command()
def pull(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a pushed template.")],
    stage: StageOption = "dev",
    into: Annotated[Path, typer.Option(help="Parent of the new folder.", file_okay=False, exists=True)] = Path(),
    as_: Annotated[
        PullForm, typer.Option("--as", help="pass: NAME.pass; pkpasstemplate: for Pass Designer.")
    ] = PullForm.PASS,
) -> None:
    """Write a template to a folder as it was last pushed; one that was never pushed as it is packaged with the app.

    Example: python -m infra template pull boarding --stage dev --into designs
    """
    write_line(str(TemplatesBucket(Stage.open(stage)).pull(name, into, suffix=f".{as_.value}")))


@app.command(name="list")
def list_templates(stage: StageOption = "dev", *, as_json: JsonOption = False) -> None:
    """List the templates of a stage and their revisions: pushed ones, and those packaged with the app.

    Example: python -m infra template list --stage dev
    """
    pushed = TemplatesBucket(Stage.open(stage)).list()
    rows: list[dict[str, Any]] = [
        {
            "template": template.name,
            "revision": template.revision,
            "pushed_at": _time(template.pushed_at),
            "revisions": [{"revision": r.revision, "pushed_at": _time(r.pushed_at)} for r in template.revisions],
        }
        for template in pushed
    ]
    pushed_names = {template.name for template in pushed}
    rows += [
        {"template": name, "revision": "packaged", "pushed_at": None, "revisions": []}
        for name in packaged_names()
        if name not in pushed_names
    ]
    rows.sort(key=lambda row: str(row["template"]))
    if as_json:
        write_json(rows)
        return
    for row in rows:
        write_line(f"{row['template']:24} {row['revision']:18} {row['pushed_at'] or ''}".rstrip())
        for older in row["revisions"]:
            if older["revision"] != row["revision"]:
                write_line(f"{'':24} {older['revision']:18} {older['pushed_at']}  not current")


@app.command()
def delete(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a pushed template.")],
    stage: StageOption = "dev",
    *,
    force: Annotated[bool, typer.Option("--force", help="Delete it although passes use it.")] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Delete a template with all its revisions, unless passes use it.

    The passes of a deleted template cannot be downloaded or changed until a template of this name is pushed; if one is
    packaged with the app, they are built from that one. The bucket keeps deleted versions: docs/guides/templates.md
    says how to restore them.

    Example: python -m infra template delete boarding --stage dev
    """
    deployed = Stage.open(stage)
    bucket = TemplatesBucket(deployed)
    count = len(bucket.revisions(name))
    with standard_error().status("looking for passes of the template"):
        users = used_by(deployed, template=name, most=MAX_NAMED_PASSES + 1)
    if users and not force:
        named = ", ".join(users[:MAX_NAMED_PASSES]) + (", ..." if len(users) > MAX_NAMED_PASSES else "")
        raise TemplateUsedError(
            f"template {name} is used by passes ({named}), which could not be downloaded without it; nothing was "
            "deleted; delete the passes or give them another template first, or use --force"
        )
    with Terminal(stage=stage, yes=yes) as dialogue:
        if not dialogue.allows(f"delete template {name} with {count} revisions?"):
            raise DeclinedError("declined; nothing was deleted")
    bucket.delete(name)
    packaged = name in packaged_names()
    if as_json:
        write_json({"template": name, "deleted_revisions": count, "packaged": packaged})
    else:
        write_line(
            f"deleted template {name}" + ("; passes are now built from the packaged template" if packaged else "")
        )


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _publish(
    stage: Stage, name: str, pushed: PushedRevision, *, rate: float | None, console: PlainConsole
) -> dict[str, object]:
    """Recheck the refused passes of a template whose revision became current, and touch all passes if asked.

    Args:
        stage: the stage.
        name: name of the template.
        pushed: the revision.
        rate: passes to touch per second; None to touch none.
        console: for progress.

    Returns:
        The results, for JSON.
    """
    console.print(
        f"template {name}: revision {pushed.revision} "
        + ("was current already" if pushed.unchanged else "is current now")
    )
    rechecked = _recheck_refused(Pushes(stage), name, console)
    touched = None
    if rate is not None:
        console.print(f"waiting {SETTLE_SECONDS:.0f} s until all functions use it")
        time.sleep(SETTLE_SECONDS)
        touched = _notify(stage, name, pushed.revision, rate, console)
    return {
        "template": name,
        "revision": pushed.revision,
        "before": pushed.before,
        "rechecked": rechecked,
        "touched": touched,
    }


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

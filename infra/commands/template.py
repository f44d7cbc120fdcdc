"""`template`: checks, pushes, pulls, lists, rolls back and deletes templates; `new` and `preview` are in `design`."""

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from chalicelib.aws.templates import pack, packaged_names
from chalicelib.core.errors import RefusedError, excerpt
from chalicelib.core.identifiers import TEMPLATE_NAME_RULE, is_template_name
from chalicelib.passes.format.findings import Level
from chalicelib.passes.template import Template, pass_files
from infra.commands import lazy
from infra.commands.completion import complete_templates
from infra.commands.confirmation import confirm, confirm_notification, counted, require_answer
from infra.commands.findings import described, show_findings
from infra.commands.next_steps import known_pass_types, print_next
from infra.commands.options import (
    DryRunOption,
    FolderArgument,
    JsonOption,
    NotifyYesOption,
    OptionalStageOption,
    StageOption,
    YesOption,
)
from infra.commands.publishing import print_plan, publish, warn_of_lost_fields
from infra.core.files import STANDARD, PathError, check_standard_input
from infra.core.moments import format_moment
from infra.core.terminal import (
    PlainConsole,
    standard_error,
    standard_output,
    write_json,
    write_line,
    write_table,
)
from infra.operate.certificates.nfc import check_template_certificates
from infra.operate.certificates.stage import StageCertificates
from infra.operate.templates.bucket import TemplatesBucket, TemplateUsedError
from infra.operate.templates.check import check_template
from infra.operate.templates.findings import TemplateFinding
from infra.operate.templates.folder import opened_template, read_checked, template_name, zipped_folder
from infra.operate.templates.publishing import plan_push
from infra.operate.templates.recompress import Recompressed, recompress_images
from infra.operate.templates.touch import used_by
from infra.stage.stage import Stage

DEFAULT_RATE = 50.0
MAX_NAMED_PASSES = 5
"""Passes that the refusal to delete a template names."""

app = typer.Typer(
    name="template",
    cls=lazy.group_of({"new": "design.new", "preview": "design.preview"}),
    help="Templates: new, check, preview, push, list, pull, rollback, delete.",
    no_args_is_help=True,
)


def check_template_name(text: str) -> str:
    """Return the name of a template if it is valid.

    Raises:
        BadParameter: it is not.
    """
    if not is_template_name(text):
        raise typer.BadParameter(f"{excerpt(text)!r} is not a template name: {TEMPLATE_NAME_RULE}", param_hint="NAME")
    return text


NameArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="Name of a pushed template.",
        callback=check_template_name,
        autocompletion=complete_templates,
    ),
]
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
        list[Path],
        typer.Argument(
            metavar="NAME.pass...", help="Designers' folders, or .pkpasstemplate; - for a zip on standard input."
        ),
    ],
    stage: OptionalStageOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Check folders against Apple's format, and print each problem with its remedy. Exit code 1: an error was found.

    With a stage, its certificates must be able to sign the passes. Without one, nothing is requested from AWS.

    Example: passwire template check chalicelib/templates/boarding.pass
    """
    check_standard_input(*folders)
    can_sign = _can_sign_nfc(stage) if stage is not None else {}
    found = {str(folder): _findings(folder, can_sign)[1] for folder in folders}
    if as_json:
        write_json({folder: [described(f) for f in findings] for folder, findings in found.items()})
    else:
        for folder, findings in found.items():
            show_findings(folder, findings, standard_output())
    if any(finding.level is Level.ERROR for findings in found.values() for finding in findings):
        raise typer.Exit(1)


@app.command()
def push(  # noqa: PLR0913 - options of a command
    folder: FolderArgument,
    stage: StageOption = "dev",
    *,
    notify: NotifyOption = False,
    rate: RateOption = DEFAULT_RATE,
    keep_images: Annotated[
        bool, typer.Option("--keep-images", help="Store images as they are, without lossless recompression.")
    ] = False,
    dry_run: DryRunOption = False,
    yes: NotifyYesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Check a folder and store it as the template that passes are built from. Takes effect within 5 seconds.

    PNGs are recompressed without changing a pixel, since each phone downloads them; --keep-images stores them as they
    are. Passes whose items were refused because of this template are rechecked, and pushed if they are valid now. With
    --notify, all passes of the template are touched, after a question with the number of devices; if interrupted, run
    the same command again to resume.

    Example: passwire template push boarding.pass --stage dev --notify --rate 100
    """
    progress = standard_error()
    name, findings, files = _readable(folder)
    show_findings(str(folder), findings, progress)
    deployed = Stage.open(stage)
    bucket = TemplatesBucket(deployed)
    warn_of_lost_fields(bucket.current(name), Template.parse(name, files), progress)
    images = None if keep_images else _recompress(files, progress)
    files = images.files if images else files
    with progress.status("counting devices"):
        plan = plan_push(deployed, name, Template.parse(name, files).revision, notify=notify)
    if dry_run:
        print_plan(name, plan, as_json=as_json)
        return
    action = f"push template {name}"
    if notify:
        action += f", touch {counted(plan.touched, 'pass')}"
    confirm_notification(action, devices=plan.devices, yes=yes, always=notify and plan.touched > 0)
    with Progress(TextColumn("uploading"), BarColumn(), DownloadColumn(), console=progress, transient=True) as bar:
        task = bar.add_task("upload", total=len(pack(files)))
        pushed = bucket.push(name, files, on_progress=lambda count: bar.advance(task, count))
    done = publish(deployed, name, pushed, rate=rate if notify else None, console=progress)
    if as_json:
        saving = {"bytes_before": images.bytes_before, "bytes_after": images.bytes_after} if images else None
        write_json({**done, "devices": plan.devices, "images": saving}, indent=None)
    elif plan.devices:
        write_line(f"{counted(plan.devices, 'device')} to notify")
    pass_type = next(iter(known_pass_types(deployed)), "PASS_TYPE")
    print_next(
        "pass issue", "--type", pass_type, "--template", name, "--stage", stage, purpose="to issue a pass with it"
    )


@app.command()
def rollback(  # noqa: PLR0913 - options of a command
    name: NameArgument,
    revision: Annotated[
        str | None, typer.Argument(metavar="[REVISION]", help="Default: the revision that was current before.")
    ] = None,
    stage: StageOption = "dev",
    *,
    notify: NotifyOption = False,
    rate: RateOption = DEFAULT_RATE,
    dry_run: DryRunOption = False,
    yes: NotifyYesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make an older revision of a template current again, as a push of it would. Takes effect within 5 seconds.

    `template list` shows the revisions. No revision is lost: a rollback can be rolled back by naming the newer one.

    Example: passwire template rollback boarding --stage dev --notify
    """
    progress = standard_error()
    deployed = Stage.open(stage)
    bucket = TemplatesBucket(deployed)
    target = bucket.find(name, revision)
    warn_of_lost_fields(bucket.current(name), target, progress)
    with progress.status("counting devices"):
        plan = plan_push(deployed, name, target.revision, notify=notify)
    if dry_run:
        print_plan(name, plan, as_json=as_json)
        return
    confirm_notification(
        f"roll back template {name}", devices=plan.devices, yes=yes, always=notify and plan.touched > 0
    )
    done = publish(deployed, name, bucket.make_current(target), rate=rate if notify else None, console=progress)
    if as_json:
        write_json({**done, "devices": plan.devices}, indent=None)
    elif plan.devices:
        write_line(f"{counted(plan.devices, 'device')} to notify")


@app.command()
def pull(
    name: NameArgument,
    stage: StageOption = "dev",
    into: Annotated[
        Path,
        typer.Option(
            help="Parent of the new folder; - for a zip on standard output.",
        ),
    ] = Path(),
    as_: Annotated[
        PullForm, typer.Option("--as", help="pass: NAME.pass; pkpasstemplate: for Pass Designer.")
    ] = PullForm.PASS,
    *,
    as_json: JsonOption = False,
) -> None:
    """Write a template to a folder as it was last pushed; one that was never pushed as it is packaged with the app.

    Example: passwire template pull boarding --stage dev --into designs
    """
    suffix = f".{as_.value}"
    if str(into) == STANDARD:
        sys.stdout.buffer.write(
            zipped_folder(f"{name}{suffix}", TemplatesBucket(Stage.open(stage)).files(name, suffix=suffix))
        )
        sys.stdout.buffer.flush()
        return
    if not into.is_dir():
        raise PathError(f"{into}: there is no such folder; create it first")
    target = TemplatesBucket(Stage.open(stage)).pull(name, into, suffix=suffix)
    _print_path(name, target, as_json=as_json)


@app.command(name="list")
def list_templates(stage: StageOption = "dev", *, as_json: JsonOption = False) -> None:
    """List the templates of a stage and their revisions: pushed ones, and those packaged with the app.

    Example: passwire template list --stage dev
    """
    pushed = TemplatesBucket(Stage.open(stage)).list()
    rows: list[dict[str, Any]] = [
        {
            "template": template.name,
            "revision": template.revision,
            "pushed_at": format_moment(template.pushed_at),
            "revisions": [
                {"revision": r.revision, "pushed_at": format_moment(r.pushed_at)} for r in template.revisions
            ],
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
    table = []
    for row in rows:
        table.append((str(row["template"]), str(row["revision"]), row["pushed_at"] or "", "current"))
        older = [each for each in row["revisions"] if each["revision"] != row["revision"]]
        table += [(str(row["template"]), each["revision"], each["pushed_at"], "older") for each in older]
    write_table(("template", "revision", "pushed", "state"), table)


@app.command()
def delete(
    name: NameArgument,
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

    Example: passwire template delete boarding --stage dev
    """
    require_answer(yes=yes)
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
    confirm(f"delete template {name} with {counted(count, 'revision')}?", yes=yes, unchanged="nothing was deleted")
    bucket.delete(name)
    packaged = name in packaged_names()
    if as_json:
        write_json({"template": name, "deleted_revisions": count, "packaged": packaged})
    else:
        write_line(
            f"deleted template {name}" + ("; passes are now built from the packaged template" if packaged else "")
        )


def _print_path(name: str, path: Path, *, as_json: bool) -> None:
    if as_json:
        write_json({"template": name, "path": str(path)})
    else:
        write_line(str(path))


def _recompress(files: dict[str, bytes], console: PlainConsole) -> Recompressed:
    """Recompress the images, and print what that saves per download."""
    with console.status("recompressing images") as shown:
        images = recompress_images(files, on_progress=lambda path: shown.update(f"recompressing {path}"))
    if images.count:
        sizes = f"{images.bytes_before:,} to {images.bytes_after:,} bytes"
        share = 1 - images.bytes_after / images.bytes_before
        console.print(f"images recompressed without loss: {sizes} ({share:.0%} less)")
    return images


def _can_sign_nfc(stage: str) -> dict[str, bool]:
    """Return by pass type of a stage whether its certificate is an NFC certificate, unusable ones left out."""
    rows = StageCertificates(Stage.open(stage).name).status([], now=datetime.now(UTC))
    return {row.pass_type_identifier: row.nfc for row in rows if row.nfc is not None}


def _findings(
    folder: Path, can_sign: Mapping[str, bool] | None = None
) -> tuple[str, list[TemplateFinding], dict[str, bytes]]:
    with opened_template(folder) as path:
        name = template_name(path)
        files, unread = read_checked(path)
    found = [*unread, *check_template(name, files), *check_template_certificates(files, can_sign or {})]
    return name, found, pass_files(files, icon=False)


def _readable(folder: Path) -> tuple[str, list[TemplateFinding], dict[str, bytes]]:
    """Read a folder without errors.

    Raises:
        TemplateRefusedError: the template has errors.
    """
    name, findings, files = _findings(folder)
    errors = [str(finding) for finding in findings if finding.level is Level.ERROR]
    if errors:
        raise TemplateRefusedError("\n  ".join([f"template {name} has errors; nothing was stored:", *errors]))
    return name, findings, files

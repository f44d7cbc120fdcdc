"""`template new` and `template preview`: what designers use before they push a template."""

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Annotated

import typer

from chalicelib.aws.templates import SUFFIX
from chalicelib.core.errors import RefusedError
from chalicelib.core.identifiers import TEMPLATE_NAME_RULE, is_template_name
from infra.commands.findings import described, show_findings
from infra.commands.options import JsonOption, OptionalStageOption, OverwriteOption, read_pass
from infra.core.files import (
    STANDARD,
    STANDARD_INPUT,
    check_inputs,
    check_new,
    check_standard_input,
    output_file,
    spooled_input,
)
from infra.core.terminal import standard_error, write_json, write_line
from infra.local.processes import PROJECT
from infra.operate.passes.cli_values import CliValueError, read_fields
from infra.operate.passes.images import ItemImages
from infra.operate.passes.table import PassTable
from infra.operate.templates.bucket import TemplatesBucket
from infra.operate.templates.folder import opened_template, write_folder
from infra.operate.templates.preview.document import Document, Filling, PreviewRequest, document_of
from infra.operate.templates.preview.screenshot import find_browser, make_png
from infra.operate.templates.starting_points import STARTING_POINTS
from infra.stage.stage import Stage

PREVIEWS = PROJECT / ".passwire" / "preview"


class FolderExistsError(RefusedError):
    """A folder to create exists already."""


Style = Enum("Style", {name: name for name in STARTING_POINTS})  # type: ignore[misc]  # one source for the names


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the new template.")],
    *,
    style: Annotated[Style, typer.Option(help="Style of the pass, or the scheme by which newer phones show it.")],
    into: Annotated[Path, typer.Option(help="Parent of the new folder.", file_okay=False, exists=True)] = Path(),
    as_json: JsonOption = False,
) -> None:
    """Write a folder with a complete template: generated images, texts in two languages, and every group of fields.

    Example: passwire template new flight --style boardingPass
    """
    if not is_template_name(name):
        raise typer.BadParameter(f"must be {TEMPLATE_NAME_RULE}", param_hint="NAME")
    target = into / f"{name}{SUFFIX}"
    if target.exists():
        raise FolderExistsError(f"{target}: already exists; choose another name, or another folder with --into")
    write_folder(target, STARTING_POINTS[style.value].files())
    if as_json:
        write_json({"folder": str(target)})
    else:
        write_line(str(target))


def preview(  # noqa: PLR0913 - options of a command
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[NAME.pass]",
            help="A designer's folder, or Pass Designer's NAME.pkpasstemplate; - for a zip of it on standard input. "
            "Default with --pass: its template.",
        ),
    ] = None,
    *,
    language: Annotated[
        list[str] | None, typer.Option(help="Show only this language, such as de; repeat it for several.")
    ] = None,
    item: Annotated[
        list[Path] | None,
        typer.Option(
            help="JSON file with attributes of a pass item: fields, overrides, images, voided; repeat it for several. "
            "An image is the name of a file beside it, or with --stage a key of `image put`. - for standard input.",
        ),
    ] = None,
    pass_: Annotated[
        str | None, typer.Option("--pass", metavar="PASS", help="Show the values of an existing pass of the stage.")
    ] = None,
    stage: OptionalStageOption = None,
    change: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=TEXT", help="Show the lock screen after a change of a field; KEY:=JSON for a number or a map."
        ),
    ] = None,
    dark: Annotated[bool, typer.Option("--dark", help="Begin in dark appearance.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Serve the page on 127.0.0.1, and load it again when a file is saved.")
    ] = False,
    png: Annotated[
        Path | None,
        typer.Option(help="Also write an image of the page, with an installed Chromium; - for standard output."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="File to write; - for standard output. Default: in .passwire/preview/, replaced."),
    ] = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write an HTML page that shows passes of a template, front and back, and lists the problems beside them.

    Everything that can be drawn is drawn, also of a template with errors.

    Example: passwire template preview chalicelib/templates/boarding.pass --change gate=B22 --watch
    """
    _validate(folder, pass_, stage)
    if watch and (png or output or as_json or folder is None):
        raise typer.BadParameter("--watch needs a folder and writes no file; leave out --png, --output and --json")
    _check_files(folder=folder, items=item or [], writes=[png, output], overwrite=overwrite, watch=watch)
    if png is not None:
        find_browser()
    fields = _changes(change or [])
    with ExitStack() as inputs:
        open_stage = cache(lambda: Stage.open(str(stage))) if stage is not None else None
        fillings = [_filling(inputs, path, open_stage) for path in item or []]
        if pass_ is not None and open_stage is not None:
            attributes = PassTable(open_stage()).state(str(read_pass(pass_))).attributes
            fillings.append(Filling(pass_, None, attributes, ItemImages(Path(), open_stage)))
        request = PreviewRequest(
            folder=inputs.enter_context(opened_template(folder)) if folder is not None else Path(),
            fillings=fillings or [Filling("", None, {}, ItemImages(Path(), None))],
            languages=language or (),
            change=fields,
            dark=dark,
        )
        if watch:
            _watch(request, [request.folder, *(item or [])])
            return
        document = document_of(request) if folder is not None else _document_of_pass(request, open_stage)
    target = output or PREVIEWS / f"{document.name}.html"
    with output_file(target, "preview.html") as path:
        _write(document, path)
    if png is not None:
        with standard_error().status("making the image"), output_file(png, "preview.png") as path:
            make_png(document.html, path.resolve(), width=document.width)
    if STANDARD in (str(target), str(png)):
        show_findings(document.name, list(document.findings), standard_error())
    elif as_json:
        findings = [described(finding) for finding in document.findings]
        write_json({"page": str(target), "png": str(png) if png else None, "findings": findings})
    else:
        show_findings(document.name, list(document.findings), standard_error())
        for path in filter(None, (target, png)):
            write_line(str(path))


def _validate(folder: Path | None, pass_: str | None, stage: str | None) -> None:
    if pass_ is not None and stage is None:
        raise typer.BadParameter("name the stage that has the pass", param_hint="--stage")
    if folder is None and pass_ is None:
        raise typer.BadParameter("give the folder of a template, or --pass")


def _check_files(
    *, folder: Path | None, items: Sequence[Path], writes: Sequence[Path | None], overwrite: bool, watch: bool
) -> None:
    """Check the files of a command line before any work is done."""
    check_standard_input(folder, *items)
    check_inputs(*items)
    if watch and STANDARD in map(str, [folder, *items]):
        raise typer.BadParameter("it needs files that can change, not standard input", param_hint="--watch")
    if list(map(str, writes)).count(STANDARD) > 1:
        raise typer.BadParameter("only one file can be standard output", param_hint="--png")
    for path in filter(None, writes):
        check_new(path, overwrite=overwrite)


def _filling(inputs: ExitStack, path: Path, open_stage: Callable[[], Stage] | None) -> Filling:
    """Return the filling of an item's file; the copy of standard input exists as long as `inputs`."""
    if str(path) != STANDARD:
        return Filling(path.name, path, {}, ItemImages(path.parent, open_stage))
    spooled = inputs.enter_context(spooled_input(STANDARD_INPUT))
    return Filling(STANDARD_INPUT, spooled, {}, ItemImages(Path(), open_stage))


def _changes(pairs: list[str]) -> dict[str, object]:
    try:
        return read_fields(pairs)
    except CliValueError as error:
        raise typer.BadParameter(str(error), param_hint="--change") from None


def _document_of_pass(request: PreviewRequest, open_stage: Callable[[], Stage] | None) -> Document:
    """Draw the last filling, an existing pass, with its own template as it was last pushed."""
    assert open_stage is not None  # noqa: S101 - a pass is read from a stage
    template = str(request.fillings[-1].attributes.get("template"))
    with tempfile.TemporaryDirectory() as work:
        folder = TemplatesBucket(open_stage()).pull(template, Path(work))
        return document_of(replace(request, folder=folder))


def _write(document: Document, target: Path) -> None:
    """Write the page, completely or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("wb", dir=target.parent, delete=False) as file:
        file.write(document.html.encode("utf-8", "replace"))
    Path(file.name).chmod(0o644)
    Path(file.name).replace(target)


def _watch(request: PreviewRequest, paths: list[Path]) -> None:
    from infra.operate.templates.preview.server import (  # noqa: PLC0415 - an import of half a second
        serve,
        version_of,
        watching,
    )

    document_of(request)  # a wrong path is an error of this command, not of the page
    app = watching(lambda version: document_of(request, version=version), lambda: version_of(paths))
    console = standard_error()

    def ready(url: str) -> None:
        write_line(url)
        console.print("watching; Ctrl-C ends it")

    serve(app, ready)

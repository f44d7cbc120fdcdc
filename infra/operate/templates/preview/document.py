"""The page of a preview: problems, and each sample in each language with its faces, back and notification."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from chalicelib.core.errors import RefusedError
from chalicelib.passes.format.findings import Level
from chalicelib.preview import Card, cards_of, notification_html, script, source_of, stylesheet
from chalicelib.preview.palette import contrast
from infra.operate.passes.images import ItemImages
from infra.operate.templates.findings import TemplateFinding, warning
from infra.operate.templates.preview.sample import Design, Sample, changed, fill, read_item

_FOLDER = Path(__file__).parent
LEAST_CONTRAST = 3.0
"""Contrast of large text that people with low vision can read (WCAG 2.2, 1.4.3)."""
COLUMN_WIDTH, MARGIN, PROBLEMS_WIDTH = 382, 48, 360


@dataclass(frozen=True, slots=True)
class Filling:
    """Source of the values of a sample: an item in a file, an existing pass, or the design itself.

    Args:
        title: title of the sample.
        file: file of the item, which is read again for each page; None for given attributes.
        attributes: attributes of the item.
        images: the images of the item.
    """

    title: str
    file: Path | None
    attributes: Mapping[str, object]
    images: ItemImages

    def read(self) -> Mapping[str, object]:
        """Return the attributes of the item.

        Raises:
            RefusedError: the file cannot be read.
        """
        return read_item(self.file) if self.file is not None else self.attributes


@dataclass(frozen=True, slots=True)
class PreviewRequest:
    """A preview to draw.

    Args:
        folder: the designer's folder.
        fillings: at least one.
        languages: the languages to show; empty for all of the template.
        change: new values by field key, whose notification is shown; empty for none.
        dark: whether the page begins in dark appearance.
        at: current time with time zone, by which passes expire; None for the clock's.
    """

    folder: Path
    fillings: Sequence[Filling]
    languages: Sequence[str] = ()
    change: Mapping[str, object] | None = None
    dark: bool = False
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """A page of a preview.

    Args:
        name: name of the template.
        html: the page.
        policy: its Content-Security-Policy.
        findings: the problems that it lists.
        width: width at which it shows all columns side by side.
    """

    name: str
    html: str
    policy: str
    findings: Sequence[TemplateFinding]
    width: int


@dataclass(frozen=True, slots=True)
class _Column:
    """A sample in one language."""

    language: str
    cards: Sequence[Card]
    notification: str


@dataclass(frozen=True, slots=True)
class _Section:
    """A sample in all languages."""

    title: str
    findings: Sequence[TemplateFinding]
    columns: Sequence[_Column]


def document_of(request: PreviewRequest, *, version: str = "") -> Document:
    """Draw a preview.

    Args:
        request: what to preview.
        version: version of the files, with which the page asks for changes; empty for a page that is not watched.

    Raises:
        FolderError: the folder is not a template's.
    """
    design = Design.read(request.folder)
    sections = [_section(design, filling, request) for filling in request.fillings]
    cards = [card for section in sections for column in section.columns for card in column.cards]
    findings = [*design.findings, *_unique(_remarks(cards))]
    found = [*findings, *(finding for section in sections for finding in section.findings)]
    page_script = script() + _file("page.js")
    style = stylesheet() + _file("page.css") + "".join(sorted({card.css for card in cards}))
    connect = "'self'" if version else "'none'"
    policy = (
        f"default-src 'none'; img-src data:; style-src {source_of(style)}; script-src {source_of(page_script)}; "
        f"connect-src {connect}; base-uri 'none'; form-action 'none'"
    )
    html = (
        _environment()
        .get_template("page.html")
        .render(
            name=design.name,
            findings=findings,
            count=_count(found),
            sections=sections,
            change=request.change,
            dark=request.dark,
            version=version,
            style=style,
            script=page_script,
            policy=policy,
        )
    )
    columns = max((len(column.cards) for section in sections for column in section.columns), default=1)
    across = max((len(section.columns) for section in sections), default=1)
    return Document(design.name, html, policy, found, MARGIN + across * max(1, columns) * COLUMN_WIDTH + PROBLEMS_WIDTH)


def _section(design: Design, filling: Filling, request: PreviewRequest) -> _Section:
    try:
        attributes = filling.read()
    except RefusedError as problem:
        empty = fill(design, filling.title, {}, filling.images)
        findings = [TemplateFinding(Level.ERROR, "", "", str(problem)), *empty.findings]
        return _Section(filling.title, findings, _columns(empty, None, request))
    sample = fill(design, filling.title, attributes, filling.images)
    if not request.change:
        return _Section(sample.title, sample.findings, _columns(sample, None, request))
    after = fill(design, filling.title, changed(attributes, request.change), filling.images)
    findings = [*sample.findings, *(each for each in after.findings if each not in sample.findings)]
    return _Section(sample.title, findings, _columns(after, sample, request))


def _columns(sample: Sample, before: Sample | None, request: PreviewRequest) -> list[_Column]:
    columns = []
    for language in request.languages or sample.languages:
        opened = sample.opened(language)
        notification = notification_html(before.opened(language), opened) if before is not None else ""
        columns.append(_Column(language, cards_of(opened, at=request.at), notification))
    return columns


def _remarks(cards: Sequence[Card]) -> Iterator[TemplateFinding]:
    for card in cards:
        for path in card.surplus:
            yield warning(
                "pass.json", path, f"is not drawn: phones do not show so many fields on the front of {card.view.face}"
            )
        palette = card.view.palette
        for name, color in (("foregroundColor", palette.foreground), ("labelColor", palette.label)):
            ratio = contrast(color, palette.background)
            if ratio < LEAST_CONTRAST:
                yield warning(
                    "pass.json",
                    name,
                    f"is hard to read on backgroundColor: contrast {ratio:.1f}, aim at 4.5",
                    "WCAG 2.2",
                )


def _count(findings: Sequence[TemplateFinding]) -> str:
    """Return the number of errors and warnings in words."""
    counts = [(sum(each.level is level for each in findings), level.value) for level in Level]
    return ", ".join(f"{count} {word}{'s' if count > 1 else ''}" for count, word in counts if count) or "no problems"


def _unique(findings: Iterator[TemplateFinding]) -> list[TemplateFinding]:
    return list(dict.fromkeys(findings))


@cache
def _file(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

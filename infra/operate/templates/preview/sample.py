"""Passes that a preview shows: a template filled with an item, or as much of it as can be drawn, with its problems."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chalicelib.core.errors import RefusedError
from chalicelib.core.identifiers import MIN_AUTHENTICATION_TOKEN_LENGTH, AuthenticationToken
from chalicelib.passes.format.images import PASS_JSON, STRINGS, is_language_folder
from chalicelib.passes.item import PassItem
from chalicelib.passes.rendering import localized_strings, render, validate
from chalicelib.passes.strings import StringsError, parse_strings
from chalicelib.passes.template import Template, pass_files, without_designer_ids
from chalicelib.preview import OpenedPass
from infra.operate.bulk.cells import CellError, from_plain_json
from infra.operate.passes.change import ItemChange
from infra.operate.passes.images import ItemImages
from infra.operate.templates.check import check_template
from infra.operate.templates.findings import TemplateFinding, error, warning
from infra.operate.templates.folder import read_checked, template_name
from infra.operate.templates.images import PngError, png_size

SAMPLE_PASS_ID = "pass.example.preview/PREVIEW-1"
_WEB_SERVICE_URL = "https://example.com"
_LPROJ = ".lproj"
_TRAILING_COMMA = re.compile(r'"(?:[^"\\]|\\.)*+"|,(?=\s*+[}\]])', re.DOTALL)
"""A text, or a comma before a closing bracket outside of texts."""


@dataclass(frozen=True)
class Design:
    """A designer's folder as far as it can be drawn.

    Args:
        name: name of the template.
        content: content of pass.json; empty if it cannot be read.
        files: the other files that can be read: PNGs and strings files, by path.
        findings: all problems of the folder.
    """

    name: str
    content: Mapping[str, Any]
    files: Mapping[str, bytes]
    findings: Sequence[TemplateFinding]

    @classmethod
    def read(cls, folder: Path) -> "Design":
        """Read a folder.

        Raises:
            FolderError: the path is not a template's folder or zip.
        """
        name = template_name(folder)
        files, unread = read_checked(folder)
        findings = [*unread, *check_template(name, files)]
        members = pass_files(files)
        return cls(
            name=name,
            content=_content(members.pop(PASS_JSON, b"")),
            files={path: data for path, data in members.items() if _is_usable(path, data)},
            findings=findings,
        )

    @property
    def languages(self) -> list[str]:
        """Languages of the folder, sorted."""
        return _languages(self.files)


@dataclass(frozen=True)
class Sample:
    """A pass of a design.

    Args:
        title: what it is filled with, such as the name of the item's file.
        content: content of its pass.json.
        files: its other files by path.
        findings: problems of the item.
    """

    title: str
    content: Mapping[str, Any]
    files: Mapping[str, bytes]
    findings: Sequence[TemplateFinding]

    def opened(self, language: str) -> OpenedPass:
        """Return the pass as a person sees it."""
        return OpenedPass.of(self.content, self.files, language=language)

    @property
    def languages(self) -> list[str]:
        """Languages of the pass, sorted."""
        return _languages(self.files)


def fill(design: Design, title: str, attributes: Mapping[str, object], images: ItemImages) -> Sample:
    """Fill a design with an item. If it cannot be filled, the sample is the design itself, with the reason.

    Args:
        design: the design.
        title: title of the sample.
        attributes: attributes of a pass item; empty for the design's own values.
        images: the images of the item.
    """
    try:
        files = {PASS_JSON: json.dumps(design.content).encode(), **design.files}
        template = Template.parse(design.name, files)
        item = PassItem.parse({"pass_id": SAMPLE_PASS_ID, **images.with_keys(attributes), "template": design.name})
        warnings = validate(template, item)
        rendered = render(
            template,
            item,
            web_service_url=_WEB_SERVICE_URL,
            authentication_token=AuthenticationToken("0" * MIN_AUTHENTICATION_TOKEN_LENGTH),
            team_identifier="PREVIEW",
        )
        own = localized_strings(template, item) | {path: images.get(key) for path, key in item.images.items()}
        archive = template.archive_with(own, personalized=False).with_pass(rendered, sign=lambda _: b"unsigned")
        content, files = OpenedPass.members(archive)
    except RefusedError as problem:
        found = [error("", "", str(problem))] if attributes else []
        return Sample(title, _with_message(design.content), design.files, found)
    return Sample(title, content, files, [warning("", each.path, each.problem, each.source) for each in warnings])


def read_item(path: Path) -> dict[str, object]:
    """Read the attributes of a pass item from a JSON file.

    Raises:
        RefusedError: the file cannot be read, or is not a JSON object.
    """
    try:
        attributes = from_plain_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, CellError) as problem:
        raise RefusedError(f"{path}: not a readable pass item: {problem}") from None
    if not isinstance(attributes, dict):
        raise RefusedError(f'{path}: must be a JSON object such as {{"fields": {{"gate": "B22"}}}}')
    return attributes


def changed(attributes: Mapping[str, object], fields: Mapping[str, object]) -> dict[str, object]:
    """Return an item's attributes after a change of its fields, as `pass update` writes them."""
    return dict(ItemChange(fields=dict(fields), overrides={}).applied_to(dict(attributes)))


def _content(raw: bytes) -> dict[str, Any]:
    """Parse a pass.json; a comma before a closing bracket, the usual slip of an editor, hides nothing of the rest."""
    text = raw.decode("utf-8-sig", "replace")
    for attempt in (text, _TRAILING_COMMA.sub(lambda found: "" if found[0] == "," else found[0], text)):
        try:
            content = json.loads(attempt, parse_constant=lambda _: None)
            return without_designer_ids(content) if isinstance(content, dict) else {}
        except (ValueError, RecursionError):
            continue
    return {}


def _is_usable(path: str, data: bytes) -> bool:
    try:
        if path.endswith(f"/{STRINGS}"):
            parse_strings(data)
        elif path.endswith(".png"):
            png_size(data)
    except (StringsError, PngError):
        return False
    return path.endswith((".png", f"/{STRINGS}"))


def _languages(files: Mapping[str, bytes]) -> list[str]:
    folders = {path.partition("/")[0] for path in files if "/" in path}
    return sorted(folder.removesuffix(_LPROJ) for folder in folders if is_language_folder(folder)) or ["en"]


def _with_message(content: Mapping[str, Any]) -> dict[str, Any]:
    """Give barcodes without a message the serial number of the sample, as in a pass."""
    barcodes = content.get("barcodes")
    if not isinstance(barcodes, list):
        return dict(content)
    serial_number = SAMPLE_PASS_ID.partition("/")[2]
    filled = [{"message": serial_number, **each} if isinstance(each, dict) else each for each in barcodes]
    return {**content, "barcodes": filled}

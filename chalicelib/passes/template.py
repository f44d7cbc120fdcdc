"""A template: a designer's folder `NAME.pass/`, parsed once into a value that passes are rendered and packed from.

The folder is Apple's own layout: pass.json, images, `xx.lproj/` with pass.strings and localised images, and for a pass
that asks a person for their data personalization.json with its logo.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NoReturn, Self

from chalicelib.core.errors import RefusedError, limited, shown
from chalicelib.passes.archive import PreparedArchive

STYLES = ("boardingPass", "coupon", "eventTicket", "generic", "storeCard", "posterGeneric")
FIELD_GROUPS = (
    "headerFields",
    "primaryFields",
    "secondaryFields",
    "auxiliaryFields",
    "backFields",
    "additionalInfoFields",
    "footerFields",
)
PASS_JSON = "pass.json"
PERSONALIZATION_JSON = "personalization.json"
PERSONALIZATION_LOGO = "personalizationLogo"
MADE_FOR_EACH_PASS = ("manifest.json", "signature")
"""An opened pass that serves as a template brings these along; they are made anew."""


class TemplateError(RefusedError):
    """A folder that cannot be a template: names the template, the file and what is wrong with it."""

    def __init__(self, template: str, file: str, problem: str) -> None:
        super().__init__(limited(f"template {shown(template)}: {shown(file)}: {problem}"))


@dataclass(frozen=True, slots=True)
class FieldPlace:
    """Where a field stands in pass.json: `content[style][group][index]`."""

    style: str
    group: str
    index: int


@dataclass(frozen=True)
class Template:
    """A parsed template. It is kept by warm sandboxes, so whatever derives from it is derived once.

    Args:
        name: without `.pass`.
        revision: names the content: the same files, the same revision.
        content: of pass.json.
        files: all members but pass.json, by path.
        places: by field key, wherever it stands.
    """

    name: str
    revision: str
    content: Mapping[str, Any] = field(repr=False)
    files: Mapping[str, bytes] = field(repr=False)
    places: Mapping[str, tuple[FieldPlace, ...]] = field(repr=False)

    @classmethod
    def parse(cls, name: str, files: Mapping[str, bytes]) -> Self:
        """Read a folder's files, by path relative to it.

        Raises:
            TemplateError: there is no pass.json, or it is none, or a path leads out of the folder.
        """
        for path in files:
            if path.startswith("/") or "\\" in path or any(part in ("", ".", "..") for part in path.split("/")):
                raise TemplateError(name, path, "is no path within a folder; rename it")
        files = {path: files[path] for path in sorted(files) if path not in MADE_FOR_EACH_PASS}
        content = _parse_json(name, PASS_JSON, files.get(PASS_JSON))
        return cls(
            name=name,
            revision=_revision(files),
            content=content,
            files={path: data for path, data in files.items() if path != PASS_JSON},
            places=_places(name, content),
        )

    @cached_property
    def archive(self) -> PreparedArchive:
        """Everything but pass.json, packed: for a pass as it is first issued."""
        return PreparedArchive.of(self.files)

    @cached_property
    def personalized_archive(self) -> PreparedArchive:
        """The same without what asks for a person's data: for a pass that has it (Apple, "Personalizing passes")."""
        return PreparedArchive.of({p: data for p, data in self.files.items() if not _asks_for_personalization(p)})

    @cached_property
    def personalization(self) -> Mapping[str, Any] | None:
        """Of personalization.json; None where the template asks for nothing."""
        if PERSONALIZATION_JSON not in self.files:
            return None
        return _parse_json(self.name, PERSONALIZATION_JSON, self.files[PERSONALIZATION_JSON])


def _parse_json(template: str, path: str, raw: bytes | None) -> dict[str, Any]:
    if raw is None:
        raise TemplateError(template, path, "is missing")
    try:
        content = json.loads(raw.decode("utf-8-sig"), parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise TemplateError(template, path, f"is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise TemplateError(template, path, "must be a JSON object")
    return content


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        _refuse_constant(text)
    return number


def _places(template: str, content: Mapping[str, Any]) -> dict[str, tuple[FieldPlace, ...]]:
    places: dict[str, list[FieldPlace]] = {}
    for style in STYLES:
        if style not in content:
            continue
        if not isinstance(content[style], dict):
            raise TemplateError(template, PASS_JSON, f"'{style}' must be an object")
        for group in FIELD_GROUPS:
            fields = content[style].get(group, [])
            if not isinstance(fields, list):
                raise TemplateError(template, PASS_JSON, f"'{style}.{group}' must be an array")
            for index, member in enumerate(fields):
                if not isinstance(member, dict) or not isinstance(member.get("key"), str):
                    raise TemplateError(template, PASS_JSON, f"'{style}.{group}[{index}]' needs a 'key'")
                places.setdefault(member["key"], []).append(FieldPlace(style, group, index))
    return {key: tuple(found) for key, found in places.items()}


def _revision(files: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.encode() + b"\0" + hashlib.sha256(files[path]).digest())
    return digest.hexdigest()[:16]


def _asks_for_personalization(path: str) -> bool:
    name = path.rpartition("/")[2]
    return name == PERSONALIZATION_JSON or name.startswith(PERSONALIZATION_LOGO)

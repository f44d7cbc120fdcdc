"""Templates: a designer's folder `NAME.pass/`, parsed once into a value from which passes are rendered and packed.

The folder has Apple's layout: pass.json, images, `xx.lproj/` with pass.strings and localized images, and for a pass
that asks for a person's data personalization.json with its logo.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NoReturn, Self

from chalicelib.core.errors import RefusedError, excerpt, shorten
from chalicelib.passes.archive import PreparedArchive
from chalicelib.passes.format.images import (
    PASS_JSON,
    PERSONALIZATION_JSON,
    PERSONALIZATION_LOGO,
    STRINGS,
    image_name,
    is_pass_file,
)
from chalicelib.passes.format.keys import FIELD_GROUPS, STYLES
from chalicelib.passes.strings import parse_strings

DESIGNER_ID = "_id"
MADE_FOR_EACH_PASS = ("manifest.json", "signature")
"""Members of a pass that a template does not need: a folder that was unpacked from a pass has them."""


class TemplateError(RefusedError):
    """A template is invalid; the message names the template, the file and what is wrong with it."""

    def __init__(self, template: str, file: str, problem: str) -> None:
        super().__init__(shorten(f"template {excerpt(template)}: {excerpt(file)}: {problem}"))


@dataclass(frozen=True, slots=True)
class FieldPlace:
    """Place of a field in pass.json: `content[style][group][index]`."""

    style: str
    group: str
    index: int


@dataclass(frozen=True)
class Template:
    """A parsed template. Execution environments keep it, so derived values are computed once.

    Args:
        name: name of the folder without `.pass`.
        revision: identity of the content: equal files have equal revisions.
        content: content of pass.json.
        files: all members except pass.json, by path.
        places: places of the fields with a key, by key.
    """

    name: str
    revision: str
    content: Mapping[str, Any] = field(repr=False)
    files: Mapping[str, bytes] = field(repr=False)
    places: Mapping[str, tuple[FieldPlace, ...]] = field(repr=False)

    @classmethod
    def parse(cls, name: str, files: Mapping[str, bytes]) -> Self:
        """Read the files of a folder, by path relative to it.

        Raises:
            TemplateError: pass.json is missing or invalid, or a path leads out of the folder.
        """
        for path in files:
            if path.startswith("/") or "\\" in path or any(part in ("", ".", "..") for part in path.split("/")):
                raise TemplateError(name, path, "is not a path within the folder; rename it")
        files = {path: files[path] for path in sorted(files) if path not in MADE_FOR_EACH_PASS}
        content = _parse_json(name, PASS_JSON, files.get(PASS_JSON))
        try:
            content = without_designer_ids(content)
        except RecursionError:
            raise TemplateError(name, PASS_JSON, "has too many levels of maps and lists; flatten it") from None
        return cls(
            name=name,
            revision=_revision(files),
            content=content,
            files={path: data for path, data in pass_files(files).items() if path != PASS_JSON},
            places=_places(name, content),
        )

    @cached_property
    def archive(self) -> PreparedArchive:
        """Archive of everything except pass.json, for a pass that is not personalized."""
        return PreparedArchive.of(self.files)

    @cached_property
    def personalized_archive(self) -> PreparedArchive:
        """Archive without the files that ask for a person's data (Apple, "Personalizing passes")."""
        return PreparedArchive.of({p: data for p, data in self.files.items() if not _asks_for_personalization(p)})

    def archive_with(self, pass_files: Mapping[str, bytes], *, personalized: bool) -> PreparedArchive:
        """Return the archive of everything except pass.json, with the files of a pass in place of the template's.

        Args:
            pass_files: strings files and images by path. An image replaces all the template's images of its name, in
                every scale and language, and strings files replace all strings files; empty for none.
            personalized: whether to leave out the files that ask for a person's data.
        """
        if not pass_files:
            return self.personalized_archive if personalized else self.archive
        replaced = frozenset(map(_replaced_by, pass_files))
        remaining = self._remaining_archives.get((replaced, personalized))
        if remaining is None:
            remaining = PreparedArchive.of(
                {
                    path: data
                    for path, data in self.files.items()
                    if _replaced_by(path) not in replaced and not (personalized and _asks_for_personalization(path))
                }
            )
            self._remaining_archives[replaced, personalized] = remaining
        return remaining.plus(pass_files)

    @cached_property
    def _remaining_archives(self) -> dict[tuple[frozenset[str], bool], PreparedArchive]:
        """Cached archives without the files that passes replace, by these and by whether the pass is personalized.

        Few combinations occur.
        """
        return {}

    @cached_property
    def strings(self) -> Mapping[str, Mapping[str, str]]:
        """Texts by language, which is the name of the folder without `.lproj`, and by key.

        Raises:
            StringsError: a file is invalid.
        """
        return {
            path.removesuffix(f".lproj/{STRINGS}"): parse_strings(data)
            for path, data in self.files.items()
            if path.endswith(f".lproj/{STRINGS}")
        }

    @cached_property
    def personalization(self) -> Mapping[str, Any] | None:
        """Content of personalization.json; None if the template does not ask for a personalization."""
        if PERSONALIZATION_JSON not in self.files:
            return None
        return _parse_json(self.name, PERSONALIZATION_JSON, self.files[PERSONALIZATION_JSON])


def pass_files(files: Mapping[str, bytes], *, icon: bool = True) -> dict[str, bytes]:
    """Select the files that belong in a pass, by path: no README, no drawing, no settings of a design tool.

    Args:
        files: the files of a template.
        icon: whether to use the icon of scale 2 as a missing `icon.png`, which Pass Designer does not export and
            phones were seen to require.
    """
    members = {path: data for path, data in files.items() if is_pass_file(path) and path not in MADE_FOR_EACH_PASS}
    if icon and "icon.png" not in members and "icon@2x.png" in members:
        members["icon.png"] = members["icon@2x.png"]
    return members


def without_designer_ids(content: dict[str, Any]) -> dict[str, Any]:
    """Remove the `_id` that Pass Designer writes into fields, seats and actions; userInfo is unchanged."""

    def without(value: Any) -> Any:  # noqa: ANN401 - any JSON
        if isinstance(value, dict):
            return {name: without(member) for name, member in value.items() if name != DESIGNER_ID}
        return [without(member) for member in value] if isinstance(value, list) else value

    return {
        name: value if name == "userInfo" else without(value) for name, value in content.items() if name != DESIGNER_ID
    }


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
    raise ValueError(f"{name} is not a JSON number")


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


def _replaced_by(path: str) -> str:
    """Return the name by which a file replaces others: that of the image, else that of the file."""
    file = path.rpartition("/")[2]
    found = image_name(file)
    return found[0] if found is not None else file


def _asks_for_personalization(path: str) -> bool:
    name = path.rpartition("/")[2]
    return name == PERSONALIZATION_JSON or name.startswith(PERSONALIZATION_LOGO)

"""Reading of a `.pkpass` for a person: its pass.json, and its texts and images in the person's language."""

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from chalicelib.core.errors import RefusedError
from chalicelib.passes.format.images import STRINGS, image_name
from chalicelib.passes.strings import StringsError, parse_strings, pick_language

MAX_MEMBER_BYTES = 50_000_000
"""Maximum size of a member to unpack, larger than that of any pass."""
MAX_BITS = 1_000
"""Maximum size of an integer to write out: Python refuses to convert very long ones to text."""
SUFFIX = ".lproj"


class OpenedPassError(RefusedError):
    """The archive is not a pass, or is damaged."""


@dataclass(frozen=True)
class OpenedPass:
    """Content of a pass as a person sees it.

    Args:
        content: content of pass.json.
        language: the requested language; empty if it is not valid in HTML.
        images: PNG of the largest scale of each image, by name without scale and suffix.
        scales: scale of each of these images: 1, 2 or 3.
        strings: texts by their key in pass.json.
    """

    content: Mapping[str, Any]
    language: str
    images: Mapping[str, bytes] = field(repr=False)
    scales: Mapping[str, int] = field(repr=False)
    strings: Mapping[str, str] = field(repr=False)

    @classmethod
    def read(cls, pkpass: bytes, *, language: str) -> Self:
        """Read an archive.

        Args:
            pkpass: the archive.
            language: the person's language.

        Raises:
            OpenedPassError: it is not a zip, it has no valid pass.json, or its strings file is invalid.
        """
        return cls.of(*cls.members(pkpass), language=language)

    @staticmethod
    def members(pkpass: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
        """Return the content of an archive's pass.json, and its images and strings files by path.

        Raises:
            OpenedPassError: it is not a zip, or it has no valid pass.json.
        """
        try:
            with zipfile.ZipFile(io.BytesIO(pkpass)) as archive:
                members = {member.filename: member for member in archive.infolist()}
                if any(member.file_size > MAX_MEMBER_BYTES for member in members.values()):
                    raise OpenedPassError(
                        f"the pass has a file of more than {MAX_MEMBER_BYTES} bytes, which is not read"
                    )
                content = json.loads(archive.read("pass.json"))
                files = {name: archive.read(name) for name in members if name.endswith((".png", f"/{STRINGS}"))}
        except (zipfile.BadZipFile, zlib.error, KeyError, NotImplementedError, RuntimeError, ValueError) as error:
            raise OpenedPassError(f"this is not a pass: {error}") from None
        if not isinstance(content, dict):
            raise OpenedPassError("this is not a pass: pass.json must be a JSON object")
        return content, files

    @classmethod
    def of(cls, content: Mapping[str, Any], files: Mapping[str, bytes], *, language: str) -> Self:
        """Choose the texts and images that a person sees.

        Args:
            content: content of pass.json.
            files: the other files by path.
            language: the person's language.

        Raises:
            OpenedPassError: the strings file of the language is invalid.
        """
        folder = _folder(files, language)
        name = f"{folder}{STRINGS}"
        try:
            strings = parse_strings(files[name]) if folder and name in files else {}
        except StringsError as error:
            raise OpenedPassError(f"{name}: {error}") from None
        valid = language if language.replace("-", "").isalnum() and language.isascii() else ""
        # An image beside pass.json hides those in language folders (Apple, "Creating the source for a pass")
        chosen = {**_sharpest(files, folder), **_sharpest(files, "")}
        images = {stem: data for stem, (_, data) in chosen.items()}
        return cls(content, valid, images, {stem: scale for stem, (scale, _) in chosen.items()}, strings)

    def text(self, value: object) -> str:
        """Return a text of pass.json in the person's language; empty for a value that is not a text or number.

        Halves of characters, which no page can contain, become U+FFFD.
        """
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return ""
        if isinstance(value, int) and value.bit_length() > MAX_BITS:
            return "…"
        shown = self.strings.get(str(value), str(value))
        return shown if shown.isascii() else shown.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _folder(files: Mapping[str, object], language: str) -> str:
    """Return the language folder that a phone uses, with a slash at its end; empty if the pass has no folders."""
    folders = {name.partition("/")[0] for name in files}
    picked = pick_language([name.removesuffix(SUFFIX) for name in folders if name.endswith(SUFFIX)], language)
    return f"{picked}{SUFFIX}/" if picked is not None else ""


def _sharpest(files: Mapping[str, bytes], folder: str) -> dict[str, tuple[int, bytes]]:
    """Return the scale and content of the sharpest image of each name in a folder."""
    images: dict[str, tuple[int, bytes]] = {}
    for path, data in files.items():
        found = image_name(path.removeprefix(folder)) if path.startswith(folder) and path.endswith(".png") else None
        if found is not None and found[1] > images.get(found[0], (0, b""))[0]:
            images[found[0]] = (found[1], data)
    return images

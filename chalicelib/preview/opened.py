"""Reading of a `.pkpass` for a person: its pass.json, and its texts and images in the person's language."""

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from chalicelib.core.errors import RefusedError
from chalicelib.passes.strings import StringsError, parse_strings, pick_language

MAX_MEMBER_BYTES = 50_000_000
"""Maximum size of a member to unpack, larger than that of any pass."""
SCALES = ("@3x", "@2x", "")
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
        strings: texts by their key in pass.json.
    """

    content: Mapping[str, Any]
    language: str
    images: Mapping[str, bytes] = field(repr=False)
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
        try:
            with zipfile.ZipFile(io.BytesIO(pkpass)) as archive:
                members = {member.filename: member for member in archive.infolist()}
                if any(member.file_size > MAX_MEMBER_BYTES for member in members.values()):
                    raise OpenedPassError(
                        f"the pass has a file of more than {MAX_MEMBER_BYTES} bytes, which is not read"
                    )
                content = json.loads(archive.read("pass.json"))
                folder = _folder(members, language)
                images = {
                    name.rpartition("/")[2]: archive.read(name)
                    for name in sorted(members, key=lambda name: name.startswith(folder) and bool(folder))
                    if name.endswith(".png") and name.rpartition("/")[0] in ("", folder.rstrip("/"))
                }
                strings_name = f"{folder}pass.strings"
                strings = parse_strings(archive.read(strings_name)) if folder and strings_name in members else {}
        except StringsError as error:
            raise OpenedPassError(f"{strings_name}: {error}") from None
        except (zipfile.BadZipFile, zlib.error, KeyError, NotImplementedError, RuntimeError, ValueError) as error:
            raise OpenedPassError(f"this is not a pass: {error}") from None
        if not isinstance(content, dict):
            raise OpenedPassError("this is not a pass: pass.json must be a JSON object")
        known = language if language.replace("-", "").isalnum() and language.isascii() else ""
        return cls(content, known, _sharpest(images), strings)

    def text(self, value: object) -> str:
        """Return a text of pass.json in the person's language."""
        return self.strings.get(str(value), str(value))


def _folder(members: Mapping[str, object], language: str) -> str:
    """Return the language folder that a phone uses, with a slash at its end; empty if the pass has no folders."""
    folders = {name.partition("/")[0] for name in members}
    picked = pick_language([name.removesuffix(SUFFIX) for name in folders if name.endswith(SUFFIX)], language)
    return f"{picked}{SUFFIX}/" if picked is not None else ""


def _sharpest(files: Mapping[str, bytes]) -> dict[str, bytes]:
    images: dict[str, bytes] = {}
    for scale in SCALES:
        for name, data in files.items():
            stem = name.removesuffix(".png")
            if stem.endswith(scale) and (scale or "@" not in stem):
                images.setdefault(stem.removesuffix(scale), data)
    return images

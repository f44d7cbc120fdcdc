"""A `.pkpass`, opened for one person: its pass.json, and its texts and images in that person's language."""

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
"""More than any pass can hold: a member that says it is larger is not unpacked."""
SCALES = ("@3x", "@2x", "")
SUFFIX = ".lproj"


class OpenedPassError(RefusedError):
    """These bytes are no pass."""


@dataclass(frozen=True)
class OpenedPass:
    """What one person sees of a pass.

    Args:
        content: of pass.json.
        language: the one asked for, as a page may name it; empty where it cannot be one.
        images: the sharpest of each, PNG, by name without scale and suffix.
        strings: texts by what stands for them in pass.json.
    """

    content: Mapping[str, Any]
    language: str
    images: Mapping[str, bytes] = field(repr=False)
    strings: Mapping[str, str] = field(repr=False)

    @classmethod
    def read(cls, pkpass: bytes, *, language: str) -> Self:
        """Open an archive.

        Raises:
            OpenedPassError: it is no zip, or there is no pass.json in it.
        """
        try:
            with zipfile.ZipFile(io.BytesIO(pkpass)) as archive:
                members = {member.filename: member for member in archive.infolist()}
                if any(member.file_size > MAX_MEMBER_BYTES for member in members.values()):
                    raise OpenedPassError(f"a pass with a file of more than {MAX_MEMBER_BYTES} bytes is not opened")
                content = json.loads(archive.read("pass.json"))
                folder = _folder(members, language)
                images = {
                    name.rpartition("/")[2]: archive.read(name)
                    for name in sorted(members, key=lambda name: name.startswith(folder) and bool(folder))
                    if name.endswith(".png") and name.rpartition("/")[0] in ("", folder.rstrip("/"))
                }
                strings_name = f"{folder}pass.strings"
                strings = parse_strings(archive.read(strings_name)) if folder and strings_name in members else {}
        except (zipfile.BadZipFile, zlib.error, KeyError, NotImplementedError, RuntimeError, ValueError) as error:
            raise OpenedPassError(f"this is no pass: {error}") from None
        except StringsError as error:
            raise OpenedPassError(f"{strings_name}: {error}") from None
        if not isinstance(content, dict):
            raise OpenedPassError("this is no pass: pass.json must be a JSON object")
        known = language if language.replace("-", "").isalnum() and language.isascii() else ""
        return cls(content, known, _sharpest(images), strings)

    def text(self, value: object) -> str:
        """A text of pass.json in the person's language."""
        return self.strings.get(str(value), str(value))


def _folder(members: Mapping[str, object], language: str) -> str:
    """The language folder that a phone picks, with a slash at its end; empty where there is none."""
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

"""Packing a pass: manifest, signature and zip (Apple, "Creating the manifest and signature").

Theory of operation
-------------------
Passes of a template differ only in pass.json, manifest.json and signature. So the template's members are hashed,
compressed and laid out once. A pass consists of these bytes, three stored members after them, and the directory of
both. The standard library's zipfile would repeat the work for every pass, which takes four times as long as everything
else in a pass except its signature.

The zip (PKWARE APPNOTE, sections 4.3 and 4.4) is of the plain kind: sizes in the local headers, no ZIP64, a constant
date, names in UTF-8. PNGs are stored, because their content is deflated already.
"""

import hashlib
import json
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Self

_LOCAL_HEADER = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL_HEADER = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END = struct.Struct("<4sHHHHIIH")
_VERSION = 20
_UTF8_NAMES = 1 << 11
_STORED, _DEFLATED = 0, 8
_DOS_TIME, _DOS_DATE = 0, (1 << 5) | 1
"""1980-01-01, the earliest date of the format: a constant, so that equal passes have equal bytes."""
_UNIX_FILE = (0o100644 << 16, 3 << 8 | _VERSION)
_COMPRESSED_SUFFIXES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True, slots=True)
class PreparedArchive:
    """Laid out members of an archive, to which those of a pass are added.

    Args:
        members: the local records of the members in parts, one after the other.
        size: length of these parts together.
        directory: their central records.
        count: number of members.
        manifest: their entries of manifest.json as JSON text without the braces: `"icon.png":"<SHA-1>",...`.
    """

    members: tuple[bytes, ...] = field(repr=False)
    size: int
    directory: bytes = field(repr=False)
    count: int
    manifest: str = field(repr=False)

    @classmethod
    def of(cls, files: Mapping[str, bytes]) -> Self:
        """Lay out files by path."""
        archive = cls((), 0, b"", 0, "").plus(files)
        return cls((b"".join(archive.members),), archive.size, archive.directory, archive.count, archive.manifest)

    def plus(self, files: Mapping[str, bytes]) -> Self:
        """Return a copy with more files, by paths that the archive does not have yet. Their content is not copied."""
        layout = _Layout(self)
        entries = [self.manifest] if self.manifest else []
        for path in sorted(files):
            entries.append(f"{json.dumps(path)}:{_digest(files[path])}")
            layout.add(path, files[path], deflate=not path.lower().endswith(_COMPRESSED_SUFFIXES))
        members, directory = tuple(layout.members), bytes(layout.directory)
        return type(self)(members, layout.size, directory, self.count + len(files), ",".join(entries))

    def with_pass(self, pass_json: bytes, *, sign: Callable[[bytes], bytes]) -> bytes:
        """Return the `.pkpass` with a rendered pass.json.

        Args:
            pass_json: a pass.json by `rendering.render`.
            sign: returns the detached PKCS#7 signature, DER, of the manifest.
        """
        entry = f'"pass.json":{_digest(pass_json)}'
        manifest = f"{{{self.manifest},{entry}}}".encode() if self.manifest else f"{{{entry}}}".encode()
        layout = _Layout(self)
        for path, data in (("pass.json", pass_json), ("manifest.json", manifest), ("signature", sign(manifest))):
            layout.add(path, data, deflate=False)
        return layout.close(self.count + 3)


class _Layout:
    """An archive that is being laid out: its records in parts, which are joined once, at its end.

    A second copy of all parts would take as long as everything in a pass except the signature.
    """

    __slots__ = ("directory", "members", "size")

    def __init__(self, archive: PreparedArchive) -> None:
        self.members, self.size, self.directory = list(archive.members), archive.size, bytearray(archive.directory)

    def add(self, path: str, data: bytes, *, deflate: bool) -> None:
        """Add a member, and its record to the directory."""
        method, packed = _STORED, data
        if deflate:
            compressor = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
            deflated = compressor.compress(data) + compressor.flush()
            if len(deflated) < len(data):
                method, packed = _DEFLATED, deflated
        name = path.encode()
        checksum = zlib.crc32(data)
        common = (_UTF8_NAMES, method, _DOS_TIME, _DOS_DATE, checksum, len(packed), len(data), len(name), 0)
        header = _LOCAL_HEADER.pack(b"PK\3\4", _VERSION, *common) + name
        attributes, made_by = _UNIX_FILE
        self.directory += (
            _CENTRAL_HEADER.pack(b"PK\1\2", made_by, _VERSION, *common, 0, 0, 0, attributes, self.size) + name
        )
        self.members += (header, packed)
        self.size += len(header) + len(packed)

    def close(self, count: int) -> bytes:
        """Return the whole archive."""
        end = _END.pack(b"PK\5\6", 0, 0, count, count, len(self.directory), self.size, 0)
        return b"".join((*self.members, self.directory, end))


def _digest(data: bytes) -> str:
    """Return the SHA-1 of a member as JSON text. Apple's format requires SHA-1; the signature uses SHA-256."""
    return f'"{hashlib.sha1(data, usedforsecurity=False).hexdigest()}"'

"""Packing a pass: manifest, signature and zip (Apple, "Creating the manifest and signature").

Theory of operation
-------------------
Of a pass, only pass.json, manifest.json and signature differ from one to the next. So a template's members are hashed,
compressed and laid out once; a pass is those bytes, three stored members behind them, and the directory of both. The
standard library's zipfile would do the same work again for every pass: four times the cost of the rest of a pass
without its signature.

The zip (PKWARE APPNOTE, sections 4.3 and 4.4) is the plain kind: sizes in the local headers, no ZIP64, no dates, names
in UTF-8. PNGs are stored, since they are deflated inside already.
"""

import hashlib
import json
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from chalicelib.core.errors import RefusedError

_LOCAL_HEADER = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL_HEADER = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END = struct.Struct("<4sHHHHIIH")
_VERSION = 20
_UTF8_NAMES = 1 << 11
_STORED, _DEFLATED = 0, 8
_DOS_TIME, _DOS_DATE = 0, (1 << 5) | 1
"""1980-01-01: the earliest that the format can say, so that the same pass is the same bytes."""
_UNIX_FILE = (0o100644 << 16, 3 << 8 | _VERSION)
_COMPRESSED_SUFFIXES = (".png", ".jpg", ".jpeg")
MAX_BUNDLE_PASSES = 10
MAX_BUNDLE_BYTES = 150_000_000
"""Apple, "Distributing and updating a pass": a bundle holds up to 10 passes or 150 MB."""


class BundleError(RefusedError):
    """Passes that one bundle cannot hold."""


@dataclass(frozen=True, slots=True)
class PreparedArchive:
    """The members that do not change, laid out.

    Args:
        members: their local records, one behind the other.
        directory: their central records.
        count: how many they are.
        manifest: their manifest entries as JSON text, without the braces: `"icon.png":"<SHA-1>",...`.
    """

    members: bytes = field(repr=False)
    directory: bytes = field(repr=False)
    count: int
    manifest: str = field(repr=False)

    @classmethod
    def of(cls, files: Mapping[str, bytes]) -> Self:
        """Lay out files by path."""
        members, directory = bytearray(), bytearray()
        entries = []
        for path in sorted(files):
            data = files[path]
            entries.append(f"{json.dumps(path)}:{_digest(data)}")
            deflate = not path.lower().endswith(_COMPRESSED_SUFFIXES)
            _append(members, directory, path, data, start=0, deflate=deflate)
        return cls(bytes(members), bytes(directory), len(files), ",".join(entries))

    def plus(self, files: Mapping[str, bytes]) -> Self:
        """The same with more files behind, by paths that it does not have."""
        members, directory, entries = bytearray(), bytearray(self.directory), [self.manifest] if self.manifest else []
        for path in sorted(files):
            entries.append(f"{json.dumps(path)}:{_digest(files[path])}")
            deflate = not path.lower().endswith(_COMPRESSED_SUFFIXES)
            _append(members, directory, path, files[path], start=len(self.members), deflate=deflate)
        return type(self)(self.members + members, bytes(directory), self.count + len(files), ",".join(entries))

    def with_pass(self, pass_json: bytes, *, sign: Callable[[bytes], bytes]) -> bytes:
        """The `.pkpass` of a rendered pass.json.

        Args:
            pass_json: as `rendering.render` made it.
            sign: a detached PKCS#7 signature, DER, of the bytes that it is given.
        """
        own = f'"pass.json":{_digest(pass_json)}'
        manifest = f"{{{self.manifest},{own}}}".encode() if self.manifest else f"{{{own}}}".encode()
        own_members, directory, start = bytearray(), bytearray(self.directory), len(self.members)
        for path, data in (("pass.json", pass_json), ("manifest.json", manifest), ("signature", sign(manifest))):
            _append(own_members, directory, path, data, start=start, deflate=False)
        return _close([self.members, own_members], directory, self.count + 3)


def bundle(passes: Sequence[bytes]) -> bytes:
    """The `.pkpasses` of several `.pkpass`, which a person adds at once.

    Raises:
        BundleError: they are none, or more or larger than Apple allows.
    """
    if not 0 < len(passes) <= MAX_BUNDLE_PASSES:
        raise BundleError(f"a bundle holds 1 to {MAX_BUNDLE_PASSES} passes, not {len(passes)}; make several")
    archive, directory = bytearray(), bytearray()
    for number, pkpass in enumerate(passes, start=1):
        _append(archive, directory, f"{number}.pkpass", pkpass, start=0, deflate=False)
    bundled = _close([archive], directory, len(passes))
    if len(bundled) > MAX_BUNDLE_BYTES:
        raise BundleError(f"a bundle of {len(bundled)} bytes is over Apple's {MAX_BUNDLE_BYTES}; make several")
    return bundled


def _digest(data: bytes) -> str:
    """SHA-1 is what the format asks for; the signature over the manifest is what protects it."""
    return f'"{hashlib.sha1(data, usedforsecurity=False).hexdigest()}"'


def _close(members: Sequence[bytes | bytearray], directory: bytearray, count: int) -> bytes:
    """The whole archive. It is copied once: a second copy costs as much as all else but the signature."""
    end = _END.pack(b"PK\5\6", 0, 0, count, count, len(directory), sum(map(len, members)), 0)
    return b"".join((*members, directory, end))


def _append(members: bytearray, directory: bytearray, path: str, data: bytes, *, start: int, deflate: bool) -> None:
    """Add one member behind `members`, which begin at `start` of the archive, and its record to the directory."""
    method, packed = _STORED, data
    if deflate:
        compressor = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        deflated = compressor.compress(data) + compressor.flush()
        if len(deflated) < len(data):
            method, packed = _DEFLATED, deflated
    name = path.encode()
    offset, checksum = start + len(members), zlib.crc32(data)
    common = (_UTF8_NAMES, method, _DOS_TIME, _DOS_DATE, checksum, len(packed), len(data), len(name), 0)
    members += _LOCAL_HEADER.pack(b"PK\3\4", _VERSION, *common) + name + packed
    attributes, made_by = _UNIX_FILE
    directory += _CENTRAL_HEADER.pack(b"PK\1\2", made_by, _VERSION, *common, 0, 0, 0, attributes, offset) + name

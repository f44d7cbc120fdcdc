"""Images of a template: real PNGs, of the sizes that Wallet gives them places for.

Sizes are Apple's, in points (Human Interface Guidelines, "Wallet"; where an older guide says otherwise, the larger
stands): an image for `@2x` has twice as many pixels.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from infra.operate.templates.findings import Finding, error, warning

_NAME = re.compile(r"(?P<stem>[A-Za-z0-9_-]+?)(?:@(?P<scale>[23])x)?\.png")
_PNG = b"\x89PNG\r\n\x1a\n"
_CHUNK = struct.Struct(">I4s")
_CHECKSUM_BYTES = 4
_HEADER_BYTES = 13


@dataclass(frozen=True, slots=True)
class ImageSlot:
    """Where an image goes.

    Args:
        width: at most, in points.
        height: at most, in points.
        styles: that show it; empty for all.
    """

    width: int
    height: int
    styles: tuple[str, ...] = ()


PLACES = {
    "icon": ImageSlot(38, 38),
    "logo": ImageSlot(160, 50),
    "primaryLogo": ImageSlot(126, 30, ("eventTicket", "posterGeneric", "boardingPass")),
    "secondaryLogo": ImageSlot(135, 12, ("eventTicket", "posterGeneric")),
    "strip": ImageSlot(375, 144, ("coupon", "storeCard", "eventTicket")),
    "thumbnail": ImageSlot(90, 90, ("generic", "eventTicket")),
    "background": ImageSlot(343, 503, ("eventTicket", "posterGeneric")),
    "artwork": ImageSlot(358, 448, ("eventTicket", "posterGeneric")),
    "footer": ImageSlot(286, 15, ("boardingPass",)),
    "venueMap": ImageSlot(4096, 4096, ("eventTicket",)),
    "personalizationLogo": ImageSlot(150, 40),
}


class PngError(ValueError):
    """These bytes are no PNG."""


def png_size(data: bytes) -> tuple[int, int]:
    """Width and height, of a PNG whose every chunk is whole (PNG specification, 5).

    Raises:
        PngError: it is none, or is damaged.
    """
    if not data.startswith(_PNG):
        raise PngError("is no PNG; export it as one")
    size: tuple[int, int] | None = None
    for kind, content in _chunks(data):
        if size is None:
            if kind != b"IHDR" or len(content) != _HEADER_BYTES:
                raise PngError("is a damaged PNG: it does not begin with its header; export it again")
            size = struct.unpack(">II", content[:8])
        if kind == b"IEND":
            return size
    raise PngError("is a damaged PNG: it ends too early; export it again")


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = len(_PNG)
    while position + _CHUNK.size <= len(data):
        length, kind = _CHUNK.unpack_from(data, position)
        content = data[position + _CHUNK.size : position + _CHUNK.size + length]
        position += _CHUNK.size + length + _CHECKSUM_BYTES
        checksum = data[position - _CHECKSUM_BYTES : position]
        if zlib.crc32(kind + content).to_bytes(_CHECKSUM_BYTES) != checksum:
            raise PngError(f"is a damaged PNG: its part {kind!r} is not whole; export it again")
        yield kind, content


def check_images(files: dict[str, bytes], *, style: str | None) -> Iterator[Finding]:
    """What is wrong with the images of a folder, in the order of their names."""
    there: dict[tuple[str, str], set[int]] = {}
    for path in sorted(files):
        folder, _, name = path.rpartition("/")
        if name.lower().endswith((".jpg", ".jpeg", ".gif", ".webp", ".heic", ".svg")):
            yield error(path, "", "Wallet shows PNGs alone; export it as one")
        found = _NAME.fullmatch(name)
        if found is None:
            continue
        stem, scale = found["stem"], int(found["scale"] or 1)
        there.setdefault((folder, stem), set()).add(scale)
        yield from _check(path, stem, scale, files[path], style)
    if not any(stem == "icon" for _, stem in there):
        yield error("icon.png", "", "is missing; phones refuse a pass without it: 38x38, and @2x, @3x of it")
    for (folder, stem), scales in there.items():
        if stem in PLACES and scales.isdisjoint((2, 3)):
            yield warning(
                f"{folder}/{stem}.png".lstrip("/"),
                "",
                f"is blurred on every phone sold; add {stem}@2x.png and {stem}@3x.png",
            )


def _check(path: str, stem: str, scale: int, data: bytes, style: str | None) -> Iterator[Finding]:
    try:
        width, height = png_size(data)
    except PngError as problem:
        yield error(path, "", str(problem))
        return
    place = PLACES.get(stem)
    if place is None:
        yield warning(path, "", f"is no image that Wallet shows; those are {', '.join(PLACES)}")
        return
    most_wide, most_high = place.width * scale, place.height * scale
    if width > most_wide or height > most_high:
        yield warning(
            path,
            "",
            f"is {width}x{height} pixels, its place {most_wide}x{most_high}; Wallet cuts or shrinks it",
        )
    if style is not None and place.styles and style not in place.styles:
        yield warning(path, "", f"is not shown by style {style}, only by {', '.join(place.styles)}")

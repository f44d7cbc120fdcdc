"""Checks the images of a template: valid PNGs, not larger than their places in Wallet (`passes.format.images`).

The PNG check reads the chunks and their checksums itself: 30 lines without an import. The libraries that do the same
would take longer to import than the whole check does, 53 ms (pypng) and 112 ms (Pillow, which adds 22 MB).
"""

import struct
import zlib
from collections.abc import Collection, Iterator

from chalicelib.passes.format.images import IMAGES, OTHER_IMAGE_SUFFIXES, image_name, is_pass_file
from infra.operate.templates.findings import TemplateFinding, error, warning

_PNG = b"\x89PNG\r\n\x1a\n"
_CHUNK = struct.Struct(">I4s")
_CHECKSUM_BYTES = 4
_HEADER_BYTES = 13
_PDF = b"%PDF-"
_ALL_SCALES = {1, 2, 3}
_GUIDE = "Apple, Wallet Developer Guide"
_DOC = "Apple, Creating the source for a pass"


class PngError(ValueError):
    """Data is not a valid PNG."""


def png_size(data: bytes) -> tuple[int, int]:
    """Return width and height in pixels of a PNG, after checking that all its chunks are intact (PNG specification, 5).

    Raises:
        PngError: the data is not a PNG, or is damaged.
    """
    size: tuple[int, int] | None = None
    for kind, content in png_chunks(data):
        if size is None:
            if kind != b"IHDR" or len(content) != _HEADER_BYTES:
                raise PngError("is a damaged PNG: it does not begin with a header; export it again")
            size = struct.unpack(">II", content[:8])
        if kind == b"IEND":
            return size
    raise PngError("is a damaged PNG: it ends too early; export it again")


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the type and content of each chunk (PNG specification, 5.3).

    Raises:
        PngError: the data is not a PNG, or a chunk is damaged.
    """
    if not data.startswith(_PNG):
        raise PngError("is not a PNG; export it as one")
    position = len(_PNG)
    while position + _CHUNK.size <= len(data):
        length, kind = _CHUNK.unpack_from(data, position)
        content = data[position + _CHUNK.size : position + _CHUNK.size + length]
        position += _CHUNK.size + length + _CHECKSUM_BYTES
        checksum = data[position - _CHECKSUM_BYTES : position]
        if zlib.crc32(kind + content).to_bytes(_CHECKSUM_BYTES) != checksum:
            raise PngError(f"is a damaged PNG: its chunk {kind!r} is incomplete; export it again")
        yield kind, content


def check_images(files: dict[str, bytes], *, styles: Collection[str]) -> Iterator[TemplateFinding]:
    """Check the images of a template, in the order of their paths.

    Args:
        files: contents by path.
        styles: styles of the passes, such as a poster and the classic style for older phones; empty if unknown.
    """
    scales: dict[tuple[str, str], set[int]] = {}
    for path in sorted(files):
        folder, _, name = path.rpartition("/")
        if name.lower().endswith(OTHER_IMAGE_SUFFIXES):
            yield error(path, "", "Wallet only shows PNGs; export it as one")
        found = image_name(name)
        if found is None or not is_pass_file(path):
            continue
        stem, scale = found
        is_pdf = name.endswith(".pdf")
        scales.setdefault((folder, stem), set()).update(_ALL_SCALES if is_pdf else {scale})
        yield from (_check_pdf(path, files[path]) if is_pdf else check_image(path, stem, scale, files[path]))
        yield from _check_place(path, stem, styles)
    if not any(stem == "icon" for _, stem in scales):
        yield error(
            "icon.png",
            "",
            "is missing; phones refuse a pass without it: add it with 38x38 pixels, and @2x and @3x of it",
        )
    yield from _check_scales(scales)
    if "eventTicket" in styles and ("", "strip") in scales:
        for other in ("background", "thumbnail"):
            if ("", other) in scales:
                yield warning(f"{other}.png", "", "is hidden by strip.png on an eventTicket; keep one of them", _GUIDE)


def _check_scales(scales: dict[tuple[str, str], set[int]]) -> Iterator[TemplateFinding]:
    for (folder, stem), available in scales.items():
        path = f"{folder}/{stem}.png".lstrip("/")
        lacks = [f"{stem}@{scale}x.png" for scale in (2, 3) if scale not in available]
        if stem in IMAGES and (len(lacks) > 1 or (lacks and stem == "icon")):
            blurred = "every phone sold" if len(lacks) > 1 else "some phones"
            yield warning(path, "", f"is blurred on {blurred}; add {' and '.join(lacks)}", "apple/pass-builder")
        if folder and ("", stem) in scales:
            yield warning(path, "", f"is never shown: the {stem} beside pass.json hides it; remove that one", _DOC)
        others = {name for name, other_stem in scales if other_stem == stem and name}
        if folder and any(scales[other, stem] != available for other in others):
            yield warning(path, "", "has other scales than in another language; use the same in each", _DOC)


def check_image(path: str, stem: str, scale: int, data: bytes) -> Iterator[TemplateFinding]:
    """Check one PNG.

    Args:
        path: path or name for the findings.
        stem: name without scale and suffix, such as `thumbnail`; of an unknown name, the size is not checked.
        scale: 1, 2 or 3.
        data: content of the file.
    """
    try:
        width, height = png_size(data)
    except PngError as problem:
        yield error(path, "", str(problem))
        return
    place = IMAGES.get(stem)
    if place is not None and (width > place.width * scale or height > place.height * scale):
        yield warning(
            path,
            "",
            f"is {width}x{height} pixels, its place {place.width * scale}x{place.height * scale}; "
            "Wallet cuts or shrinks it",
            "Apple, Human Interface Guidelines, Wallet",
        )


def _check_pdf(path: str, data: bytes) -> Iterator[TemplateFinding]:
    if not data.startswith(_PDF):
        yield error(path, "", "is not a valid PDF; export it again, best as PNG")
    else:
        yield warning(
            path,
            "",
            "is a PDF, which Apple's tool accepts but phones may not show; export it as PNG, @2x and @3x",
            "apple/pass-builder",
        )


def _check_place(path: str, stem: str, styles: Collection[str]) -> Iterator[TemplateFinding]:
    place = IMAGES.get(stem)
    if place is None:
        yield warning(path, "", f"is not an image that Wallet shows; it shows {', '.join(IMAGES)}")
    elif styles and place.styles and not {*styles} & {*place.styles}:
        yield warning(path, "", f"is not shown by style {' or '.join(styles)}, only by {', '.join(place.styles)}")

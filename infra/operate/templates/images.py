"""Images of a template: real PNGs, of the sizes that Wallet gives them places for (`passes.format.images`)."""

import struct
import zlib
from collections.abc import Iterator

from chalicelib.passes.format.images import IMAGES, OTHER_IMAGE_SUFFIXES, image_name, is_pass_file
from infra.operate.templates.findings import Finding, error, warning

_PNG = b"\x89PNG\r\n\x1a\n"
_CHUNK = struct.Struct(">I4s")
_CHECKSUM_BYTES = 4
_HEADER_BYTES = 13
_PDF = b"%PDF-"
_ALL_SCALES = {1, 2, 3}
_GUIDE = "Apple, Wallet Developer Guide"
_DOC = "Apple, Creating the source for a pass"


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
    """What is wrong with the images of a folder, in the order of their names.

    Args:
        files: of the template, by path.
        style: of its passes; None where it is not known.
    """
    scales: dict[tuple[str, str], set[int]] = {}
    for path in sorted(files):
        folder, _, name = path.rpartition("/")
        if name.lower().endswith(OTHER_IMAGE_SUFFIXES):
            yield error(path, "", "Wallet shows PNGs alone; export it as one")
        found = image_name(name)
        if found is None or not is_pass_file(path):
            continue
        stem, scale = found
        is_pdf = name.endswith(".pdf")
        scales.setdefault((folder, stem), set()).update(_ALL_SCALES if is_pdf else {scale})
        yield from (_check_pdf(path, files[path]) if is_pdf else _check_png(path, stem, scale, files[path]))
        yield from _check_place(path, stem, style)
    if not any(stem == "icon" for _, stem in scales):
        yield error("icon.png", "", "is missing; phones refuse a pass without it: 38x38, and @2x, @3x of it")
    yield from _check_scales(scales)
    if style == "eventTicket" and ("", "strip") in scales:
        for other in ("background", "thumbnail"):
            if ("", other) in scales:
                yield warning(f"{other}.png", "", "is hidden by strip.png on an eventTicket; keep one of them", _GUIDE)


def _check_scales(scales: dict[tuple[str, str], set[int]]) -> Iterator[Finding]:
    for (folder, stem), there in scales.items():
        path = f"{folder}/{stem}.png".lstrip("/")
        lacks = [f"{stem}@{scale}x.png" for scale in (2, 3) if scale not in there]
        if stem in IMAGES and (len(lacks) > 1 or (lacks and stem == "icon")):
            blurred = "every phone sold" if len(lacks) > 1 else "some phones"
            yield warning(path, "", f"is blurred on {blurred}; add {' and '.join(lacks)}", "apple/pass-builder")
        if folder and ("", stem) in scales:
            yield warning(path, "", f"is never shown: the {stem} beside pass.json hides it; take that one out", _DOC)
        others = {name for name, of in scales if of == stem and name}
        if folder and any(scales[other, stem] != there for other in others):
            yield warning(path, "", "has other scales than in another language; every language has the same", _DOC)


def check_image(path: str, stem: str, scale: int, data: bytes) -> Iterator[Finding]:
    """What is wrong with one PNG.

    Args:
        path: to name it by.
        stem: its name without scale and suffix, as `thumbnail`; another than Wallet's is checked as a PNG alone.
        scale: 1, 2 or 3.
        data: its content.
    """
    return _check_png(path, stem, scale, data)


def _check_png(path: str, stem: str, scale: int, data: bytes) -> Iterator[Finding]:
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


def _check_pdf(path: str, data: bytes) -> Iterator[Finding]:
    if not data.startswith(_PDF):
        yield error(path, "", "is not a valid PDF; export it again, best as PNG")
    else:
        yield warning(
            path,
            "",
            "is a PDF, which Apple's tool takes and phones are not known to show; export it as PNG, @2x and @3x",
            "apple/pass-builder",
        )


def _check_place(path: str, stem: str, style: str | None) -> Iterator[Finding]:
    place = IMAGES.get(stem)
    if place is None:
        yield warning(path, "", f"is no image that Wallet shows; those are {', '.join(IMAGES)}")
    elif style is not None and place.styles and style not in place.styles:
        yield warning(path, "", f"is not shown by style {style}, only by {', '.join(place.styles)}")

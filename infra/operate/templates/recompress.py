"""Recompresses the PNGs of a template without changing a pixel, so that phones download less.

oxipng tries row filters and smaller color types that hold the same colors, and removes texts and dates. Chunks that
affect how an image looks (color profiles, gamma, density) are kept. The same version gives the same bytes for the same
input, so that a repeated push makes no new revision.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import oxipng

from infra.operate.templates.images import PngError, png_chunks

SUFFIX = ".png"
LEVEL = 4
"""oxipng's presets are 0 to 6; higher ones than 4 take up to three times as long and save nothing on the samples."""
REMOVED_CHUNKS = (b"tEXt", b"zTXt", b"iTXt", b"tIME")
"""Texts and the time of the last change (PNG specification, 11.3.3 and 11.3.6)."""
UNSAFE_CHUNKS = frozenset({b"acTL", b"CgBI"})
"""Chunks of animations, and of Apple's own variant, which other programs than Apple's read wrongly."""


@dataclass(frozen=True, slots=True)
class Recompressed:
    """A template with smaller images.

    Args:
        files: contents by path.
        count: number of images that became smaller.
        bytes_before: size of all PNGs before.
        bytes_after: size of all PNGs now.
    """

    files: dict[str, bytes]
    count: int
    bytes_before: int
    bytes_after: int


def recompress(data: bytes) -> bytes:
    """Return a smaller PNG with the same pixels.

    The data is returned as it is if no smaller form was found, or if it is an animation, Apple's variant of PNG, or not
    an intact PNG.
    """
    try:
        kinds = {kind for kind, _ in png_chunks(data)}
        if kinds & UNSAFE_CHUNKS:
            return data
        smaller = oxipng.optimize_from_memory(data, level=LEVEL, strip=oxipng.StripChunks.strip(REMOVED_CHUNKS))
    except (PngError, oxipng.PngError):
        return data
    return smaller if len(smaller) < len(data) else data


def recompress_images(
    files: Mapping[str, bytes], *, on_progress: Callable[[str], object] = lambda _: None
) -> Recompressed:
    """Recompress all PNGs of a template.

    Args:
        files: contents by path.
        on_progress: called with the path of each PNG before it is recompressed.
    """
    recompressed = dict(files)
    images = [path for path in sorted(files) if path.endswith(SUFFIX)]
    for path in images:
        on_progress(path)
        recompressed[path] = recompress(files[path])
    return Recompressed(
        files=recompressed,
        count=sum(recompressed[path] is not files[path] for path in images),
        bytes_before=sum(len(files[path]) for path in images),
        bytes_after=sum(len(recompressed[path]) for path in images),
    )

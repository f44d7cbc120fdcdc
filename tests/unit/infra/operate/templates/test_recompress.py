"""Tests of the lossless recompression of a template's images; pypng reads them independently."""

import io
import struct
import zlib
from itertools import chain

import oxipng
import png
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.operate.templates.images import png_chunks
from infra.operate.templates.recompress import recompress, recompress_images
from tests.support import samples

FULL = 65535
PNG = samples.png(40, 30)


def pixels(data: bytes) -> tuple[int, int, list[int]]:
    """Width, height, and red, green, blue and alpha of each pixel as 16-bit values."""
    width, height, rows, info = png.Reader(bytes=data).asRGBA()
    highest = 2 ** info["bitdepth"] - 1
    return width, height, [value * FULL // highest for value in chain.from_iterable(rows)]


@st.composite
def images(draw: st.DrawFn) -> bytes:
    """PNGs of all color types and depths: few or many colors, gray or not, with and without transparency."""
    width, height = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    greyscale, alpha = draw(st.booleans()), draw(st.booleans())
    bitdepth = draw(st.sampled_from((1, 2, 4, 8, 16) if greyscale and not alpha else (8, 16)))
    planes = (1 if greyscale else 3) + (1 if alpha else 0)
    highest = 2**bitdepth - 1
    values = draw(st.lists(st.integers(0, highest), min_size=1, max_size=6)) if draw(st.booleans()) else None
    sample = st.sampled_from(values) if values else st.integers(0, highest)
    row = st.lists(sample, min_size=width * planes, max_size=width * planes)
    rows = draw(st.lists(row, min_size=height, max_size=height))
    transparent = None
    if not alpha and draw(st.booleans()):
        transparent = rows[0][0] if greyscale else tuple(rows[0][:3])
    file = io.BytesIO()
    writer = png.Writer(
        width,
        height,
        greyscale=greyscale,
        alpha=alpha,
        bitdepth=bitdepth,
        transparent=transparent,
        interlace=draw(st.booleans()),
        gamma=draw(st.sampled_from((None, 0.45455))),
    )
    writer.write(file, rows)
    return file.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def with_chunk(kind: bytes, content: bytes, *, before: bytes = b"IDAT") -> bytes:
    """The sample with one more chunk."""
    kinds = list(png_chunks(PNG))
    place = next(index for index, (name, _) in enumerate(kinds) if name == before)
    kinds.insert(place, (kind, content))
    return PNG[:8] + b"".join(chunk(*each) for each in kinds)


@given(images())
def test_no_pixel_changes_and_no_image_becomes_larger(data: bytes) -> None:
    smaller = recompress(data)
    assert pixels(smaller) == pixels(data)
    assert len(smaller) <= len(data)


@given(images())
def test_same_image_gives_the_same_bytes_each_time(data: bytes) -> None:
    assert recompress(data) == recompress(data)


def test_result_is_not_recompressed_further() -> None:
    assert recompress(recompress(PNG)) == recompress(PNG)


def test_texts_and_times_are_removed_and_what_affects_the_look_is_kept() -> None:
    smaller = recompress(with_chunk(b"tEXt", b"Software\0Editor 1.0"))
    assert b"tEXt" not in dict(png_chunks(smaller))
    for kind, content in {
        b"gAMA": struct.pack(">I", 45455),
        b"pHYs": struct.pack(">IIB", 5669, 5669, 1),
        b"cHRM": struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000),
    }.items():
        assert dict(png_chunks(recompress(with_chunk(kind, content))))[kind] == content


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(with_chunk(b"acTL", struct.pack(">II", 1, 0)), id="animation"),
        pytest.param(with_chunk(b"CgBI", b"\x50\0\x20\x06", before=b"IHDR"), id="CgBI"),
        pytest.param(PNG[:-20], id="cut"),
        pytest.param(PNG[:60] + bytes([PNG[60] ^ 1]) + PNG[61:], id="wrong checksum"),
        pytest.param(PNG[:33] + chunk(b"IDAT", b"not zlib") + chunk(b"IEND", b""), id="wrong compression"),
        pytest.param(b"GIF89a", id="GIF"),
        pytest.param(b"", id="empty"),
    ],
)
def test_animations_apples_variant_and_broken_files_are_left_alone(data: bytes) -> None:
    assert recompress(data) is data


def test_smallest_form_is_kept() -> None:
    best = oxipng.optimize_from_memory(samples.png(8, 6), level=6, deflate=oxipng.Deflaters.zopfli(15))
    assert recompress(best) is best


def test_only_images_of_a_template_change_and_the_saving_is_counted() -> None:
    files = samples.files_of("generic")
    done = recompress_images(files)
    images = [path for path in files if path.endswith(".png")]
    assert done.files.keys() == files.keys()
    assert done.files["pass.json"] == files["pass.json"]
    assert all(pixels(done.files[path]) == pixels(files[path]) for path in images)
    assert done.bytes_before == sum(len(files[path]) for path in images)
    assert done.bytes_after == sum(len(done.files[path]) for path in images) < done.bytes_before
    assert done.count == sum(done.files[path] != files[path] for path in images)

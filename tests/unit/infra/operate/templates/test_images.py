"""Tests of the check of images."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.passes.format.findings import Level
from chalicelib.passes.format.images import IMAGES
from infra.operate.templates.images import PngError, check_image, check_images, png_chunks, png_size
from tests.support import samples

PNG = samples.png(7, 5)
ICONS = {
    f"icon{scale}.png": samples.png(38 * number, 38 * number) for number, scale in ((1, ""), (2, "@2x"), (3, "@3x"))
}


def found(files: dict[str, bytes], *styles: str) -> list[str]:
    return [f"{each.level.value} {each.file}: {each.problem}" for each in check_images(files, styles=styles)]


def test_size_of_a_png_is_read() -> None:
    assert png_size(PNG) == (7, 5)
    assert [kind for kind, _ in png_chunks(PNG)] == [b"IHDR", b"IDAT", b"IEND"]


@given(st.binary() | st.integers(0, len(PNG) - 1).map(lambda end: PNG[:end]))
def test_only_a_complete_png_is_accepted(data: bytes) -> None:
    with pytest.raises(PngError):
        png_size(data)


@given(st.integers(8, len(PNG) - 1), st.integers(1, 255))
def test_changed_byte_is_noticed(position: int, difference: int) -> None:
    damaged = bytearray(PNG)
    damaged[position] ^= difference
    with pytest.raises(PngError):
        png_size(bytes(damaged))


def test_complete_icons_have_no_findings() -> None:
    assert found(ICONS, "generic") == []


def test_missing_icon_is_an_error() -> None:
    (finding,) = found({"pass.json": b"{}"})
    assert finding.startswith("error icon.png: is missing")


@pytest.mark.parametrize("stem", IMAGES)
def test_image_larger_than_its_place_is_a_warning(stem: str) -> None:
    width, height = IMAGES[stem].width * 2, IMAGES[stem].height * 2
    for size in ((width, 1), (1, height)):
        assert list(check_image(f"{stem}@2x.png", stem, 2, samples.png(*size))) == []
    for size in ((width + 1, 1), (1, height + 1)):
        (finding,) = check_image(f"{stem}@2x.png", stem, 2, samples.png(*size))
        assert finding.level is Level.WARNING
        assert f"its place {width}x{height}" in finding.problem


def test_image_of_another_style_is_a_warning() -> None:
    strip = {f"strip@{scale}x.png": samples.png(1, 1) for scale in (2, 3)}
    assert all("is not shown by style generic" in text for text in found({**ICONS, **strip}, "generic"))
    assert found({**ICONS, **strip}, "storeCard") == found({**ICONS, **strip}) == []


def test_missing_scales_blur() -> None:
    assert found({"icon.png": ICONS["icon.png"]}) == [
        "warning icon.png: is blurred on every phone sold; add icon@2x.png and icon@3x.png"
    ]
    two = {name: ICONS[name] for name in ("icon.png", "icon@2x.png")}
    assert found(two) == ["warning icon.png: is blurred on some phones; add icon@3x.png"]


def test_other_formats_and_unknown_images_are_named() -> None:
    texts = found({**ICONS, "photo.jpg": b"", "banner@2x.png": PNG, "banner@3x.png": PNG, "logo.pdf": b"x"})
    assert (
        sum(text.startswith("warning banner@") and "is not an image that Wallet shows" in text for text in texts) == 2
    )
    assert "error logo.pdf: is not a valid PDF; export it again, best as PNG" in texts
    assert any(text.startswith("error photo.jpg: Wallet only shows PNGs") for text in texts)

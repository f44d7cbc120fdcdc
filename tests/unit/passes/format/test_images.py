"""Tests of the names of a pass's files, and of the images of an item."""

import pytest

from chalicelib.passes.format.images import ImagesError, image_name, is_language_folder, is_pass_file, read_images

KEY, OTHER = "a" * 64, "b" * 64


@pytest.mark.parametrize(
    ("file_name", "image"),
    [
        ("icon.png", ("icon", 1)),
        ("icon@2x.png", ("icon", 2)),
        ("logo@3x.pdf", ("logo", 3)),
        ("icon@4x.png", None),
        ("icon.jpg", None),
        ("pass.json", None),
    ],
)
def test_name_of_an_image_has_its_scale(file_name: str, image: tuple[str, int] | None) -> None:
    assert image_name(file_name) == image


@pytest.mark.parametrize(
    ("path", "belongs"),
    [
        ("pass.json", True),
        ("personalization.json", True),
        ("tooling.json", False),
        ("icon@2x.png", True),
        ("de.lproj/pass.strings", True),
        ("de.lproj/logo.png", True),
        ("de.lproj/pass.json", False),
        ("images/logo.png", False),
        ("README.md", False),
    ],
)
def test_only_files_that_wallet_reads_belong_into_a_pass(path: str, *, belongs: bool) -> None:
    assert is_pass_file(path) is belongs


@pytest.mark.parametrize(
    ("name", "right"),
    [("de.lproj", True), ("zh-Hans.lproj", True), ("pt_BR.lproj", True), ("Base.lproj", True), ("x.lproj", False)],
)
def test_folder_of_a_language_is_recognized(name: str, *, right: bool) -> None:
    assert is_language_folder(name) is right


def test_images_are_read_by_scale_and_language() -> None:
    given = {
        "thumbnail": KEY,
        "strip": {"1x": KEY, "3x": OTHER, "2x": None},
        "logo": {"de": OTHER, "en": {"2x": KEY}},
        "icon": None,
    }
    assert read_images(given) == {
        "thumbnail@2x.png": KEY,
        "strip.png": KEY,
        "strip@3x.png": OTHER,
        "de.lproj/logo@2x.png": OTHER,
        "en.lproj/logo@2x.png": KEY,
    }


@pytest.mark.parametrize(
    ("images", "path"),
    [
        ({"photo": KEY}, "photo"),
        ({"logo": "A" * 64}, "logo"),
        ({"logo": 5}, "logo"),
        ({"logo": {}}, "logo"),
        ({"logo": {"4x": KEY}}, "logo.4x"),
        ({"logo": {"2x": {"de": KEY}}}, "logo.2x"),
        ({"logo": {"de": {"en": KEY}}}, "logo.de.en"),
    ],
)
def test_invalid_images_are_refused_with_their_path(images: dict[str, object], path: str) -> None:
    with pytest.raises(ImagesError) as refused:
        read_images(images)
    assert refused.value.path == path

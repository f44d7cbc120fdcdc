"""Tests of images of single passes: keys of files, and refusals of what is not an image."""

import hashlib
import json
from pathlib import Path

import pytest

from infra.operate.passes.images import ImageRefusedError, ItemImages
from tests.support import samples

PNG = samples.png(90, 90)
KEY = hashlib.sha256(PNG).hexdigest()


@pytest.fixture
def images(tmp_path: Path) -> ItemImages:
    (tmp_path / "photo.png").write_bytes(PNG)
    return ItemImages(tmp_path, open_stage=None)


def test_names_of_files_become_keys(images: ItemImages) -> None:
    given = {"images": {"thumbnail": {"1x": "photo.png", "de": {"2x": KEY}}}, "fields": {"name": "photo.png"}}
    assert images.with_keys(given) == {
        "images": {"thumbnail": {"1x": KEY, "de": {"2x": KEY}}},
        "fields": {"name": "photo.png"},
    }
    assert images.get(KEY) == PNG


def test_images_of_a_cell_may_be_json_or_one_path(images: ItemImages) -> None:
    given = {"images": json.dumps({"thumbnail": "photo.png"}), "images.strip": "photo.png"}
    assert images.with_keys(given) == {"images": {"thumbnail": KEY}, "images.strip": KEY}
    assert images.with_keys({"images": "{broken"}) == {"images": "{broken"}, "the item's own check names the problem"


def test_stored_image_needs_a_stage(images: ItemImages) -> None:
    with pytest.raises(ImageRefusedError, match="give --stage"):
        images.get("0" * 64)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a PNG"),
        (PNG[:-1], "damaged PNG"),
        (bytes(4_000_001), "more than the 4,000,000 bytes"),
        (None, "cannot be read"),
    ],
    ids=["empty", "cut", "large", "missing"],
)
def test_file_that_is_not_an_image_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(ImageRefusedError, match=message):
        ItemImages(tmp_path, open_stage=None).with_keys({"images.logo": "x.png"})

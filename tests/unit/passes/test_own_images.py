"""Tests of the images of single passes: how an item refers to them, and which images of the template they replace."""

import io
import json
import zipfile
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator

from chalicelib.passes.format.schema import item_schema
from chalicelib.passes.item import PassItem
from chalicelib.passes.item_errors import ItemError
from chalicelib.passes.template import Template
from tests.support import samples

KEY, OTHER = "a" * 64, "0123456789abcdef" * 4
SCHEMA = Draft202012Validator(item_schema())
PNG = samples.png(180, 180, seed=1)


def item(**attributes: Any) -> PassItem:  # noqa: ANN401 - whatever a pipeline writes
    return PassItem.parse({"pass_id": "pass.com.acme/1", "template": "sample", **attributes})


NAMED: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "one key": ({"images": {"thumbnail": KEY}}, {"thumbnail@2x.png": KEY}),
    "by scale": (
        {"images": {"strip": {"1x": KEY, "2x": OTHER, "3x": KEY}}},
        {"strip.png": KEY, "strip@2x.png": OTHER, "strip@3x.png": KEY},
    ),
    "by language": (
        {"images": {"strip": {"de": KEY, "zh-Hans": {"3x": OTHER}}}},
        {"de.lproj/strip@2x.png": KEY, "zh-Hans.lproj/strip@3x.png": OTHER},
    ),
    "NULL": ({"images": {"thumbnail": None, "strip": {"2x": KEY, "3x": None}}}, {"strip@2x.png": KEY}),
    "no map": ({"images": None}, {}),
    "flat": ({"images.thumbnail": KEY}, {"thumbnail@2x.png": KEY}),
    "flat by scale": ({"images.thumbnail": f'{{"3x": "{KEY}"}}'}, {"thumbnail@3x.png": KEY}),
}


@pytest.mark.parametrize(("attributes", "paths"), NAMED.values(), ids=NAMED.keys())
def test_images_of_an_item_are_read_by_their_path(attributes: dict[str, Any], paths: dict[str, str]) -> None:
    assert item(**attributes).images == paths
    assert SCHEMA.is_valid({"pass_id": "pass.com.acme/1", "template": "sample", **attributes})


@pytest.mark.parametrize(
    ("images", "path"),
    [
        ({"photo": KEY}, "images.photo"),
        ({"thumbnail": "photos/ada.png"}, "images.thumbnail"),
        ({"thumbnail": KEY.upper()}, "images.thumbnail"),
        ({"thumbnail": {}}, "images.thumbnail"),
        ({"thumbnail": {"4x": KEY}}, "images.thumbnail.4x"),
        ({"thumbnail": {"2x": {"3x": KEY}}}, "images.thumbnail.2x"),
        ({"thumbnail": {"de": {"en": KEY}}}, "images.thumbnail.de.en"),
        ({"thumbnail": [KEY]}, "images.thumbnail"),
        ([KEY], "images"),
    ],
)
def test_invalid_image_is_refused_with_its_path(images: object, path: str) -> None:
    with pytest.raises(ItemError) as refused:
        item(images=images)
    assert f"'{path}'" in str(refused.value)
    assert not SCHEMA.is_valid({"pass_id": "pass.com.acme/1", "template": "sample", "images": images})


def test_image_in_both_forms_is_refused() -> None:
    with pytest.raises(ItemError, match="is written twice"):
        item(**{"images": {"thumbnail": KEY}, "images.thumbnail": KEY})


def test_device_sees_another_image_as_a_change() -> None:
    assert item(images={"thumbnail": KEY}).same_content(item(**{"images.thumbnail": KEY}))
    assert not item(images={"thumbnail": KEY}).same_content(item(images={"thumbnail": OTHER}))
    assert not item().same_content(item(images={"thumbnail": KEY}))


def test_image_of_a_pass_replaces_all_images_with_its_name() -> None:
    files = samples.files_of("generic")
    files |= {"de.lproj/thumbnail@2x.png": PNG, "de.lproj/pass.strings": b'"a" = "b";'}
    template = Template.parse("sample", files)
    pkpass = template.archive_with({"thumbnail@2x.png": PNG}, personalized=False).with_pass(
        b"{}", sign=lambda _: b"unsigned"
    )
    with zipfile.ZipFile(io.BytesIO(pkpass)) as archive:
        names = set(archive.namelist())
        assert {name for name in names if "thumbnail" in name} == {"thumbnail@2x.png"}
        assert archive.read("thumbnail@2x.png") == PNG
        assert "de.lproj/pass.strings" in names
        assert {name for name in names if "logo" in name} == {"logo.png", "logo@2x.png", "logo@3x.png"}
        assert set(json.loads(archive.read("manifest.json"))) == names - {"manifest.json", "signature"}

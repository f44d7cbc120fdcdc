"""Tests of reading a folder whatever is wrong with it, and of filling it with an item."""

import json
from pathlib import Path
from typing import Any

import pytest

from chalicelib.core.errors import RefusedError
from chalicelib.passes.format.findings import Level
from infra.operate.passes.images import ItemImages
from infra.operate.templates.preview.sample import Design, Sample, changed, fill, read_item
from tests.support import samples


def design(tmp_path: Path, files: dict[str, bytes], *without: str) -> Design:
    folder = tmp_path / "sample.pass"
    for path, data in files.items():
        if path not in without:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
    return Design.read(folder)


def filled(of: Design, **attributes: object) -> Sample:
    return fill(of, "sample", attributes, ItemImages(Path(), None))


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"null", b'{"a": ', b"\xff\xfe", b'{"coupon": NaN}', b"[" * 100_000, b'{"coupon": {} x}']
)
def test_pass_json_without_a_value_gives_an_empty_design(tmp_path: Path, raw: bytes) -> None:
    read = design(tmp_path, {**samples.files_of("coupon"), "pass.json": raw})
    assert read.content in ({}, {"coupon": None})
    assert any(finding.level is Level.ERROR for finding in read.findings)
    assert filled(read).opened("en").images["logo"]


def test_missing_pass_json_is_named(tmp_path: Path) -> None:
    read = design(tmp_path, samples.files_of("coupon"), "pass.json")
    assert any("pass.json: is missing" in str(finding) for finding in read.findings)


def test_broken_image_and_strings_are_left_out_and_named(tmp_path: Path) -> None:
    broken = {"logo@3x.png": samples.png(9, 9)[:40], "de.lproj/pass.strings": b'"a" "b"', "en.lproj/pass.strings": b""}
    read = design(tmp_path, {**samples.files_of("coupon"), **broken})
    assert "logo@3x.png" not in read.files
    assert read.languages == ["en"]
    named = " ".join(map(str, read.findings))
    assert "logo@3x.png: is a damaged PNG" in named
    assert "de.lproj/pass.strings: line 1" in named


def test_item_fills_the_design(tmp_path: Path) -> None:
    sample = filled(design(tmp_path, samples.files_of("generic")), fields={"member": "Ada"}, voided=True)
    assert sample.findings == []
    assert sample.content["generic"]["primaryFields"][0]["value"] == "Ada"
    assert sample.content["voided"] is True


@pytest.mark.parametrize(
    "attributes", [{"fields": {"unknown": 1}}, {"fields": 7}, {"overrides": {"backgroundColor": "Black"}}]
)
def test_invalid_item_shows_the_design_and_the_reason(tmp_path: Path, attributes: dict[str, Any]) -> None:
    sample = filled(design(tmp_path, samples.files_of("generic")), **attributes)
    assert [finding.level for finding in sample.findings] == [Level.ERROR]
    assert sample.content["generic"]["primaryFields"][0]["value"] == "Grace Hopper"
    assert sample.content["barcodes"][0]["message"] == "PREVIEW-1"


def test_languages_of_the_item_are_shown_too(tmp_path: Path) -> None:
    fields = {"member": {"value": {"en": "Member", "fr": "Membre"}}}
    sample = filled(design(tmp_path, samples.files_of("generic")), fields=fields)
    assert sample.languages == ["en", "fr"]


def test_change_replaces_only_the_value_of_its_field() -> None:
    before = {"fields": {"gate": {"value": "A7", "label": "GATE"}, "seat": "14C"}}
    after = changed(before, {"gate": "B22"})
    assert after["fields"] == {"gate": {"value": "B22", "label": "GATE"}, "seat": "14C"}


@pytest.mark.parametrize("text", ["[]", "{", "null", "[" * 100_000, '"x"'])
def test_file_without_an_item_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "item.json"
    path.write_text(text)
    with pytest.raises(RefusedError, match=r"item\.json: (not a readable pass item|must be a JSON object)"):
        read_item(path)
    path.write_text(json.dumps({"fields": {}}))
    assert read_item(path) == {"fields": {}}


def test_trailing_comma_is_an_error_and_hides_nothing(tmp_path: Path) -> None:
    raw = b'{"coupon": {"primaryFields": [{"key": "a", "value": ",] ,}",},],},}'
    read = design(tmp_path, {**samples.files_of("coupon"), "pass.json": raw})
    assert read.content == {"coupon": {"primaryFields": [{"key": "a", "value": ",] ,}"}]}}
    assert any("pass.json: is not JSON" in str(finding) for finding in read.findings)

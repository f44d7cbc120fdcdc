"""Tests of the page of a preview: its parts, its problems, and its policy."""

import json
import re
from pathlib import Path

import pytest

from infra.operate.passes.images import ItemImages
from infra.operate.templates.folder import FolderError, write_folder
from infra.operate.templates.preview.document import Document, Filling, PreviewRequest, document_of
from infra.operate.templates.starting_points import STARTING_POINTS
from tests.support import samples

NOTHING = Filling("", None, {}, ItemImages(Path(), None))


def folder_of(tmp_path: Path, files: dict[str, bytes]) -> Path:
    folder = tmp_path / "sample.pass"
    write_folder(folder, files)
    return folder


def document(tmp_path: Path, files: dict[str, bytes], **options: object) -> Document:
    request = {"folder": folder_of(tmp_path, files), "fillings": [NOTHING], **options}
    return document_of(PreviewRequest(**request))  # type: ignore[arg-type]  # options of a test


def listed(document: Document) -> str:
    return " ".join(map(str, document.findings))


def test_fields_that_phones_do_not_show_are_listed(tmp_path: Path) -> None:
    fields = [{"key": f"k{n}", "value": "v"} for n in range(4)]
    shown = document(tmp_path, samples.files_of("coupon", coupon={"headerFields": fields}))
    assert "coupon.headerFields[3]: is not drawn" in listed(shown)
    assert shown.html.count('class="field ') == 3


def test_colors_that_are_hard_to_read_are_listed(tmp_path: Path) -> None:
    colors = {"backgroundColor": "rgb(200, 200, 200)", "labelColor": "rgb(255, 255, 255)"}
    assert "labelColor: is hard to read on backgroundColor: contrast 1.7" in listed(
        document(tmp_path, samples.files_of("coupon", **colors))
    )


def test_starting_point_is_shown_in_both_languages_without_problems(tmp_path: Path) -> None:
    shown = document(tmp_path, STARTING_POINTS["generic"].files())
    assert shown.findings == []
    assert re.findall(r'data-language="(\w+)"', shown.html) == ["de", "en"]
    assert shown.width == 48 + 2 * 382 + 360


def test_one_unreadable_item_does_not_hide_the_others(tmp_path: Path) -> None:
    good = tmp_path / "good.json"
    good.write_text(json.dumps({"fields": {"member": "Grace"}}))
    images = ItemImages(tmp_path, None)
    fillings = [Filling("bad.json", tmp_path / "bad.json", {}, images), Filling("good.json", good, {}, images)]
    shown = document(tmp_path, STARTING_POINTS["generic"].files(), fillings=fillings)
    assert "bad.json: not a readable pass item" in listed(shown)
    assert "Grace" in shown.html


def test_item_is_read_again_for_each_page(tmp_path: Path) -> None:
    path = tmp_path / "item.json"
    folder = folder_of(tmp_path, STARTING_POINTS["generic"].files())
    request = PreviewRequest(folder, [Filling("", path, {}, ItemImages(tmp_path, None))])
    for name in ("Grace", "Mary"):
        path.write_text(json.dumps({"fields": {"member": name}}))
        assert name in document_of(request).html


def test_policy_allows_only_the_parts_of_the_page(tmp_path: Path) -> None:
    files = STARTING_POINTS["coupon"].files()
    shown = document(tmp_path, files)
    assert "unsafe" not in shown.policy
    assert shown.policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "connect-src 'none'" in shown.policy
    request = PreviewRequest(tmp_path / "sample.pass", [NOTHING])
    watched = document_of(request, version="v1")
    assert "connect-src 'self'" in watched.policy
    assert 'data-version="v1"' in watched.html


def test_path_without_a_template_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="not a template"):
        document_of(PreviewRequest(tmp_path / "missing.pass", [NOTHING]))

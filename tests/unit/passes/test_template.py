"""Tests of templates: which folders are accepted, and what identifies their content."""

import json

import pytest

from chalicelib.passes.template import Template, TemplateError
from tests.support import samples

LOGO = samples.png(150, 40)


def test_revision_depends_only_on_the_files() -> None:
    files = samples.files_of("coupon")
    first = Template.parse("sample", files)
    assert Template.parse("sample", dict(reversed(files.items()))).revision == first.revision
    assert Template.parse("sample", {**files, "icon.png": LOGO}).revision != first.revision
    assert Template.parse("sample", {**files, "new.png": b""}).revision != first.revision


def test_manifest_and_signature_of_an_unpacked_pass_are_replaced() -> None:
    files = samples.files_of("coupon")
    opened = {**files, "manifest.json": b"{}", "signature": b"old"}
    assert Template.parse("sample", opened).revision == Template.parse("sample", files).revision
    assert b"old" not in samples.build(opened)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (None, "pass.json: is missing"),
        (b"", "is not JSON"),
        (b"[]", "must be a JSON object"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b'{"maxDistance": 1e999}', "1e999 is not a JSON number"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"a": "\xff"}', "is not JSON"),
        (b'{"generic": []}', "'generic' must be an object"),
        (b'{"generic": {"backFields": {}}}', "'generic.backFields' must be an array"),
        (b'{"generic": {"backFields": [{"value": 1}]}}', r"'generic.backFields\[0\]' needs a 'key'"),
    ],
    ids=str,
)
def test_message_names_the_template_the_file_and_the_problem(raw: bytes | None, message: str) -> None:
    with pytest.raises(TemplateError, match=f"template sample: .*{message}"):
        Template.parse("sample", {} if raw is None else {"pass.json": raw})


def test_byte_order_mark_before_pass_json_is_accepted() -> None:
    assert Template.parse("sample", {"pass.json": b'\xef\xbb\xbf{"logoText": "x"}'}).content == {"logoText": "x"}


@pytest.mark.parametrize("path", ["../icon.png", "/etc/icon.png", "en.lproj/../../x", "a//b", "./icon.png", "a\\b.png"])
def test_path_out_of_the_folder_is_refused(path: str) -> None:
    with pytest.raises(TemplateError, match="is not a path within the folder"):
        Template.parse("sample", {**samples.files_of("coupon"), path: b""})


def test_personalized_archive_lacks_the_files_that_ask_for_personalization() -> None:
    asked = {"requiredPersonalizationFields": ["PKPassPersonalizationFieldName"], "description": "Join"}
    template = Template.parse(
        "sample",
        {
            **samples.files_of("storeCard"),
            "personalization.json": json.dumps(asked).encode(),
            "personalizationLogo@2x.png": LOGO,
            "de.lproj/personalizationLogo.png": LOGO,
        },
    )
    assert template.personalization == asked
    assert "personalizationLogo" in template.archive.manifest
    assert "personalization" not in template.personalized_archive.manifest
    assert "strip@2x.png" in template.personalized_archive.manifest


def test_template_without_personalization_json_has_no_personalization() -> None:
    assert Template.parse("sample", samples.files_of("storeCard")).personalization is None

"""A designer's folder as a template: read, refused, and named by its content."""

import json

import pytest

from chalicelib.passes.template import Template, TemplateError
from tests.support import samples

LOGO = samples.png(150, 40)


def test_a_revision_is_named_by_what_is_in_the_folder() -> None:
    files = samples.files_of("coupon")
    first = Template.parse("sample", files)
    assert Template.parse("sample", dict(reversed(files.items()))).revision == first.revision
    assert Template.parse("sample", {**files, "icon.png": LOGO}).revision != first.revision
    assert Template.parse("sample", {**files, "new.png": b""}).revision != first.revision


def test_what_an_opened_pass_brings_along_is_made_anew() -> None:
    files = samples.files_of("coupon")
    opened = {**files, "manifest.json": b"{}", "signature": b"old"}
    assert Template.parse("sample", opened).revision == Template.parse("sample", files).revision
    assert b"old" not in samples.build(opened)


@pytest.mark.parametrize(
    ("raw", "said"),
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
def test_a_folder_that_cannot_be_a_template_is_refused_by_name_and_file(raw: bytes | None, said: str) -> None:
    with pytest.raises(TemplateError, match=f"template sample: .*{said}"):
        Template.parse("sample", {} if raw is None else {"pass.json": raw})


def test_a_byte_order_mark_before_pass_json_is_no_fault() -> None:
    assert Template.parse("sample", {"pass.json": b'\xef\xbb\xbf{"logoText": "x"}'}).content == {"logoText": "x"}


@pytest.mark.parametrize("path", ["../icon.png", "/etc/icon.png", "en.lproj/../../x", "a//b", "./icon.png", "a\\b.png"])
def test_a_path_that_leads_out_of_the_folder_is_refused(path: str) -> None:
    with pytest.raises(TemplateError, match="is not a path within the folder"):
        Template.parse("sample", {**samples.files_of("coupon"), path: b""})


def test_only_a_personalized_pass_goes_without_what_asks_for_personalization() -> None:
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


def test_a_template_that_asks_for_nothing_has_no_personalization() -> None:
    assert Template.parse("sample", samples.files_of("storeCard")).personalization is None

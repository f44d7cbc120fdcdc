"""Tests of the page of a pass: its content, its language, and that no text of a pass becomes markup."""

import time

import pytest
from hypothesis import given

from chalicelib.preview import OpenedPassError, page
from tests.support import samples
from tests.support.pages import HOSTILE, Reading


def preview(style: str = "generic", language: str = "en", **changes: object) -> Reading:
    return Reading(page(samples.build(samples.files_of(style, **changes)), language=language))


@pytest.mark.parametrize("style", samples.STYLES)
def test_page_of_every_style_shows_all_fields_images_and_the_barcode(style: str) -> None:
    shown = preview(style)
    text = "".join(shown.texts)
    groups = samples.STYLES[style][style]
    for group in (members for members in groups.values() if isinstance(members, list)):
        for member in group:
            if member["key"] == "expires" and style == "posterGeneric":
                continue  # a secondary field, which phones do not show on this style
            assert member["label"] in text
            if isinstance(member["value"], str) and "dateStyle" not in member and "attributedValue" not in member:
                assert all(word in text for word in member["value"].split())
    images = [value for name, value in shown.attributes if name == "src"]
    assert len(images) == len(samples.IMAGES[style])
    assert shown.tags.count("figure") == 1


def test_page_of_a_void_pass_is_marked() -> None:
    assert "void" in str(
        Reading(page(samples.build(samples.files_of("coupon"), voided=True), language="en")).attributes
    )


@given(text=HOSTILE, language=HOSTILE)
def test_text_of_a_pass_never_becomes_markup(text: str, language: str) -> None:
    def tags(value: str) -> list[str]:
        fields = [{"key": "a", "label": value, "value": value, "textAlignment": value}]
        groups = {"primaryFields": fields, "headerFields": fields, "backFields": fields}
        top = {"description": value, "organizationName": value, "logoText": "x" + value, "backgroundColor": value}
        barcode = {"format": "PKBarcodeFormatQR", "message": "x", "altText": "x" + value}
        return preview(language=language, generic=groups, barcodes=[barcode], **top).tags

    assert tags(text) == tags("harmless")


@pytest.mark.parametrize("scheme", ["javascript:alert(1)", "data:text/html,x", " javascript:x", "JaVaScRiPt:x"])
def test_link_with_another_scheme_is_shown_as_text(scheme: str) -> None:
    value = {"key": "a", "value": "x", "attributedValue": f"<a href='{scheme}' onclick='x()'>go</a><b>bold</b>"}
    shown = preview(generic={"backFields": [value]})
    assert "a" not in shown.tags
    assert "b" not in shown.tags
    assert "gobold" in "".join(shown.texts)


@pytest.mark.parametrize(
    "part",
    [
        *(
            "<",
            "<a",
            "<a href=",
            '<a href="',
            "<a href=' <b>",
            "<!--",
            "<![CDATA[",
            "&#",
            "&#9",
            "<a x=1 ",
            "<a href=x>y",
        )
    ],
)
def test_attributed_text_takes_linear_time(part: str) -> None:
    """An item may have 400 KB. Quadratic time would be minutes, in a function with a timeout of ten seconds."""
    value = {"key": "a", "value": "x", "attributedValue": part * (400_000 // len(part))}
    started = time.process_time()
    shown = page(samples.build(samples.files_of("generic", generic={"backFields": [value]})), language="en")
    assert time.process_time() - started < 5
    assert len(shown) < 2_500_000


@pytest.mark.parametrize(
    "reference", ["&#" + "9" * 5000 + ";", "&#x" + "f" * 5000 + ";", "&#0;", "&#1114112;", "&nothing;"]
)
def test_invalid_character_reference_raises_nothing(reference: str) -> None:
    value = {
        "key": "a",
        "value": "x",
        "attributedValue": f"before {reference}<a href='https://a.example/{reference}'>b</a>",
    }
    assert "before" in "".join(preview(generic={"backFields": [value]}).texts)


def test_attributed_text_is_shown_as_in_wallet() -> None:
    text = "<!-- c -->1 < 2 &amp; <b>L&ouml;k</b><br/><A HREF=https://a.example/?x=1&amp;y=2>there</A> <a>none</a>"
    value = {"key": "a", "value": "x", "attributedValue": text}
    shown = preview(generic={"backFields": [value]})
    assert "1 < 2 & Lök\nthere none" in "".join(shown.texts)
    assert ("href", "https://a.example/?x=1&y=2") in shown.attributes


def test_policy_of_the_page_allows_only_its_own_script_and_style() -> None:
    policy = next(value for name, value in preview().attributes if value.startswith("default-src"))
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in policy


@pytest.mark.parametrize("raw", [b"", b"PK\3\4 no zip", samples.build({"pass.json": b"{}"})[:-30]])
def test_archive_that_is_not_a_pass_is_refused(raw: bytes) -> None:
    with pytest.raises(OpenedPassError):
        page(raw, language="en")

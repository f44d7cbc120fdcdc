"""The picture of a pass: what stands on it, in whose language, and that nothing in a pass becomes markup."""

import re
import time
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.preview import OpenedPassError, link_page, notice_page, page
from chalicelib.preview.barcodes import BarcodePicture, barcode_picture, qr_code
from chalicelib.preview.opened import OpenedPass
from tests.support import samples

SCALE = 4
LINK = "https://abc123.execute-api.eu-central-1.amazonaws.com/api/p/" + "Ab1-_" * 40


class Reading(HTMLParser):
    """A page's tags with their attributes, and its texts, as a browser sees them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def picture(style: str = "generic", language: str = "en", **changes: object) -> Reading:
    return Reading(page(samples.build(samples.files_of(style, **changes)), language=language))


@pytest.mark.parametrize("style", samples.STYLES)
def test_every_style_shows_all_of_its_fields_its_images_and_its_barcode(style: str) -> None:
    shown = picture(style)
    text = "".join(shown.texts)
    groups = samples.STYLES[style][style]
    for group in (members for members in groups.values() if isinstance(members, list)):
        for member in group:
            assert member["label"] in text
            if isinstance(member["value"], str) and "dateStyle" not in member and "attributedValue" not in member:
                assert all(word in text for word in member["value"].split())
    images = [value for name, value in shown.attributes if name == "src"]
    assert len(images) == len(samples.IMAGES[style])
    assert shown.tags.count("figure") == 1


def drawn(barcode: BarcodePicture) -> zxingcpp.Barcode | None:
    """What a scanner reads: the path painted into pixels."""
    width, height = round(barcode.width * SCALE), round(barcode.height * SCALE)
    pixels = bytearray(b"\xff" * (width * height))
    for x, y, across, down in re.findall(r"M([\d.]+) ([\d.]+)h([\d.]+)v([\d.]+)h-[\d.]+z", barcode.path):
        left, top = round(float(x) * SCALE), round(float(y) * SCALE)
        right, bottom = left + round(float(across) * SCALE), top + round(float(down) * SCALE)
        for row in range(top, bottom):
            pixels[row * width + left : row * width + right] = bytes(right - left)
    return zxingcpp.read_barcode(memoryview(pixels).cast("B", (height, width)))


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("QR", "M1LOVELACE/ADA ünï"),
        ("PDF417", "M1LOVELACE/ADA"),
        ("Aztec", "M1LOVELACE/ADA ünï"),
        ("Code128", "PW-104 x"),
        ("EAN13", "4006381333931"),
        ("Code39", "PW 104"),
        ("Codabar", "A12345B"),
    ],
)
def test_a_scanner_reads_the_message_from_the_drawn_barcode(form: str, message: str) -> None:
    barcode = barcode_picture({"barcodes": [{"format": f"PKBarcodeFormat{form}", "message": message}]})
    assert barcode is not None
    read = drawn(barcode)
    assert read is not None
    assert bytes(read.bytes).decode() == message


def test_a_barcode_that_cannot_encode_its_message_gives_way_to_the_next() -> None:
    barcodes = [
        {"format": "PKBarcodeFormatEAN13", "message": "no digits"},
        {"format": "PKBarcodeFormatQR", "message": "PW"},
    ]
    barcode = barcode_picture({"barcodes": barcodes})
    assert barcode is not None
    assert barcode.path
    assert barcode.square


def test_texts_and_images_are_those_of_the_persons_language() -> None:
    english, german = samples.png(50, 50), samples.png(50, 50, seed=1)
    files = {
        **samples.files_of("coupon", logoText="greeting"),
        "logo@3x.png": english,
        "de.lproj/logo@3x.png": german,
        "de.lproj/pass.strings": '"greeting" = "Grüße";'.encode("utf-16"),
        "en.lproj/pass.strings": b'"greeting" = "Greetings";',
    }
    pkpass = samples.build(files)
    for language, logo, text in (
        ("de-AT", german, "Grüße"),
        ("en", english, "Greetings"),
        ("fr", english, "Greetings"),
    ):
        opened = OpenedPass.read(pkpass, language=language)
        assert opened.images["logo"] == logo
        assert text in Reading(page(pkpass, language=language)).texts


def test_a_void_pass_says_so() -> None:
    assert "void" in str(
        Reading(page(samples.build(samples.files_of("coupon"), voided=True), language="en")).attributes
    )


HOSTILE = st.text(alphabet=st.sampled_from("<>\"'&/=;:{}()\\a\n\0-!ö")) | st.sampled_from(
    [
        "</style><script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "javascript:alert(1)",
        "{{ 7*7 }}",
        "]]>-->",
    ]
)


@settings(max_examples=60)
@given(text=HOSTILE, language=HOSTILE)
def test_no_text_of_a_pass_becomes_markup(text: str, language: str) -> None:
    def tags(value: str) -> list[str]:
        fields = [{"key": "a", "label": value, "value": value, "textAlignment": value}]
        groups = {"primaryFields": fields, "headerFields": fields, "backFields": fields}
        top = {"description": value, "organizationName": value, "logoText": "x" + value, "backgroundColor": value}
        barcode = {"format": "PKBarcodeFormatQR", "message": "x", "altText": "x" + value}
        return picture(language=language, generic=groups, barcodes=[barcode], **top).tags

    assert tags(text) == tags("harmless")


@pytest.mark.parametrize("scheme", ["javascript:alert(1)", "data:text/html,x", " javascript:x", "JaVaScRiPt:x"])
def test_a_link_of_a_pass_leads_nowhere_but_to_an_address(scheme: str) -> None:
    value = {"key": "a", "value": "x", "attributedValue": f"<a href='{scheme}' onclick='x()'>go</a><b>bold</b>"}
    shown = picture(generic={"backFields": [value]})
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
def test_the_time_of_an_attributed_text_grows_with_its_length_and_no_faster(part: str) -> None:
    """An item takes 400 KB. Quadratic, that is minutes of a function that may run for ten seconds."""
    value = {"key": "a", "value": "x", "attributedValue": part * (400_000 // len(part))}
    started = time.process_time()
    shown = page(samples.build(samples.files_of("generic", generic={"backFields": [value]})), language="en")
    assert time.process_time() - started < 5
    assert len(shown) < 2_500_000


@pytest.mark.parametrize(
    "reference", ["&#" + "9" * 5000 + ";", "&#x" + "f" * 5000 + ";", "&#0;", "&#1114112;", "&nothing;"]
)
def test_a_character_reference_that_is_none_never_does_harm(reference: str) -> None:
    value = {
        "key": "a",
        "value": "x",
        "attributedValue": f"before {reference}<a href='https://a.example/{reference}'>b</a>",
    }
    assert "before" in "".join(picture(generic={"backFields": [value]}).texts)


def test_an_attributed_text_is_shown_as_wallet_shows_it() -> None:
    text = "<!-- c -->1 < 2 &amp; <b>L&ouml;k</b><br/><A HREF=https://a.example/?x=1&amp;y=2>there</A> <a>none</a>"
    value = {"key": "a", "value": "x", "attributedValue": text}
    shown = picture(generic={"backFields": [value]})
    assert "1 < 2 & Lök\nthere none" in "".join(shown.texts)
    assert ("href", "https://a.example/?x=1&y=2") in shown.attributes


def test_the_page_forbids_itself_every_script_and_source_but_its_own() -> None:
    policy = next(value for name, value in picture().attributes if value.startswith("default-src"))
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in policy


@pytest.mark.parametrize("raw", [b"", b"PK\3\4 no zip", samples.build({"pass.json": b"{}"})[:-30]])
def test_what_is_no_pass_is_refused(raw: bytes) -> None:
    with pytest.raises(OpenedPassError):
        page(raw, language="en")


def handed_out(language: str = "en", **changes: object) -> tuple[Reading, str]:
    """What the page of a download link shows, and its policy."""
    pkpass = samples.build(samples.files_of("generic", **changes))
    page_ = link_page(pkpass, language=language, link=LINK, expires_at=datetime(2026, 12, 2, 16, 20, tzinfo=UTC))
    return Reading(page_.html), page_.policy


def test_the_page_of_a_link_shows_the_pass_with_a_button_and_says_until_when() -> None:
    shown, _ = handed_out()
    text = " ".join(" ".join(shown.texts).split())
    assert "Grace Hopper" in text
    assert "Add to Apple Wallet" in text
    assert "until 2026-12-02 16:20 UTC" in text
    assert ("href", "?download=1") in shown.attributes


def test_a_phone_reads_the_link_from_the_pages_qr_code() -> None:
    read = drawn(qr_code(LINK))
    assert read is not None
    assert read.text == LINK
    shown, _ = handed_out()
    assert ("d", qr_code(LINK).path) in shown.attributes


@settings(max_examples=20)
@given(text=HOSTILE, language=HOSTILE)
def test_no_text_of_a_pass_becomes_markup_of_the_page_that_hands_it_out(text: str, language: str) -> None:
    def tags(value: str) -> list[str]:
        fields = [{"key": "a", "label": value, "value": value}]
        top = {"description": value, "organizationName": value}
        return handed_out(language, generic={"primaryFields": fields}, **top)[0].tags

    assert tags(text) == tags("harmless")


def test_the_page_of_a_link_loads_nothing_and_runs_nothing_but_its_own() -> None:
    """The address is a secret, which any request to another site could tell it."""
    shown, policy = handed_out()
    assert policy in [value for _, value in shown.attributes]
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in policy
    loaded = [value for name, value in shown.attributes if name in ("src", "srcset", "action", "data", "poster")]
    assert {value.partition(",")[0] for value in loaded} == {"data:image/png;base64"}
    assert not {"link", "iframe", "form", "object", "base"} & set(shown.tags)
    assert ("rel", "noopener noreferrer nofollow") in shown.attributes


def test_a_notice_is_text() -> None:
    shown = notice_page("<b>", "<script>")
    assert Reading(shown.html).tags == ["html", "head", *["meta"] * 4, "title", "style", "body", "main", "h1", "p"]
    assert "script-src" not in shown.policy

"""Tests of cards in a real browser: sizes, shrinking, languages, barcodes, and hostile texts."""

import io
import json
from typing import Any

import numpy as np
import png
import pytest
import zxingcpp
from playwright.sync_api import Page

from chalicelib.preview import OpenedPass
from infra.operate.templates.starting_points import STARTING_POINTS
from tests.browser.pictures import card_at, card_of, picture_of, show
from tests.support import samples
from tests.support.browser import DESKTOP, OpenPage, keep

LONG = "a name that is much longer than its place on the card, so that it shrinks before it is cut"
EVE = "2026-12-24T18:30:00-08:00"
BERLIN = "Europe/Berlin"
RELATIVE = {"dateStyle": "PKDateStyleShort", "isRelative": True}
HOSTILE = "</style></script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>\"'{{7*7}}"
EVERY = pytest.mark.parametrize("name", STARTING_POINTS)


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    return open_page(DESKTOP)


def box(page: Page, selector: str) -> dict[str, float]:
    found: dict[str, float] = page.locator(selector).first.evaluate(
        "e => { const b = e.getBoundingClientRect(); return {x: b.x, y: b.y, width: b.width, height: b.height} }"
    )
    return found


def opened(content: dict[str, Any], files: dict[str, bytes] | None = None, language: str = "en") -> OpenedPass:
    return OpenedPass.of(content, files or {}, language=language)


def hostile(content: Any, text: str) -> Any:  # noqa: ANN401 - any JSON
    """Replace all texts of a pass.json except those that select how it is drawn."""
    kept = ("format", "key", "transitType", "dateStyle", "timeStyle", "eventType", "expirationDate")
    if isinstance(content, dict):
        return {name: member if name in kept else hostile(member, text) for name, member in content.items()}
    if isinstance(content, list):
        return [member if str(member) in STARTING_POINTS else hostile(member, text) for member in content]
    return text if isinstance(content, str) else content


@EVERY
def test_front_has_the_same_size_whatever_it_contains(page: Page, name: str) -> None:
    files = STARTING_POINTS[name].files()
    images = {path: data for path, data in files.items() if path.endswith(".png")}
    for text in ("x", LONG, "w" * 10_000, "\n" * 500, HOSTILE):
        show(page, card_at(opened(hostile(json.loads(files["pass.json"]), text), images)))
        assert box(page, ".card") | {"x": 0, "y": 0} == {"x": 0, "y": 0, "width": 358, "height": 525}, text[:9]
        assert outside_of_card(page) == [], text[:9]
        assert page.evaluate("window.hacked") is None
        assert page.locator(".card script, .card img[onerror], .card style").count() == 0


def outside_of_card(page: Page) -> list[str]:
    """The parts of a card's front that extend beyond it."""
    found: list[str] = page.evaluate(
        """() => { const card = document.querySelector(".card").getBoundingClientRect();
        return [...document.querySelectorAll(".card :is(dt, dd, p, figure)")].filter(e => {
          const b = e.getBoundingClientRect();
          return b.width && (b.left < card.left - 1 || b.right > card.right + 1) })
          .map(e => e.className || e.tagName) }"""
    )
    return found


@pytest.mark.parametrize("width", [280, 320, 390, 1280])
def test_front_keeps_its_proportions_at_any_width(open_page: OpenPage, width: int) -> None:
    page = open_page({"width": width, "height": 800})
    show(page, card_of(STARTING_POINTS["coupon"].files()))
    card = box(page, ".card")
    assert card["width"] == min(358, width - 40)
    assert card["height"] / card["width"] == pytest.approx(525 / 358, rel=0.01)


def test_text_shrinks_before_it_is_cut(page: Page) -> None:
    sizes = []
    for text in ("Ada Lovelace", "Ada Lovelace and her whole family", LONG):
        show(page, card_of(STARTING_POINTS["boardingPass"].files(), fields={"passenger": text}))
        sizes.append(
            page.locator(".secondary dd").first.evaluate(
                "e => [parseFloat(getComputedStyle(e).fontSize), e.scrollWidth > e.clientWidth]"
            )
        )
    (whole, cut), (smaller, still_whole), (smallest, is_cut) = sizes
    assert (cut, still_whole, is_cut) == (False, False, True)
    assert whole > smaller >= smallest == pytest.approx(0.6 * whole, rel=0.01)


def test_header_fields_take_precedence_over_the_logo_text(page: Page) -> None:
    header = [{"key": f"h{n}", "label": "LABEL", "value": "Value 123"} for n in range(2)]
    content = {"coupon": {"headerFields": header}, "logoText": LONG}
    show(page, card_at(opened(content, {"logo.png": samples.png(50, 50)})))
    assert page.locator(".header dd").evaluate_all("all => all.every(e => e.scrollWidth <= e.clientWidth)")
    assert page.locator(".logo-text").evaluate("e => e.scrollWidth > e.clientWidth")


def test_right_to_left_language_mirrors_the_card(page: Page) -> None:
    show(page, *(card_of(samples.files_of("boardingPass"), language=language) for language in ("en", "ar")))
    logos = page.locator(".logo").evaluate_all("all => all.map(e => e.getBoundingClientRect().x)")
    headers = page.locator(".fields.header").evaluate_all("all => all.map(e => e.getBoundingClientRect().x)")
    assert logos[0] < headers[0]
    assert logos[1] > headers[1]


@pytest.mark.parametrize(
    ("member", "language", "zone", "shown"),
    [
        ({"value": EVE, "dateStyle": "PKDateStyleLong"}, "de", BERLIN, "25. Dezember 2026"),
        ({"value": EVE, "timeStyle": "PKDateStyleShort"}, "en", "America/New_York", "9:30 PM"),
        ({"value": EVE, "timeStyle": "PKDateStyleShort", "ignoresTimeZone": True}, "en", BERLIN, "6:30 PM"),
        ({"value": "2026-12-03T12:00:00Z", **RELATIVE}, "en", BERLIN, "in 2 days"),
        ({"value": "2026-12-01T09:00:00Z", **RELATIVE}, "fr", BERLIN, "il y a 3 heures"),
        ({"value": 1234.5, "currencyCode": "EUR"}, "de", BERLIN, "1.234,50 €"),
        ({"value": 1234.5, "currencyCode": "JPY"}, "ja", BERLIN, "￥1,235"),
        ({"value": 0.25, "numberStyle": "PKNumberStylePercent"}, "de", BERLIN, "25 %"),
        ({"value": 12345, "numberStyle": "PKNumberStyleScientific"}, "en", BERLIN, "1.2345E4"),
        ({"value": 42, "numberStyle": "PKNumberStyleSpellOut"}, "es", BERLIN, "cuarenta y dos"),
        ({"value": 1234567}, "de", BERLIN, "1.234.567"),
        ({"value": 5, "currencyCode": "XX1"}, "en", BERLIN, "5.00 XX1"),
    ],
)
def test_value_is_formatted_for_language_and_time_zone(
    open_page: OpenPage, member: dict[str, Any], language: str, zone: str, shown: str
) -> None:
    page = open_page(DESKTOP, timezone_id=zone)
    show(page, card_at(opened({"generic": {"primaryFields": [{"key": "a", **member}]}}, language=language)))
    text = page.locator(".primary dd").inner_text()
    assert text.replace("\u00a0", " ").replace("\u202f", " ") == shown


@pytest.mark.parametrize(
    ("form", "message", "zone"),
    [
        ("QR", "M1LOVELACE/ADA", 4),
        ("Aztec", "M1LOVELACE/ADA", 0),
        ("PDF417", "M1LOVELACE/ADA", 2),
        ("Code128", "PW-104 x", 10),
        ("EAN13", "4006381333931", 7),
        ("Code39", "PW 104", 10),
        ("Codabar", "A12345B", 10),
        ("I2of5", "123456", 10),
    ],
)
def test_scanner_reads_the_barcode_of_a_card(page: Page, form: str, message: str, zone: int) -> None:
    barcode = {"format": f"PKBarcodeFormat{form}", "message": message, "altText": "text below"}
    show(page, card_at(opened({"storeCard": {}, "barcodes": [barcode], "backgroundColor": "rgb(20, 60, 90)"})))
    width, height, rows, _ = png.Reader(file=io.BytesIO(picture_of(page))).asRGB8()
    colors = np.vstack([np.asarray(row, dtype=np.uint8) for row in rows]).reshape(height, width, 3)
    read = zxingcpp.read_barcode(np.ascontiguousarray(colors.mean(axis=2).astype(np.uint8)))
    assert read is not None
    assert read.text == message
    place, figure, svg = (box(page, selector) for selector in (".card", "figure.barcode", "figure.barcode svg"))
    assert figure["x"] + figure["width"] / 2 == pytest.approx(place["x"] + place["width"] / 2, abs=1)
    modules = page.locator("figure.barcode svg").evaluate("e => [e.viewBox.baseVal.width, e.viewBox.baseVal.height]")
    module = min(svg["width"] / modules[0], svg["height"] / modules[1])
    path = page.locator("figure.barcode path").bounding_box()
    assert path is not None
    assert path["x"] - figure["x"] >= zone * module - 0.5
    assert page.locator("figcaption").inner_text() == "text below"


def test_labels_are_legible_on_images(page: Page) -> None:
    """Texts on an image have a halo in the opposite of their color."""
    for style, selector in (("storeCard", ".banner dt"), ("eventTicket", ".auxiliary dt"), ("posterGeneric", ".title")):
        show(page, card_of(samples.files_of(style)))
        assert "rgba(0, 0, 0, 0.55)" in page.locator(selector).first.evaluate("e => getComputedStyle(e).textShadow")


def test_pass_without_images_or_style_is_drawn(page: Page) -> None:
    contents: list[dict[str, Any]] = [{}, {"eventTicket": {}}, {"posterGeneric": {}}]
    show(page, *(card_at(opened(content)) for content in contents))
    assert page.locator(".card").count() == 3
    keep(page, "cards-without-anything")


def test_texts_are_readable_without_scripts(open_page: OpenPage) -> None:
    page = open_page(DESKTOP, java_script_enabled=False)
    card = card_of(STARTING_POINTS["boardingPass"].files(), fields={"passenger": LONG})
    page.set_content(f"<style>.pass{{margin:20px}}</style>{card.front}")
    assert "18:30" in page.locator(".card").inner_text()

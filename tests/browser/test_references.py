"""Tests that a card of each style looks like its stored picture.

`python -m tests.browser.test_references` stores the pictures again; look at each before you commit it.
"""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright

from chalicelib.preview import Card
from infra.operate.templates.preview.screenshot import find_browser
from infra.operate.templates.starting_points import STARTING_POINTS
from tests.browser.pictures import MAX_BLOCKS, MAX_MEAN, REFERENCES, card_of, difference, picture_of, show, store
from tests.support import samples
from tests.support.browser import ARGUMENTS, DESKTOP, OpenPage, keep

LONG = "a name that is much longer than its place on the card, so that it shrinks before it is cut"


def starting_point(name: str, **more: Any) -> Callable[[], Card]:  # noqa: ANN401 - options of card_of
    return lambda: card_of(STARTING_POINTS[name].files(), **more)


def sample(style: str, language: str = "en", **changes: object) -> Callable[[], Card]:
    return lambda: card_of(samples.files_of(style, **changes), language=language)


CARDS: dict[str, Callable[[], Card]] = {
    **{name: starting_point(name) for name in STARTING_POINTS},
    "eventTicket-strip": starting_point("posterEventTicket", face=1),
    "boardingPass-german": starting_point("boardingPass", language="de"),
    "boardingPass-arabic": sample("boardingPass", language="ar"),
    "boardingPass-long": starting_point(
        "boardingPass",
        fields={"origin": LONG, "passenger": LONG, "gate": "B22 to B29", "flight": LONG},
        overrides={"logoText": LONG},
    ),
    "coupon-void": starting_point("coupon", voided=True),
    "storeCard-expired": starting_point("storeCard", overrides={"expirationDate": "2026-11-30T00:00:00Z"}),
    "generic-bare": sample("generic", barcodes=[], labelColor="rgb(255, 255, 255)"),
}


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    opened = open_page(DESKTOP)
    opened.set_content("<p>x")
    measure = """family => {
      const context = document.createElement("canvas").getContext("2d");
      context.font = `40px ${family}`;
      return context.measureText("illiWWW").width;
    }"""
    if opened.evaluate(measure, '"Liberation Sans", monospace') == opened.evaluate(measure, "monospace"):
        pytest.skip("the font Liberation Sans, in which the references are drawn, is not installed: fonts-liberation")
    return opened


@pytest.mark.parametrize("name", CARDS)
def test_card_looks_like_its_reference(page: Page, name: str) -> None:
    show(page, CARDS[name]())
    keep(page, f"card-{name}")
    mean, clear = difference(picture_of(page), (REFERENCES / f"{name}.png").read_bytes())
    assert mean <= MAX_MEAN, f"differs by {mean:.2f} of 255 on average; see .passwire/screenshots/card-{name}.png"
    assert clear <= MAX_BLOCKS, f"{clear:.2%} of it differs clearly; see .passwire/screenshots/card-{name}.png"


def test_a_moved_or_recolored_part_is_noticed(page: Page) -> None:
    reference = (REFERENCES / "storeCard.png").read_bytes()
    for style in (
        ".barcode { transform: translateY(-8px) }",
        ".fields.secondary dd { visibility: hidden }",
        ".card { background: #28665c }",
    ):
        show(page, CARDS["storeCard"]())
        page.add_style_tag(content=style)
        mean, clear = difference(picture_of(page), reference)
        assert mean > MAX_MEAN or clear > MAX_BLOCKS, style


def test_there_is_no_reference_without_a_card() -> None:
    assert {path.stem for path in REFERENCES.glob("*.png")} == set(CARDS)


if __name__ == "__main__":
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=ARGUMENTS)
        context = browser.new_context(viewport=DESKTOP, locale="en-US", timezone_id="Europe/Berlin")
        shown = context.new_page()
        for each, card in CARDS.items():
            show(shown, card())
            store(each, picture_of(shown))
        browser.close()

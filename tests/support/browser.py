"""A real browser for tests: an installed Chromium, and pages of the size of a desktop and a phone.

Screenshots are kept in .passwire/screenshots/, which the workflow on GitHub uploads.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, ViewportSize, sync_playwright

from infra.local.processes import PROJECT
from infra.operate.templates.preview.screenshot import BrowserMissingError, find_browser

SCREENSHOTS = PROJECT / ".passwire" / "screenshots"
DESKTOP: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
SIZES = {"desktop": DESKTOP, "phone": PHONE}
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
OpenPage = Callable[..., Page]


@contextmanager
def launched() -> Iterator[Browser]:
    """Run a browser; the test is skipped where none is installed."""
    try:
        program = find_browser()
    except BrowserMissingError as missing:
        pytest.skip(str(missing))
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield opened
        opened.close()


@contextmanager
def pages(browser: Browser) -> Iterator[OpenPage]:
    """Open pages of a size, with the options of a browser context; a page must cause no error and no warning."""
    problems: list[str] = []
    contexts = []

    def heard(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            problems.append(message.text)

    def failed(error: Error) -> None:
        problems.append(str(error))

    def opened(size: ViewportSize = DESKTOP, **options: Any) -> Page:  # noqa: ANN401 - options of Playwright
        context = browser.new_context(
            **{"viewport": size, "locale": "en-US", "timezone_id": "Europe/Berlin", **options}
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", heard)
        page.on("pageerror", failed)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not problems, problems


def keep(page: Page, name: str) -> None:
    """Keep a screenshot of the whole page as a build artifact."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)

"""Tests of the pages of download links in a real browser: accessible, usable without scripts, at any size."""

from datetime import UTC, datetime

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from chalicelib.preview.link_pages import DeviceKind, LinkPage, Notice, notice_page
from tests.support import samples
from tests.support.browser import DESKTOP, PHONE, OpenPage, keep

LINK = "https://pass.acme.com/p/" + "Ab1-_" * 10
NARROW = {"width": 320, "height": 640}
"""A window of 640 x 1280 at a zoom of 200 %; also WCAG 2.2's width for reflow (1.4.10)."""


def html_of(device: DeviceKind, language: str = "en", *, passes: int = 1) -> str:
    raw = [samples.build(samples.files_of(style)) for style in ("boardingPass", "generic", "eventTicket")[:passes]]
    return (
        LinkPage(
            passes=list(enumerate(raw, 1)),
            preferred=[language],
            device=device,
            link=LINK,
            expires_at=datetime(2026, 12, 2, 16, 20, tzinfo=UTC),
            granted=passes,
        )
        .render()
        .html
    )


def findings(page: Page) -> list[str]:
    """Return axe's serious and critical findings on the page."""
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response
    return [
        f"{violation['id']}: {node['html'][:100]}"
        for violation in found["violations"]
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("device", "language", "passes"),
    [
        (DeviceKind.MAC, "en", 1),
        (DeviceKind.MAC, "de", 3),
        (DeviceKind.ANDROID, "ar", 2),
        (DeviceKind.IPHONE_APP, "ja", 1),
        (DeviceKind.OTHER, "fr", 1),
    ],
)
def test_page_has_no_serious_accessibility_finding(
    open_page: OpenPage, device: DeviceKind, language: str, passes: int, scheme: str
) -> None:
    page = open_page(PHONE if device.is_phone else DESKTOP, color_scheme=scheme)
    page.set_content(html_of(device, language, passes=passes))
    keep(page, f"link-{device.value}-{language}-{scheme}")
    assert findings(page) == []


@pytest.mark.parametrize("notice", Notice)
def test_notice_has_no_serious_accessibility_finding(open_page: OpenPage, notice: Notice) -> None:
    page = open_page(PHONE)
    page.set_content(notice_page(notice, ["de"]).html)
    assert findings(page) == []


@pytest.mark.parametrize("device", DeviceKind)
def test_page_fits_a_narrow_window(open_page: OpenPage, device: DeviceKind) -> None:
    page = open_page(NARROW)
    page.set_content(html_of(device, "de", passes=2))
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_buttons_are_reached_by_keyboard_and_have_names(open_page: OpenPage) -> None:
    page = open_page(DESKTOP)
    page.set_content(html_of(DeviceKind.MAC, passes=2))
    for name in ("Add to Apple Wallet: Train ticket", "Add to Apple Wallet: Membership"):
        link = page.get_by_role("link", name=name)
        expect(link).to_be_visible()
        for _ in range(10):
            page.keyboard.press("Tab")
            if link.evaluate("element => element === document.activeElement"):
                break
        expect(link).to_be_focused()


def test_main_action_works_without_scripts(open_page: OpenPage) -> None:
    page = open_page(DESKTOP, java_script_enabled=False)
    page.set_content(html_of(DeviceKind.MAC))
    expect(page.get_by_role("link", name="Add to Apple Wallet")).to_have_attribute("href", "?download=1")
    expect(page.get_by_role("img", name="QR code with the address of this page")).to_be_visible()
    expect(page.get_by_text("until 2026-12-02 16:20 UTC")).to_be_visible()


def test_page_requests_nothing_from_another_host(open_page: OpenPage) -> None:
    page = open_page(DESKTOP)
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.set_content(html_of(DeviceKind.MAC, passes=3), wait_until="networkidle")
    assert [url for url in requested if not url.startswith(("data:", "about:"))] == []

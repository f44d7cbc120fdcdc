"""The page of the local run in a browser: phones that show what pipelines write, and how they behave in trouble."""

import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import boto3
import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect

from chalicelib.core.identifiers import PassId
from infra.local.page import Page as PageProcess
from infra.local.ports import Ports
from infra.local.run import LocalRun
from infra.operate.passes.links import Links
from infra.stage.stage import Stage
from tests.conftest import Pipeline
from tests.support.browser import PHONE, OpenPage, keep

PATIENCE_MS = 90_000
"""For pushes that APNs refused first, and for a machine that does other work."""
DESKTOP: ViewportSize = {"width": 1440, "height": 1000}
HOSTILE = "</dd><script>alert(1)</script><img src=x onerror=alert(1)>"
HOSTILE_TEXTS = [
    HOSTILE,
    "</span></li></ol></section><script>window.ran = 1</script>",
    '" onmouseover="window.ran=1" style="position:fixed;inset:0" x="',
    "<svg onload=window.ran=1><iframe srcdoc='<script>parent.ran=1</script>'></iframe>",
    "<a href='javascript:window.ran=1'>javascript:window.ran=1</a> https://attacker.example/x.png",
    "<div hx-get='/faults' hx-trigger='load' hx-on::load='window.ran=1'></div>",
    "{{ 7 * 7 }} {% include 'page.html' %} ${7*7}",
    "a\x00b\x1b[2J\x07\r\nevent: run\ndata: x\n\n",
    "right to left \u202e and back \u2066",
    "&lt;script&gt;window.ran=1&lt;/script&gt;",
]

expect.set_options(timeout=PATIENCE_MS)
pytestmark = pytest.mark.timeout(300)


class Story:
    """A page with a pass item and a phone of its own, which holds the pass unless it was asked not to."""

    def __init__(self, page: Page, pipeline: Pipeline, pass_id: PassId) -> None:
        self.page = page
        self.pass_id = pass_id
        self._pipeline = pipeline
        before = page.locator("[data-phone]").count()
        page.get_by_role("button", name="Add iPhone").click()
        expect(page.locator("[data-phone]")).to_have_count(before + 1)
        self.number = str(page.locator("[data-phone]").last.get_attribute("data-phone"))

    @property
    def phone(self) -> Locator:
        return self.page.locator(f"#phone-{self.number}")

    @property
    def notification(self) -> Locator:
        return self.phone.locator(".notification .message")

    @property
    def timeline(self) -> Locator:
        return self.page.locator("#timeline li", has_text=f"iPhone {self.number}")

    def press(self, name: str) -> None:
        self.phone.get_by_role("button", name=name).click()

    def turn(self, *, on: bool) -> None:
        power = self.phone.get_by_role("switch")
        power.click()
        expect(power).to_have_attribute("aria-checked", "true" if on else "false")

    def adds_the_pass(self) -> None:
        self.page.get_by_role("button", name=re.compile(f"Add to iPhone {self.number}$")).click()
        expect(self.phone.locator(".front")).to_be_visible()
        expect(self.timeline.filter(has_text="registered for updates")).to_have_count(1)

    def writes(self, **fields: object) -> None:
        """Another program changes the item."""
        self._pipeline.writes(self.pass_id.serial_number, fields={"gate": "A7", **fields})


@pytest.fixture
def pass_id(pipeline: Pipeline, serial_number: str) -> Iterator[PassId]:
    written = pipeline.writes(serial_number, fields={"gate": "A7"})
    yield written
    pipeline.deletes(written)


@pytest.fixture
def page(open_page: OpenPage, stack: LocalRun, pass_id: PassId) -> Page:
    opened = open_page(DESKTOP)
    opened.goto(f"{stack.page_url}/?pass={pass_id}")
    expect(opened.locator("#state-text")).to_have_text("Live")
    return opened


@pytest.fixture
def story(page: Page, pipeline: Pipeline, pass_id: PassId) -> Iterator[Story]:
    begun = Story(page, pipeline, pass_id)
    begun.adds_the_pass()
    yield begun
    begun.phone.get_by_role("button", name=f"Remove iPhone {begun.number}").click()
    expect(begun.phone).to_have_count(0)


def test_phone_shows_a_change_that_another_program_writes(story: Story) -> None:
    keep(story.page, "local-run-before")
    story.writes(gate="B22")
    expect(story.notification).to_have_text("Gate changed to B22")
    keep(story.page, "local-run-during")
    for step in (
        "delivers an empty push",
        "changed: ",
        "downloaded ",
        "the signature is valid",
        "shows a notification",
    ):
        expect(story.timeline.filter(has_text=step).first).to_be_attached()
    story.press("Open the pass of this notification")
    expect(story.phone.locator(".front")).to_contain_text("B22")
    keep(story.page, "local-run-after")


def test_form_changes_the_item_and_the_phone_shows_it_in_its_language(story: Story) -> None:
    story.phone.get_by_role("combobox").select_option("de")
    expect(story.phone.locator(".front")).to_contain_text("EINSTIEG")
    story.page.locator('[data-key="gate"]').fill("C3")
    story.page.get_by_role("button", name="Write item").click()
    expect(story.notification).to_have_text("Neues Gate: C3")


def test_item_that_is_being_edited_is_not_replaced(story: Story) -> None:
    gate = story.page.locator('[data-key="gate"]')
    gate.fill("TYPING")
    story.writes(gate="B22")
    expect(story.page.locator("#stale")).to_be_visible()
    assert gate.input_value() == "TYPING"
    story.page.get_by_role("button", name="Load it").click()
    expect(gate).to_have_value("B22")


def test_pushes_of_a_phone_that_is_off_wait_and_coalesce(story: Story) -> None:
    story.turn(on=False)
    story.writes(gate="B1")
    expect(story.phone.locator(".waiting")).to_contain_text("1 push waits")
    story.writes(gate="B2")
    expect(story.phone.locator(".waiting")).to_contain_text("the latest of 2")
    keep(story.page, "local-run-off")
    story.turn(on=True)
    expect(story.notification).to_have_text("Gate changed to B2")
    assert story.notification.count() == 1


def test_push_arrives_after_apns_was_down(story: Story) -> None:
    fault = story.page.locator("#fault-down")
    fault.click()
    expect(fault).to_have_attribute("aria-checked", "true")
    try:
        story.writes(gate="D4")
        expect(story.page.locator("#timeline")).to_contain_text("gate D4")
        expect(story.notification).to_have_count(0)
    finally:
        fault.click()
    expect(fault).to_have_attribute("aria-checked", "false")
    expect(story.notification).to_have_text("Gate changed to D4")


def test_phone_whose_registration_was_deleted_gets_no_push_until_it_registers_again(story: Story) -> None:
    story.press("Unregister on server")
    expect(story.phone).to_contain_text("this phone gets no pushes")
    story.writes(gate="E5")
    expect(story.page.locator("#timeline")).to_contain_text("gate E5")
    story.press("Register again")
    expect(story.notification).to_have_text("Gate changed to E5")


def test_phone_keeps_a_pass_that_was_deleted(story: Story, pipeline: Pipeline, pass_id: PassId) -> None:
    pipeline.deletes(pass_id)
    expect(story.page.locator("#item .problem")).to_contain_text("does not exist")
    story.press("Refresh")
    expect(story.phone.get_by_role("alert")).to_contain_text("got 401")
    expect(story.phone.locator(".front")).to_contain_text("A7")
    story.press("Remove pass")
    expect(story.phone).to_contain_text("No passes")


def test_pass_is_added_by_a_link_and_removed(page: Page, pipeline: Pipeline, pass_id: PassId, stack: LocalRun) -> None:
    story = Story(page, pipeline, pass_id)
    box = story.phone.get_by_placeholder("Download link")
    box.fill("https://example.com/p/abc")
    story.press("Open")
    expect(page.locator("#message")).to_contain_text("not a download link of this run")
    story.adds_the_pass()
    story.press("Remove pass")
    expect(story.timeline.filter(has_text="unregistered")).to_have_count(1)
    registrations = boto3.resource("dynamodb").Table(stack.tables["registrations"])
    query: Any = {"KeyConditionExpression": "pass_id = :id", "ExpressionAttributeValues": {":id": str(pass_id)}}
    assert registrations.query(**query)["Count"] == 0
    story.phone.get_by_role("button", name=f"Remove iPhone {story.number}").click()


def test_link_of_the_service_adds_its_pass(page: Page, pipeline: Pipeline, pass_id: PassId, stack: LocalRun) -> None:
    story = Story(page, pipeline, pass_id)
    link = Links(Stage.open(stack.stage)).make([pass_id], lifetime=timedelta(hours=1)).url
    story.phone.get_by_placeholder("Download link").fill(link)
    page.keyboard.press("Enter")
    expect(story.phone.locator(".front")).to_contain_text("A7")
    expect(story.timeline.filter(has_text="registered for updates")).to_have_count(1)
    story.writes(gate="B22")
    expect(story.notification).to_have_text("Gate changed to B22")
    story.phone.get_by_role("button", name=f"Remove iPhone {story.number}").click()


def test_hostile_content_stays_text(story: Story) -> None:
    """The page loads nothing from another host, and executes nothing that a pass or an item contains."""
    requests: list[str] = []
    story.page.on("request", lambda request: requests.append(request.url))
    story.page.on("dialog", lambda _: pytest.fail("a script of the pass ran"))
    story.writes(gate="B22", passenger=HOSTILE, flight=HOSTILE, status=HOSTILE)
    expect(story.phone.locator(".notification")).to_be_visible()
    story.press("Open the pass of this notification")
    expect(story.phone.locator(".front")).to_contain_text("<script>alert(1)</script>")
    expect(story.page.locator('[data-key="passenger"]')).to_have_value(HOSTILE)
    assert story.page.locator("img[src=x], script:not([src])").count() == 0
    origin = story.page.url.partition("/?")[0]
    assert [url for url in requests if not url.startswith((f"{origin}/", "data:"))] == []


def is_harmless(page: Page) -> bool:
    """Return True if nothing of a hostile text has become part of the page's structure."""
    selectors = "script:not([src]), iframe, img[src=x], [onmouseover], [onload], [hx-get='/faults'][hx-trigger=load]"
    links = page.locator("a[href^='javascript:' i]")
    return page.locator(selectors).count() == 0 and links.count() == 0 and page.evaluate("() => window.ran") is None


def test_what_any_device_reports_is_shown_as_text(page: Page, stack: LocalRun) -> None:
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    log = f"{stack.api_url}/v1/log"
    assert httpx.post(log, json={"logs": ["x" * 100_000]}).status_code == 413
    assert httpx.post(log, json={"logs": [*HOSTILE_TEXTS, "x" * 4000]}).status_code == 200
    lines = page.locator("#timeline li", has_text="received: ")
    for text in (
        "window.ran = 1",
        "onmouseover=",
        "{{ 7 * 7 }}",
        "a\\x00b\\x1b[2J\\x07\\r\\nevent: run",
        "\\u202e",
        "(4,000 characters)",
    ):
        expect(lines.filter(has_text=text)).to_have_count(1)
    assert is_harmless(page)
    assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
    origin = page.url.partition("/?")[0]
    assert [url for url in requests if not url.startswith((f"{origin}/", "data:"))] == []


TEXT_FIELDS = ("gate", "origin", "destination", "passenger", "seat", "flight", "group", "status", "terms")
HALF = len(HOSTILE_TEXTS) // 2


@pytest.mark.parametrize("texts", [HOSTILE_TEXTS, HOSTILE_TEXTS[HALF:] + HOSTILE_TEXTS[:HALF], ["x" * 20_000] * 10])
def test_no_value_of_a_pass_becomes_a_part_of_the_page(story: Story, texts: list[str]) -> None:
    """As value, label, link and change message, on the card, its back, the lock screen, the form and the timeline."""
    fields: dict[str, object] = dict(zip(TEXT_FIELDS, texts, strict=False))
    linked = f"<a href='javascript:window.ran=1'>{texts[0]}</a>"
    fields["status"] = {"value": texts[0], "label": texts[-1], "attributedValue": linked}
    story.writes(**fields)
    expect(story.phone.locator(".notification")).to_be_visible()
    story.press("Open the pass of this notification")
    expect(story.phone.locator(".front")).to_be_visible()
    story.press("Flip")
    expect(story.phone.locator(".back")).to_be_visible()
    expect(story.page.locator("#timeline li.write").first).to_be_visible()
    assert is_harmless(story.page)
    assert story.page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")


def test_inline_script_is_refused_by_the_policy(browser: Browser, stack: LocalRun) -> None:
    """The test would fail without a Content-Security-Policy, whatever the templates escape."""
    page = browser.new_page()
    page.goto(stack.page_url)
    page.evaluate(
        "() => { const s = document.createElement('script'); s.text = 'window.ran = 1'; document.body.append(s); }"
    )
    assert page.evaluate("() => window.ran") is None
    page.close()


def test_page_is_operated_with_the_keyboard(story: Story) -> None:
    story.phone.get_by_role("button", name="Flip").focus()
    story.page.keyboard.press("Enter")
    expect(story.phone.locator(".flipper")).to_have_class(re.compile("flipped"))
    expect(story.phone.locator(".back")).to_contain_text("Passwire Air")
    story.phone.get_by_role("switch").focus()
    story.page.keyboard.press("Space")
    expect(story.phone.get_by_role("switch")).to_have_attribute("aria-checked", "false")
    assert story.page.evaluate("() => document.activeElement.id") == f"phone-{story.number}-power"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("name", "size"), [("desktop", DESKTOP), ("phone", PHONE)])
def test_page_fits_its_window(
    open_page: OpenPage, story: Story, stack: LocalRun, name: str, size: ViewportSize, scheme: Literal["light", "dark"]
) -> None:
    other = open_page(size, color_scheme=scheme)
    other.goto(f"{stack.page_url}/?pass={story.pass_id}")
    expect(other.locator("#state-text")).to_have_text("Live")
    assert other.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
    story.writes(gate=f"{name[0]}{scheme[0]}".upper())
    expect(other.locator(f"#phone-{story.number} .notification")).to_be_visible()
    keep(other, f"local-run-{name}-{scheme}")


def test_page_that_is_open_during_a_restart_is_live_again(
    browser: Browser, stack: LocalRun, pipeline: Pipeline, pass_id: PassId, tmp_path: Path
) -> None:
    port = Ports.choose(tmp_path, aws=None, on_progress=lambda _: None).page
    description = json.loads(json.dumps(asdict(stack)))
    page = browser.new_page()
    with PageProcess.start(description, folder=tmp_path, port=port) as process:
        page.goto(f"{process.url}/?pass={pass_id}")
        expect(page.locator("#state-text")).to_have_text("Live")
        story = Story(page, pipeline, pass_id)
        story.adds_the_pass()
    expect(page.locator("#state-text")).to_have_text("Not connected: is the local run up?")
    with PageProcess.start(description, folder=tmp_path, port=port):
        expect(page.locator("#state-text")).to_have_text("Live")
        expect(story.phone.locator(".front")).to_be_visible()
        story.writes(gate="R1")
        expect(story.notification).to_have_text("Gate changed to R1")
    page.close()

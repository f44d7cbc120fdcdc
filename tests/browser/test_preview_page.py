"""Tests of `template preview` in a real browser, on a desktop and on a phone."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import httpx
import pytest
from playwright.sync_api import Page, ViewportSize, expect
from typer.testing import CliRunner

from infra.commands import app
from infra.local.processes import PROJECT
from infra.operate.templates.folder import write_folder
from infra.operate.templates.preview.screenshot import BrowserMissingError, find_browser
from infra.operate.templates.starting_points import STARTING_POINTS
from tests.browser.pictures import pixels
from tests.support.browser import DESKTOP, PHONE, SIZES, OpenPage, keep
from tests.support.command_line import COMMAND

HOSTILE = "<script>document.title='hacked'</script><img src=x onerror=\"document.title='hacked'\">"
EVERY_SIZE = pytest.mark.parametrize("size", SIZES)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "flight.pass"
    write_folder(made, STARTING_POINTS["boardingPass"].files())
    return made


def preview(folder: Path, *arguments: object) -> Path:
    output = folder.parent / "out.html"
    done = CliRunner().invoke(
        app, ["template", "preview", str(folder), "--output", str(output), "--overwrite", *map(str, arguments)]
    )
    assert done.exit_code == 0, done.output
    return output


def change(folder: Path, **keys: object) -> None:
    path = folder / "pass.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **keys}))


def fits(page: Page) -> bool:
    """Tell whether nothing of the page is outside of its width."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


@EVERY_SIZE
@pytest.mark.parametrize("name", STARTING_POINTS)
def test_page_shows_all_languages_and_faces(open_page: OpenPage, tmp_path: Path, size: str, name: str) -> None:
    folder = tmp_path / f"{name}.pass"
    write_folder(folder, STARTING_POINTS[name].files())
    page = open_page(SIZES[size])
    page.goto(preview(folder).as_uri())
    expect(page.locator(".column")).to_have_count(2)
    faces = 2 if name in ("posterGeneric", "posterEventTicket", "semanticBoardingPass") else 1
    expect(page.locator(".card")).to_have_count(2 * faces)
    expect(page.locator(".findings")).to_contain_text("No problems found")
    assert fits(page)
    keep(page, f"preview-{name}-{size}")


def test_languages_are_side_by_side_on_a_desktop_and_one_can_be_chosen(open_page: OpenPage, folder: Path) -> None:
    page = open_page(DESKTOP)
    page.goto(preview(folder).as_uri())
    tops = page.locator(".column").evaluate_all("all => all.map(e => e.getBoundingClientRect().top)")
    assert tops[0] == tops[1]
    page.goto(preview(folder, "--language", "de").as_uri())
    expect(page.locator(".column")).to_have_count(1)
    expect(page.locator(".card")).to_contain_text("PASSAGIER")


def test_several_items_are_below_each_other(open_page: OpenPage, folder: Path, tmp_path: Path) -> None:
    items = []
    for name in ("ada", "grace"):
        items.append(tmp_path / f"{name}.json")
        items[-1].write_text(json.dumps({"fields": {"passenger": name.title()}}))
    page = open_page(DESKTOP)
    page.goto(preview(folder, "--item", items[0], "--item", items[1], "--language", "en").as_uri())
    expect(page.locator(".sample > h2")).to_have_text(["ada.json", "grace.json"])
    expect(page.locator(".card").nth(1)).to_contain_text("Grace")


@EVERY_SIZE
def test_appearance_is_that_of_the_system_until_another_is_chosen(open_page: OpenPage, folder: Path, size: str) -> None:
    def background(page: Page) -> str:
        return str(page.locator(".back").first.evaluate("e => getComputedStyle(e).backgroundColor"))

    page = open_page(SIZES[size], color_scheme="dark")
    page.goto(preview(folder).as_uri())
    assert background(page) == "rgb(28, 28, 30)"
    keep(page, f"preview-dark-{size}")
    page.get_by_label("Light").check()
    assert background(page) == "rgb(255, 255, 255)"
    page = open_page(SIZES[size], color_scheme="light")
    page.goto(preview(folder, "--dark").as_uri())
    assert background(page) == "rgb(28, 28, 30)"


@EVERY_SIZE
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("gate=C9",), "Gate changed to C9"),
        (("boarding=2030-06-21T19:05:00+02:00",), "Boarding is now at 7:05 PM"),
        (("gate=C9", "seat=1A"), "Pass changed"),
        (("group=C",), None),
    ],
)
def test_lock_screen_shows_the_message_of_a_change(
    open_page: OpenPage, folder: Path, size: str, changes: tuple[str, ...], message: str | None
) -> None:
    page = open_page(SIZES[size])
    options = [option for each in changes for option in ("--change", each)]
    page.goto(preview(folder, *options, "--language", "en").as_uri())
    if message is None:
        expect(page.locator(".screen")).to_contain_text("No notification")
    else:
        shown = page.locator(".notification .message").inner_text()
        assert shown.replace("\u202f", " ") == message
        expect(page.locator(".notification .sender")).to_have_text("Your company")
        assert page.locator(".notification .icon").evaluate("e => e.naturalWidth") == 114
    keep(page, f"preview-lock-screen-{len(changes)}-{size}")


@EVERY_SIZE
def test_problems_are_listed_beside_what_can_be_drawn(open_page: OpenPage, folder: Path, size: str) -> None:
    for path in folder.glob("icon*"):
        path.unlink()
    (folder / "logo@3x.png").write_bytes(b"GIF89a")
    change(folder, backgroundColor="Black", boardingPass={})
    page = open_page(SIZES[size])
    page.goto(preview(folder).as_uri())
    listed = page.locator(".findings").inner_text()
    for part in ("icon.png", "logo@3x.png", "backgroundColor", "transitType"):
        assert part in listed
    expect(page.locator(".card")).to_have_count(2)
    assert fits(page)
    keep(page, f"preview-problems-{size}")


def test_pass_json_without_any_value_is_drawn(open_page: OpenPage, folder: Path) -> None:
    for text in ("", "{}", "[]", "nonsense"):
        (folder / "pass.json").write_text(text)
        page = open_page(PHONE)
        page.goto(preview(folder).as_uri())
        expect(page.locator(".card").first).to_be_visible()
        expect(page.locator(".findings .error").first).to_be_visible()


def test_hostile_texts_and_names_are_only_text(open_page: OpenPage, folder: Path, tmp_path: Path) -> None:
    content = json.loads((folder / "pass.json").read_text())
    for group in content["boardingPass"].values():
        for field in group if isinstance(group, list) else ():
            field |= {"label": HOSTILE, "value": HOSTILE, "changeMessage": HOSTILE + "%@", "attributedValue": HOSTILE}
            field.pop("dateStyle", None)
            field.pop("timeStyle", None)
    (folder / "pass.json").write_text(json.dumps({**content, "description": HOSTILE, "logoText": HOSTILE, HOSTILE: 1}))
    (folder / "<img src=x onerror=alert(1)>.txt").write_text("x")
    (folder / "en.lproj" / "<b>.png").write_bytes(b"")
    item = tmp_path / "<img src=x onerror=document.title=1>.json"
    item.write_text(json.dumps({"fields": {HOSTILE: "x"}}))
    page = open_page(DESKTOP)
    page.goto(preview(folder, "--item", item, "--change", f"gate={HOSTILE}").as_uri())
    assert page.title() == "flight: preview"
    expect(page.locator("script")).to_have_count(1)
    assert page.locator("img").evaluate_all("all => all.every(e => e.src.startsWith('data:image/png'))")
    expect(page.locator(".findings")).to_contain_text("<img src=x onerror=alert(1)>.txt")


def test_page_loads_nothing_from_anywhere(open_page: OpenPage, folder: Path) -> None:
    page = open_page(DESKTOP)
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url))
    page.goto(preview(folder).as_uri())
    page.wait_for_load_state("networkidle")
    assert [url for url in loaded if not url.startswith("data:")] == [preview(folder).as_uri()]


def test_png_shows_the_whole_page(folder: Path, tmp_path: Path) -> None:
    try:
        find_browser()
    except BrowserMissingError as missing:
        pytest.skip(str(missing))
    image = tmp_path / "out.png"
    preview(folder, "--png", image)
    height, width, _ = pixels(image.read_bytes()).shape
    assert width == 2 * (48 + 2 * 382 + 360)
    assert height > 2 * 700
    assert len({tuple(color) for color in pixels(image.read_bytes())[::40, ::40].reshape(-1, 3)}) > 20


@pytest.fixture
def watched(folder: Path) -> Iterator[str]:
    """`template preview --watch` of the folder: its URL."""
    command = [*COMMAND, "template", "preview", str(folder), "--watch", "--language", "en"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=PROJECT
    ) as process:
        output: IO[str] | None = process.stdout
        assert output is not None
        yield output.readline().strip()
        process.terminate()


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_watched_page_follows_each_save(watched: str, open_page: OpenPage, folder: Path, size: ViewportSize) -> None:
    page = open_page(size)
    page.goto(watched)
    expect(page.locator(".card")).to_contain_text("Passwire Air")
    change(folder, logoText="Acme Air")
    expect(page.locator(".card")).to_contain_text("Acme Air")
    whole = (folder / "pass.json").read_text()
    (folder / "pass.json").write_text(whole[:-20])
    expect(page.locator(".findings")).to_contain_text("is not JSON")
    keep(page, f"watch-broken-{size['width']}")
    (folder / "pass.json").write_text(whole)
    expect(page.locator(".findings")).to_contain_text("No problems found")
    (folder / "logo.png").unlink()
    (folder / "logo@2x.png").unlink()
    (folder / "logo@3x.png").unlink()
    expect(page.locator(".card .logo")).to_have_count(0)
    folder.rename(folder.with_name("moved.pass"))
    expect(page.locator("body")).to_contain_text("Nothing to show")
    folder.with_name("moved.pass").rename(folder)
    expect(page.locator(".card")).to_contain_text("Acme Air")
    keep(page, f"watch-{size['width']}")


def test_watched_page_is_for_this_machine_only(folder: Path, watched: str) -> None:
    assert watched.startswith("http://127.0.0.1:")
    for host in ("evil.example", "evil.example:80", "", "127.0.0.1.evil.example"):
        for path in ("", "changes?since=x"):
            assert httpx.get(watched + path, headers={"Host": host}).status_code == 400
    answer = httpx.get(watched)
    assert "connect-src 'self'" in answer.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert str(folder.parent) not in answer.text

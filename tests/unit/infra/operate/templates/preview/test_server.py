"""Tests of the server of a watched preview."""

import asyncio
import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from chalicelib.core.errors import RefusedError
from infra.operate.templates.preview.document import Document
from infra.operate.templates.preview.server import version_of, watching

URL = "http://127.0.0.1:8000"


def get(path: str, *, html: str = "<p>page", version: str = "v2", host: str | None = None) -> httpx.Response:
    """Request a path of the application, as a browser on this machine."""

    def draw(current: str) -> Document:
        if not html:
            raise RefusedError("<b>not a folder</b>")
        return Document("sample", f"{html} {current}", "default-src 'none'", (), 100)

    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(app=watching(draw, lambda: version))
        async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
            return await client.get(path, headers={"Host": host} if host is not None else {})

    return asyncio.run(request())


def test_page_is_drawn_for_the_current_version_and_not_cached() -> None:
    answer = get("/")
    assert (answer.status_code, answer.text) == (200, "<p>page v2")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"


def test_change_is_announced_at_once_to_a_page_of_an_older_version() -> None:
    answer = get("/changes?since=v1")
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert "event: changed" in answer.text


def test_folder_that_cannot_be_read_is_a_page_without_markup_of_the_message() -> None:
    answer = get("/", html="")
    assert answer.status_code == 200
    assert "&lt;b&gt;not a folder&lt;/b&gt;" in answer.text


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "", "127.0.0.1.evil.example", "[::1]"])
def test_request_for_another_host_is_refused(host: str) -> None:
    for path in ("/", "/changes?since=v1"):
        assert get(path, host=host).status_code == 400


@pytest.mark.parametrize("path", ["/pass.json", "/changes/x", "/en.lproj/pass.strings"])
def test_nothing_else_is_served(path: str) -> None:
    assert get(path).status_code == 404


def test_version_changes_with_every_kind_of_change(tmp_path: Path) -> None:
    folder, item = tmp_path / "a.pass", tmp_path / "item.json"
    (folder / "en.lproj").mkdir(parents=True)
    item.write_text("1")
    seen = {version_of([folder, item])}

    def changed() -> bool:
        before = len(seen)
        seen.add(version_of([folder, item]))
        return len(seen) == before + 1

    assert not changed()
    (folder / "en.lproj" / "pass.strings").write_text("")
    assert changed()
    os.utime(item, ns=(1, 1))
    assert changed()
    (folder / "en.lproj" / "pass.strings").rename(folder / "pass.strings")
    assert changed()
    item.unlink()
    assert changed()


def test_folder_can_be_moved_while_it_is_read(tmp_path: Path) -> None:
    folder, moved = tmp_path / "a.pass", tmp_path / "b.pass"
    folder.mkdir()
    for number in range(20):
        (folder / f"{number}.png").write_bytes(b"")
    seen: set[str] = set()

    def read_often() -> None:
        """Until the folder was seen in its place and away."""
        for number in itertools.count():
            seen.add(version_of([folder]))
            if number > 500 and len(seen) > 1:
                return

    with ThreadPoolExecutor() as pool:
        reading = pool.submit(read_often)
        while not reading.done():
            folder.rename(moved)
            moved.rename(folder)
        reading.result()

"""Tests of finding and running Chromium; tests/browser makes real images."""

from pathlib import Path

import pytest

from infra.operate.templates.preview.screenshot import BrowserError, BrowserMissingError, find_browser, make_png


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is alone on PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_missing_browser_is_one_clear_sentence(folder: Path) -> None:
    with pytest.raises(
        BrowserMissingError, match=r"^no Chromium, .* was found, .*; install one, or preview without --png"
    ):
        find_browser(["chromium", str(folder / "chrome")])


def test_first_installed_browser_is_used(folder: Path) -> None:
    for name in ("google-chrome", "chromium-browser"):
        program(folder, name, "exit 0")
    assert find_browser() == str(folder / "chromium-browser")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo 'no display' >&2; exit 3", "failed with exit code 3: no display"),
        ("echo '<html>'", "did not show the page"),
        ("echo '<html data-height=\"10\">'", "made no image"),
    ],
)
def test_failure_of_the_browser_writes_no_file(folder: Path, script: str, message: str) -> None:
    program(folder, "chromium", script)
    target = folder / "out.png"
    with pytest.raises(BrowserError, match=message):
        make_png("<p>", target, width=100)
    assert not target.exists()
    assert sorted(path.name for path in folder.iterdir()) == ["chromium"]

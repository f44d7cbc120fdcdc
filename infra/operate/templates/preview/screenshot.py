"""Makes a PNG of a page with a Chromium that is installed on this machine."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from chalicelib.core.errors import RefusedError

PROGRAMS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "microsoft-edge",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
)
"""Names on PATH, and places of applications on a Mac."""
TIMEOUT_SECONDS = 60
MAX_HEIGHT = 16_000
"""Chromium draws no higher image."""
_SCALE = 2
_OPTIONS = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    f"--force-device-scale-factor={_SCALE}",
)


class BrowserMissingError(RefusedError):
    """No Chromium is installed."""


class BrowserError(RefusedError):
    """Chromium did not make an image."""


def find_browser(programs: Iterable[str] = PROGRAMS) -> str:
    """Return the path of an installed Chromium.

    Raises:
        BrowserMissingError: no Chromium is installed.
    """
    found = next(filter(None, map(shutil.which, programs)), None)
    if found is None:
        raise BrowserMissingError(
            "no Chromium, Google Chrome or Microsoft Edge was found, which make the PNG; install one, or preview "
            "without --png and open the page in any browser"
        )
    return found


def make_png(html: str, target: Path, *, width: int) -> None:
    """Write a PNG of a whole page, completely or not at all.

    Args:
        html: the page.
        target: the file to write.
        width: width of the page in CSS pixels; the image has twice as many.

    Raises:
        BrowserMissingError: no Chromium is installed.
        BrowserError: Chromium failed.
    """
    browser = find_browser()
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="passwire-", dir=target.parent) as work:
        page, image = Path(work) / "page.html", Path(work) / "page.png"
        page.write_text(html, encoding="utf-8")
        options = [browser, *_OPTIONS, f"--user-data-dir={work}/profile"]
        if os.geteuid() == 0:
            options.append("--no-sandbox")  # Chromium requires it of root; the page's policy allows no other code
        measured = _run([*options, f"--window-size={width},1000", "--dump-dom", page.as_uri()])
        height = re.search(r'data-height="(\d+)"', measured)
        if height is None:
            raise BrowserError(
                f"{browser} did not show the page; preview without --png, and open the page in a browser"
            )
        size = f"{width},{min(int(height[1]), MAX_HEIGHT)}"
        _run([*options, f"--window-size={size}", f"--screenshot={image}", page.as_uri()])
        if not image.exists():
            raise BrowserError(f"{browser} made no image; preview without --png, and open the page in a browser")
        image.replace(target)


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_SECONDS, check=True)
    except subprocess.TimeoutExpired:
        raise BrowserError(f"{command[0]} did not finish within {TIMEOUT_SECONDS} s; try again") from None
    except subprocess.CalledProcessError as error:
        last = (error.stderr.decode(errors="replace").strip().splitlines() or [""])[-1]
        raise BrowserError(f"{command[0]} failed with exit code {error.returncode}: {last}") from None
    return done.stdout.decode(errors="replace")

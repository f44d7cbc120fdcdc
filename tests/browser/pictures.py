"""Cards in a browser: their page, their pictures, and how much two pictures differ."""

import io
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import oxipng
import png
from playwright.sync_api import Page

from chalicelib.passes.format.images import PASS_JSON
from chalicelib.preview import Card, OpenedPass, cards_of, script, stylesheet
from infra.operate.passes.images import ItemImages
from infra.operate.templates.preview.sample import Design, fill

REFERENCES = Path(__file__).parent / "references"
NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
BLOCK = 4
"""Side of the blocks whose average colors are compared, so that edges of letters do not count."""
MAX_MEAN, MAX_BLOCKS = 1.0, 0.005
"""Tolerated mean difference of a channel (0 to 255), and tolerated part of blocks that differ clearly."""
CLEAR = 40
FONT = '.card { font-family: "Liberation Sans", Arimo, Arial, sans-serif }'
Picture = np.ndarray[Any, np.dtype[np.uint8]]


def card_of(files: Mapping[str, bytes], *, language: str = "en", face: int = 0, **attributes: object) -> Card:
    """Draw the files of a template, filled with an item.

    Args:
        files: contents by path.
        language: the viewer's language.
        face: 0 for that of the newest phones.
        attributes: of the item.
    """
    design = Design("sample", json.loads(files[PASS_JSON]), {p: d for p, d in files.items() if p != PASS_JSON}, ())
    sample = fill(design, "", attributes, ItemImages(Path(), None))
    assert sample.findings == [], sample.findings
    return card_at(sample.opened(language), face=face)


def card_at(opened: OpenedPass, *, face: int = 0) -> Card:
    """Draw a pass at the time of the tests."""
    return cards_of(opened, at=NOW)[face]


def show(page: Page, *cards: Card) -> None:
    """Show cards on an empty page, in a font whose size is known."""
    styles = stylesheet() + "".join(card.css for card in cards)
    fronts = "".join(card.front for card in cards)
    page.clock.set_fixed_time(NOW)
    page.set_content(
        f"<!DOCTYPE html><meta charset=utf-8><style>{styles} {FONT} body {{ margin: 20px; background: #fff }} "
        f".pass {{ margin: 0 0 20px }}</style><main>{fronts}</main><script>{script()}</script>"
    )


def picture_of(page: Page, index: int = 0) -> bytes:
    """Return a PNG of a card on the page."""
    return page.locator(".pass").nth(index).screenshot()


def pixels(image: bytes) -> Picture:
    """Return the pixels of a PNG: rows, columns, red, green and blue."""
    width, height, rows, _ = png.Reader(file=io.BytesIO(image)).asRGB8()
    return np.vstack([np.asarray(row, dtype=np.uint8) for row in rows]).reshape(height, width, 3)


def difference(one: bytes, other: bytes) -> tuple[float, float]:
    """Return the mean difference of the channels of two pictures, and the part of their blocks that differ clearly."""
    first, second = blocks(pixels(one)), blocks(pixels(other))
    if first.shape != second.shape:
        return 255.0, 1.0
    each = np.abs(first - second).max(axis=2)
    return float(each.mean()), float((each > CLEAR).mean())


def blocks(picture: Picture) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the average colors of the blocks of a picture; an incomplete block at the edge is left out."""
    height, width = (side // BLOCK * BLOCK for side in picture.shape[:2])
    split = picture[:height, :width].reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK, 3)
    averages: np.ndarray[Any, np.dtype[np.float64]] = split.mean(axis=(1, 3))
    return averages


def store(name: str, image: bytes) -> None:
    """Store a picture as a reference, as small as it can be without loss."""
    REFERENCES.mkdir(exist_ok=True)
    (REFERENCES / f"{name}.png").write_bytes(
        oxipng.optimize_from_memory(image, level=6, strip=oxipng.StripChunks.all())
    )

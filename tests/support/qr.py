"""Reads QR codes from the lines of a terminal."""

from collections.abc import Iterable

import zxingcpp

SCALE = 4
"""Pixels per module."""
MODULES = {" ": (0, 0), "▀": (1, 0), "▄": (0, 1), "█": (1, 1)}
"""By character: whether its upper and its lower module is dark."""


def read_qr(lines: Iterable[str], *, dark: bool) -> zxingcpp.Barcode | None:
    """Read a QR code from lines that are shown in one color.

    Args:
        lines: two modules per character.
        dark: True if the terminal shows light text on a dark background.
    """
    rows = [[MODULES[character][half] for character in line] for line in lines for half in (0, 1)]
    width, height = len(rows[0]) * SCALE, len(rows) * SCALE
    paint = (0, 255) if dark else (255, 0)
    pixels = bytes(paint[rows[y // SCALE][x // SCALE]] for y in range(height) for x in range(width))
    return zxingcpp.read_barcode(memoryview(pixels).cast("B", (height, width)))

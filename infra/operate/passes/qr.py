"""A QR code in a terminal: encoded by Zint, two modules to a character, with black and white of its own.

A terminal's own colours may be light on dark, or anything; scanners want dark on light.
"""

from rich.text import Text
from zint import Symbol, Symbology

QUIET_ZONE = 4
"""Modules of white around the code, by which a scanner finds it (ISO/IEC 18004)."""
LOW_CORRECTION = 1
"""A screen has no dirt, and a smaller code fits on it."""
_DARK, _LIGHT = "#000000", "#ffffff"
_GLYPHS = {
    (False, False): (" ", f"{_DARK} on {_LIGHT}"),
    (True, False): ("▀", f"{_DARK} on {_LIGHT}"),
    (False, True): ("▄", f"{_DARK} on {_LIGHT}"),
    (True, True): ("█", f"{_DARK} on {_DARK}"),
}
"""By whether the upper and the lower module are dark. Without colours the characters alone still say it."""


def terminal_qr(message: str) -> list[Text]:
    """The lines to print, all of the same width."""
    modules = _modules(message)
    width = len(modules[0])
    if len(modules) % 2:
        modules.append([False] * width)
    lines = []
    for upper, lower in zip(modules[::2], modules[1::2], strict=True):
        line = Text(no_wrap=True)
        for pair in zip(upper, lower, strict=True):
            line.append(*_GLYPHS[pair])
        lines.append(line)
    return lines


def _modules(message: str) -> list[list[bool]]:
    symbol = Symbol()
    symbol.symbology = Symbology.QRCODE
    symbol.option_1 = LOW_CORRECTION
    symbol.encode(message.encode())
    size, bits = symbol.width, symbol.encoded_data
    side = [False] * QUIET_ZONE
    rows = [
        [*side, *(bool(bits[row, column // 8] >> (column % 8) & 1) for column in range(size)), *side]
        for row in range(symbol.rows)
    ]
    blank = [[False] * (size + 2 * QUIET_ZONE) for _ in range(QUIET_ZONE)]
    return [*blank, *rows, *blank]

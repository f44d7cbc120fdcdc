"""Renders a QR code for the terminal with half-block characters, black on white whatever the terminal's colors are.

segno encodes the message. Its own compact terminal output is not used, because it is printed in the terminal's colors:
on a light background it is inverted, and scanners expect dark modules on a light background.
"""

import segno
from rich.text import Text

QUIET_ZONE = 4
"""Width of the white border in modules, which scanners need to find the code (ISO/IEC 18004)."""
_DARK, _LIGHT = "#000000", "#ffffff"
_GLYPHS = {
    (False, False): (" ", f"{_DARK} on {_LIGHT}"),
    (True, False): ("▀", f"{_DARK} on {_LIGHT}"),
    (False, True): ("▄", f"{_DARK} on {_LIGHT}"),
    (True, True): ("█", f"{_DARK} on {_DARK}"),
}
"""Character and style by (upper module is dark, lower module is dark). They also distinguish modules without colors."""


def terminal_qr(message: str) -> list[Text]:
    """Return the lines of a QR code, all of the same width, two modules per character.

    The code has the lowest error correction: a screen has no dirt, and a smaller code fits on it.
    """
    code = segno.make_qr(message, error="l", boost_error=False)
    modules = [list(map(bool, row)) for row in code.matrix_iter(border=QUIET_ZONE)]
    if len(modules) % 2:
        modules.append([False] * len(modules[0]))
    lines = []
    for upper, lower in zip(modules[::2], modules[1::2], strict=True):
        line = Text(no_wrap=True)
        for pair in zip(upper, lower, strict=True):
            line.append(*_GLYPHS[pair])
        lines.append(line)
    return lines

"""Colors of a pass, in the grammar of Apple's tool.

apple/pass-builder ignores outer white space and reads `#RRGGBB`, `#RGB` and `rgb(r, g, b)`. The latter may be in any
case and contain spaces, and has exactly three whole numbers without a range. For any other text, pass-builder and
phones refuse the whole pass. `rgba(...)` is an exception: pass-builder refuses it, but phones accept passes of airlines
that contain it.
"""

import re

EXPECTED = "must be a color such as rgb(18, 52, 86), each part 0 to 255"
PATTERN = (
    r"^\s*(#[0-9A-Fa-f]{3}([0-9A-Fa-f]{3})?"
    r"|[rR][gG][bB]\(\s*[+-]?\d{1,9}\s*,\s*[+-]?\d{1,9}\s*,\s*[+-]?\d{1,9}\s*\)"
    r"|[rR][gG][bB][aA]\(\s*\d{1,9}\s*,\s*\d{1,9}\s*,\s*\d{1,9}\s*,\s*(\d{1,9}(\.\d{0,9})?|\.\d{1,9})%?\s*\))\s*$"
)
"""Regular expression of all accepted texts, for JSON Schema."""
_RGB = r"rgb(?P<alpha>a?)\(\s*([+-]?\d{1,9})\s*,\s*([+-]?\d{1,9})\s*,\s*([+-]?\d{1,9})\s*(?P<rest>,[^)]*)?\)"
_HEX = r"#(?:[0-9A-Fa-f]{3}|[0-9A-Fa-f]{6})"
_ALPHA = r",\s*(?:\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})%?\s*"
_MAX = 255
_SHORT = 4
RGB = tuple[int, int, int]


def parse_color(text: str) -> RGB | None:
    """Return red, green and blue, each from 0 to 255; None if Apple's tool and phones do not read the text as a color.

    Parts out of range become its nearest end; an alpha value is ignored.
    """
    text = text.strip()
    if re.fullmatch(_HEX, text):
        digits = text[1:] if len(text) > _SHORT else "".join(digit * 2 for digit in text[1:])
        return int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:], 16)
    found = re.fullmatch(_RGB, text, re.IGNORECASE | re.ASCII)
    if found is None:
        return None
    rest = found["rest"] or ""
    if bool(rest) != bool(found["alpha"]) or (rest and re.fullmatch(_ALPHA, rest, re.ASCII) is None):
        return None
    red, green, blue = (min(max(int(found[part]), 0), _MAX) for part in (2, 3, 4))
    return red, green, blue


def remark(text: str) -> str:
    """Return a remark about a color that is not written in Apple's documented form; empty without a remark."""
    color = parse_color(text)
    stripped = text.strip()
    if color is None:
        return ""
    written = f"write rgb({color[0]}, {color[1]}, {color[2]})"
    if stripped.startswith("#"):
        return f"is not in the form that Apple documents, though phones read it; {written}"
    found = re.fullmatch(_RGB, stripped, re.IGNORECASE | re.ASCII)
    if found is not None and found["alpha"]:
        return f"has an alpha value, which Apple does not document and its tool refuses; {written}"
    if found is not None and any(not 0 <= int(found[part]) <= _MAX for part in (2, 3, 4)):
        return f"has a part out of the range 0 to 255, which phones may show as another color; {written}"
    return ""

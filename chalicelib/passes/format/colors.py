"""Colours of a pass, in the grammar that Apple's own tool reads.

apple/pass-builder drops outer white space and reads `#RRGGBB`, `#RGB` and `rgb(r, g, b)`, the latter in any case, with
any spaces, of exactly three whole numbers without a range. Everything else makes it, and phones, refuse the whole pass.
`rgba(...)` is the exception: pass-builder refuses it too, but airlines' passes carry it and are installed.
"""

import re

EXPECTED = "must be a colour such as rgb(18, 52, 86), each part 0 to 255"
PATTERN = (
    r"^\s*(#[0-9A-Fa-f]{3}([0-9A-Fa-f]{3})?"
    r"|[rR][gG][bB]\(\s*[+-]?\d{1,9}\s*,\s*[+-]?\d{1,9}\s*,\s*[+-]?\d{1,9}\s*\)"
    r"|[rR][gG][bB][aA]\(\s*\d{1,9}\s*,\s*\d{1,9}\s*,\s*\d{1,9}\s*,\s*(\d{1,9}(\.\d{0,9})?|\.\d{1,9})%?\s*\))\s*$"
)
"""Everything that is accepted, for JSON Schema."""
_RGB = r"rgb(?P<alpha>a?)\(\s*([+-]?\d{1,9})\s*,\s*([+-]?\d{1,9})\s*,\s*([+-]?\d{1,9})\s*(?P<rest>,[^)]*)?\)"
_HEX = r"#(?:[0-9A-Fa-f]{3}|[0-9A-Fa-f]{6})"
_ALPHA = r",\s*(?:\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})%?\s*"
_MAX = 255
_SHORT = 4
RGB = tuple[int, int, int]


def parse_color(text: str) -> RGB | None:
    """Red, green and blue, each 0 to 255; None where Apple's tool and phones read no colour.

    Parts outside of the range are brought to its end; an alpha is left out.
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
    """What to say about a colour that is read, but not written as Apple documents it; empty for nothing."""
    color = parse_color(text)
    stripped = text.strip()
    if color is None:
        return ""
    written = f"write rgb({color[0]}, {color[1]}, {color[2]})"
    if stripped.startswith("#"):
        return f"is not the form that Apple documents, though phones read it; {written}"
    found = re.fullmatch(_RGB, stripped, re.IGNORECASE | re.ASCII)
    if found is not None and found["alpha"]:
        return f"has an alpha, which Apple does not document and its own tool refuses; {written}"
    if found is not None and any(not 0 <= int(found[part]) <= _MAX for part in (2, 3, 4)):
        return f"has a part outside of 0 to 255, which phones may show as another colour; {written}"
    return ""

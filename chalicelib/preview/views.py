"""Values that the page of a pass shows, computed from the opened pass; the HTML template only arranges them."""

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import unescape
from typing import Any

from chalicelib.passes.format.colors import RGB, parse_color
from chalicelib.passes.format.keys import STYLES
from chalicelib.preview.barcodes import BarcodePicture, barcode_picture
from chalicelib.preview.opened import OpenedPass

_DEFAULT_BACKGROUND = (242, 242, 247)
_DEFAULT_FOREGROUND = (0, 0, 0)
_LABEL_MIX = 0.35
_ALIGNMENTS = {
    "PKTextAlignmentLeft": "left",
    "PKTextAlignmentCenter": "center",
    "PKTextAlignmentRight": "right",
}
_DATE_STYLES = {
    "PKDateStyleShort": "short",
    "PKDateStyleMedium": "medium",
    "PKDateStyleLong": "long",
    "PKDateStyleFull": "full",
}
_NUMBER_STYLES = {
    "PKNumberStylePercent": "percent",
    "PKNumberStyleScientific": "scientific",
    "PKNumberStyleSpellOut": "decimal",
}
_TRANSIT = {
    "PKTransitTypeAir": "air",
    "PKTransitTypeBoat": "boat",
    "PKTransitTypeBus": "bus",
    "PKTransitTypeTrain": "train",
}
_LINK = re.compile(r"https?://[^\s<>\"']+[^\s<>\"'.,;:!?)]")
_TAG = re.compile(r"<(?:(/?+)([A-Za-z][A-Za-z0-9]*+)([^<>]*+)|![^<>]*+)>")
"""A tag or a comment. The quantifiers are possessive, so that a missing `>` causes no backtracking."""
_HREF = re.compile(r"""(?:^|[\s"'/])href\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s"'<>]++))""", re.IGNORECASE)
_LONG_REFERENCE = re.compile(r"&#[xX]?+[0-9A-Fa-f]{12,}+;?+")
MAX_ATTRIBUTED_LENGTH = 20_000
"""Characters of an attributed text on the page; the back of a pass in Wallet shows a few lines of it."""
_SCHEMES = ("http:", "https:", "mailto:", "tel:", "sms:")


@dataclass(frozen=True, slots=True)
class Palette:
    """Parsed colors of a pass: none of them is text of the pass."""

    background: RGB
    foreground: RGB
    label: RGB

    @property
    def style(self) -> str:
        """The colors as CSS variables."""
        named = {"background": self.background, "foreground": self.foreground, "label": self.label}
        return ":root{" + ";".join(f"--{name}:rgb{color}".replace(" ", "") for name, color in named.items()) + "}\n"


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a text, with the URL of its link or None."""

    text: str
    link: str | None = None


@dataclass(frozen=True, slots=True)
class Formatted:
    """A date or number that the browser formats for the person's language.

    Args:
        value: the value in pass.json.
        plain: text that is shown before the script formats it, and without scripts.
        options: options for the script: `date`, `time`, `zone`, `currency`, `style`.
    """

    value: str
    plain: str
    options: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class FieldView:
    """A field of a pass.

    Args:
        label: the label; empty if the field has none.
        pieces: parts of the text; empty if the value is in `formatted`.
        formatted: the value of a date or number; None for a text.
        alignment: left, center or right; empty for the natural alignment.
        row: row of the field among an event ticket's auxiliary fields.
    """

    label: str
    pieces: Sequence[Piece]
    formatted: Formatted | None
    alignment: str
    row: int


@dataclass(frozen=True)
class View:
    """Values that the page shows."""

    opened: OpenedPass
    style: str
    palette: Palette
    barcode: BarcodePicture | None

    @cached_property
    def _groups(self) -> Mapping[str, Any]:
        groups = self.opened.content.get(self.style)
        return groups if isinstance(groups, dict) else {}

    def fields(self, group: str) -> list[FieldView]:
        """Return the fields of a group in order."""
        members = self._groups.get(f"{group}Fields")
        return [_field(self.opened, m) for m in members if isinstance(m, dict)] if isinstance(members, list) else []

    def rows(self, group: str) -> list[list[FieldView]]:
        """Return the fields of a group, separated by their rows."""
        fields = self.fields(group)
        return [[field for field in fields if field.row == row] for row in sorted({field.row for field in fields})]

    def image(self, *names: str) -> str:
        """Return the first of these images that the pass has, as a URL; empty if it has none of them."""
        data = next((self.opened.images[name] for name in names if name in self.opened.images), None)
        return f"data:image/png;base64,{b64encode(data).decode()}" if data is not None else ""

    def text(self, key: str) -> str:
        """Return a top-level text; empty if it is missing."""
        value = self.opened.content.get(key)
        return self.opened.text(value) if isinstance(value, str) else ""

    @property
    def transit(self) -> str:
        """Kind of transit of a boarding pass, for its symbol."""
        return _TRANSIT.get(str(self._groups.get("transitType")), "generic")

    @property
    def void(self) -> bool:
        """True if the pass is void."""
        return self.opened.content.get("voided") is True

    @property
    def poster(self) -> bool:
        """True if the pass is shown as a poster."""
        return self.style == "posterGeneric" or (self.style == "eventTicket" and "artwork" in self.opened.images)


def view(opened: OpenedPass) -> View:
    """Compute the values that the page of a pass shows."""
    background = _color(opened.content.get("backgroundColor")) or _DEFAULT_BACKGROUND
    foreground = _color(opened.content.get("foregroundColor")) or _DEFAULT_FOREGROUND
    return View(
        opened=opened,
        style=next((style for style in STYLES if style in opened.content), "generic"),
        palette=Palette(
            background, foreground, _color(opened.content.get("labelColor")) or _mixed(foreground, background)
        ),
        barcode=barcode_picture(opened.content),
    )


def _color(value: object) -> RGB | None:
    """Return a color of the pass; None if phones cannot read it."""
    return parse_color(value) if isinstance(value, str) else None


def _mixed(color: RGB, other: RGB) -> RGB:
    """Return a color between two others, as Wallet does for labels without a color."""
    red, green, blue = (round(a + (b - a) * _LABEL_MIX) for a, b in zip(color, other, strict=True))
    return red, green, blue


def _field(opened: OpenedPass, member: Mapping[str, Any]) -> FieldView:
    value = member.get("value", "")
    formatted = _formatted(member, value)
    row = member.get("row")
    return FieldView(
        label=opened.text(member.get("label") or ""),
        pieces=() if formatted else _pieces(opened, member, value),
        formatted=formatted,
        alignment=_ALIGNMENTS.get(str(member.get("textAlignment")), ""),
        row=row if isinstance(row, int) else 0,
    )


def _formatted(member: Mapping[str, Any], value: object) -> Formatted | None:
    if isinstance(value, str) and ("dateStyle" in member or "timeStyle" in member):
        return _date(member, value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _number(member, value)
    return None


def _date(member: Mapping[str, Any], value: str) -> Formatted:
    styles = {
        name: _DATE_STYLES[style]
        for name, key in (("date", "dateStyle"), ("time", "timeStyle"))
        if (style := str(member.get(key))) in _DATE_STYLES
    }
    day, _, time = value.partition("T")
    shown = [text for name, text in (("date", day), ("time", time[:5])) if name in styles]
    zone = {"zone": "own"} if member.get("ignoresTimeZone") is True else {}
    return Formatted(value, " ".join(shown) or value, {**styles, **zone})


def _number(member: Mapping[str, Any], value: float) -> Formatted:
    currency = member.get("currencyCode")
    if isinstance(currency, str):
        return Formatted(str(value), f"{value:.2f} {currency}", {"currency": currency})
    style = _NUMBER_STYLES.get(str(member.get("numberStyle")), "decimal")
    plain = f"{value:.0%}" if style == "percent" else str(value)
    return Formatted(str(value), plain, {"style": style})


def _pieces(opened: OpenedPass, member: Mapping[str, Any], value: object) -> Sequence[Piece]:
    attributed = member.get("attributedValue")
    if isinstance(attributed, str):
        return _attributed(opened.text(attributed))
    return _linked(opened.text(value))


def _linked(text: str) -> list[Piece]:
    """Split a plain text at its URLs, which become links as by Wallet's data detectors."""
    pieces, end = [], 0
    for found in _LINK.finditer(text):
        pieces += [Piece(text[end : found.start()]), Piece(found[0], found[0])]
        end = found.end()
    return [*pieces, Piece(text[end:])]


def _attributed(html: str) -> list[Piece]:
    """Split an `attributedValue`: HTML of which Wallet uses only `<a href>` (Apple, "PassFieldContent").

    The time is linear in the length, because each character is read a fixed number of times; `html.parser` takes
    quadratic time for tags that do not end. A tag ends at the first `>`, also inside quotes. A `<` that does not begin
    a tag is text.
    """
    pieces: list[Piece] = []
    link: str | None = None
    end = 0
    shown = html[:MAX_ATTRIBUTED_LENGTH]
    for found in _TAG.finditer(shown):
        if found.start() > end:
            pieces.append(Piece(_unescaped(shown[end : found.start()]), link))
        end = found.end()
        closing, name, attributes = found[1], (found[2] or "").lower(), found[3]
        if name == "a":
            href = _HREF.search(attributes) if not closing else None
            target = _unescaped(href[1] or href[2] or href[3] or "").strip() if href else ""
            link = target if target.lower().startswith(_SCHEMES) else None
        elif name == "br":
            pieces.append(Piece("\n"))
    rest = shown[end:] + ("…" if len(html) > MAX_ATTRIBUTED_LENGTH else "")
    return [*pieces, Piece(_unescaped(rest), link)] if rest else pieces


def _unescaped(text: str) -> str:
    """Resolve the character references of a text. Very long ones are replaced: `html.unescape` fails on them."""
    return unescape(_LONG_REFERENCE.sub("\ufffd", text))

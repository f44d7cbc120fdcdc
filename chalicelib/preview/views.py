"""What the page shows, worked out of an opened pass: the template only places it."""

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
"""A tag or a comment. The quantifiers are possessive: what they took is not looked at again where no `>` comes."""
_HREF = re.compile(r"""(?:^|[\s"'/])href\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s"'<>]++))""", re.IGNORECASE)
_LONG_REFERENCE = re.compile(r"&#[xX]?+[0-9A-Fa-f]{12,}+;?+")
MAX_ATTRIBUTED_LENGTH = 20_000
"""Of an attributed text on the page; Wallet's back side shows a few lines of it."""
_SCHEMES = ("http:", "https:", "mailto:", "tel:", "sms:")


@dataclass(frozen=True, slots=True)
class Palette:
    """The pass's colours, none of them text from the pass."""

    background: RGB
    foreground: RGB
    label: RGB

    @property
    def style(self) -> str:
        """As CSS variables."""
        named = {"background": self.background, "foreground": self.foreground, "label": self.label}
        return ":root{" + ";".join(f"--{name}:rgb{color}".replace(" ", "") for name, color in named.items()) + "}\n"


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a text: with where it leads, if it is a link."""

    text: str
    link: str | None = None


@dataclass(frozen=True, slots=True)
class Formatted:
    """A date or number that the browser writes as the person's language does.

    Args:
        value: as JSON has it.
        plain: what stands there until then, and where scripts do not run.
        options: for the script: `date`, `time`, `zone`, `currency`, `style`.
    """

    value: str
    plain: str
    options: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class FieldView:
    """One field.

    Args:
        label: empty where it has none.
        pieces: of its text; empty where `formatted` says it.
        formatted: a date or number.
        alignment: left, center, right; empty for the natural one.
        row: of an event ticket's auxiliary fields.
    """

    label: str
    pieces: Sequence[Piece]
    formatted: Formatted | None
    alignment: str
    row: int


@dataclass(frozen=True)
class View:
    """Everything that the page shows."""

    opened: OpenedPass
    style: str
    palette: Palette
    barcode: BarcodePicture | None

    @cached_property
    def _groups(self) -> Mapping[str, Any]:
        groups = self.opened.content.get(self.style)
        return groups if isinstance(groups, dict) else {}

    def fields(self, group: str) -> list[FieldView]:
        """The fields of a group, in its order."""
        members = self._groups.get(f"{group}Fields")
        return [_field(self.opened, m) for m in members if isinstance(m, dict)] if isinstance(members, list) else []

    def rows(self, group: str) -> list[list[FieldView]]:
        """The fields of a group by the row that they ask for."""
        fields = self.fields(group)
        return [[field for field in fields if field.row == row] for row in sorted({field.row for field in fields})]

    def image(self, *names: str) -> str:
        """The first of these images that the pass has, as a URL; empty where it has none."""
        data = next((self.opened.images[name] for name in names if name in self.opened.images), None)
        return f"data:image/png;base64,{b64encode(data).decode()}" if data is not None else ""

    def text(self, key: str) -> str:
        """A top-level text; empty where there is none."""
        value = self.opened.content.get(key)
        return self.opened.text(value) if isinstance(value, str) else ""

    @property
    def transit(self) -> str:
        return _TRANSIT.get(str(self._groups.get("transitType")), "generic")

    @property
    def void(self) -> bool:
        return self.opened.content.get("voided") is True

    @property
    def poster(self) -> bool:
        return self.style == "posterGeneric" or (self.style == "eventTicket" and "artwork" in self.opened.images)


def view(opened: OpenedPass) -> View:
    """What to show of a pass."""
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
    """A colour of the pass; None where phones read none."""
    return parse_color(value) if isinstance(value, str) else None


def _mixed(color: RGB, other: RGB) -> RGB:
    """Between the two, as Wallet does for labels that have no colour of their own."""
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
    """A plain text with the addresses in it as links, as Wallet's data detectors find them."""
    pieces, end = [], 0
    for found in _LINK.finditer(text):
        pieces += [Piece(text[end : found.start()]), Piece(found[0], found[0])]
        end = found.end()
    return [*pieces, Piece(text[end:])]


def _attributed(html: str) -> list[Piece]:
    """`attributedValue`: HTML of which Wallet takes `<a href>` alone (Apple, "PassFieldContent").

    Each character is looked at a fixed number of times, so the time is linear in the length; `html.parser` needs
    quadratic time for tags that are left open. A tag ends at the first `>`, also inside quotes. A `<` that does not
    begin a tag is text.
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
    """With its character references resolved. Numbers that are no character's are cut: `html.unescape` chokes on long
    ones.
    """
    return unescape(_LONG_REFERENCE.sub("\ufffd", text))

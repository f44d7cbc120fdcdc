"""Values of fields as a page shows them: texts with links, and dates and numbers that the browser formats."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import unescape
from typing import Any
from urllib.parse import quote

from chalicelib.passes.dates import is_w3c_date_with_fraction
from chalicelib.preview.numerals import spelled_out

MAX_ATTRIBUTED_LENGTH = 20_000
"""Characters of an attributed text on the page; the back of a pass in Wallet shows a few lines of it."""
MAX_DIGITS = 40
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
}
_DETECTORS = ("Link", "PhoneNumber", "Address", "CalendarEvent")
_MONTH = (
    "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec|Januar|Februar|März|Mai|Juni|Juli|Oktober|Dezember|January|"
    "February|March|April|June|July|August|September|October|November|December)"
)
_DETECTED = re.compile(
    r"(?P<Link>(?:https?://|www\.)[^\s<>\"']{1,2000}[^\s<>\"'.,;:!?)]|(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{2,63}){1,4})"
    r"|(?P<Address>\b\d{1,5} [A-Z][\w.' ]{2,40}, [A-Z][\w.' ]{2,30},? [A-Z]{2} \d{5}\b"
    r"|\b[A-ZÄÖÜ][\w.ß-]{2,40} \d{1,4}[a-z]?, (?:[A-Z]{1,2}-)?\d{4,5} [A-ZÄÖÜ][\w-]{2,30})"
    rf"|(?P<CalendarEvent>\b{_MONTH}\.? \d{{1,2}}, \d{{4}}(?: at \d{{1,2}}:\d\d(?: ?[AP]M)?)?"
    rf"|\b\d{{1,2}}\.? {_MONTH} \d{{4}}(?:,? \d{{1,2}}:\d\d)?|\b\d{{4}}-\d\d-\d\d\b)"
    r"|(?P<PhoneNumber>(?<![\w.+/-])(?:\+|\(?0|\(|[2-9])[\d ()./-]{5,18}\d(?!\w))"
)
"""Texts that Wallet makes links on the back. All quantifiers are bounded, so that the time is linear."""
_MIN_PHONE_DIGITS = 7
_TAG = re.compile(r"<(?:(/?+)([A-Za-z][A-Za-z0-9]*+)([^<>]*+)|![^<>]*+)>")
"""A tag or a comment. The quantifiers are possessive, so that a missing `>` causes no backtracking."""
_HREF = re.compile(r"""(?:^|[\s"'/])href\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s"'<>]++))""", re.IGNORECASE)
_LONG_REFERENCE = re.compile(r"&#[xX]?+[0-9A-Fa-f]{12,}+;?+")
_SCHEMES = ("http:", "https:", "mailto:", "tel:", "sms:")


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a text.

    Args:
        text: the text.
        link: URL of its link; None without one.
        detected: whether Wallet offers an action for the text, such as for a date, that has no URL.
    """

    text: str
    link: str | None = None
    detected: bool = False


@dataclass(frozen=True, slots=True)
class Formatted:
    """A date or number that the browser formats for the language of the page.

    Args:
        value: the value in pass.json.
        plain: text that is shown before the script formats it, and without scripts.
        options: options for the script: `date`, `time`, `relative`, `zone`, `currency`, `style`.
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
    pieces: Sequence[Piece] = ()
    formatted: Formatted | None = None
    alignment: str = ""
    row: int = 0


def plain_field(label: str, value: str) -> FieldView:
    """Return a field with a text without links."""
    return FieldView(label, (Piece(value),))


def field_view(member: Mapping[str, Any], *, text: Callable[[object], str], language: str, back: bool) -> FieldView:
    """Return a field as the page shows it.

    Args:
        member: the field in pass.json; values of wrong types are shown as texts.
        text: translates a text of pass.json.
        language: the viewer's language.
        back: whether the field is on the back, where Wallet detects links, phone numbers, addresses and dates.
    """
    value = member.get("value")
    formatted = format_value(member, value, language=language)
    row = member.get("row")
    return FieldView(
        label=text(member.get("label")),
        pieces=() if formatted else tuple(_pieces(member, value, text=text, back=back)),
        formatted=formatted,
        alignment=_ALIGNMENTS.get(str(member.get("textAlignment")), ""),
        row=row if isinstance(row, int) else 0,
    )


def date_field(label: str, value: object, *, date: str = "", time: str = "", zone: str = "") -> FieldView | None:
    """Return a field with a date; None if the value is not a date.

    Args:
        label: the label.
        value: the date in Apple's form.
        date: style of the day, such as `medium`; empty to leave it out.
        time: style of the time; empty to leave it out.
        zone: IANA name of a time zone; empty for the viewer's.
    """
    if not isinstance(value, str) or not is_w3c_date_with_fraction(value):
        return None
    options = {name: option for name, option in (("date", date), ("time", time), ("zone", zone)) if option}
    return FieldView(label, formatted=Formatted(value, _plain_date(value, options), options))


def format_value(member: Mapping[str, Any], value: object, *, language: str) -> Formatted | None:
    """Return a date or number with the format that its field asks for; None for a text."""
    if "attributedValue" in member and isinstance(member["attributedValue"], str):
        return None
    if isinstance(value, str) and ("dateStyle" in member or "timeStyle" in member) and is_w3c_date_with_fraction(value):
        return _date(member, value)
    number = _number_of(member, value)
    return _number(member, number, language) if number is not None else None


def _number_of(member: Mapping[str, Any], value: object) -> float | None:
    """Return the number of a value; a text counts as one only with a currency, as in Apple's sample."""
    if isinstance(value, str) and isinstance(member.get("currencyCode"), str):
        return float(value) if re.fullmatch(r"-?\d{1,15}(\.\d{1,6})?", value) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return None if isinstance(value, int) and value.bit_length() > MAX_DIGITS * 3 else value


def _date(member: Mapping[str, Any], value: str) -> Formatted:
    options = {
        name: _DATE_STYLES[style]
        for name, key in (("date", "dateStyle"), ("time", "timeStyle"))
        if (style := str(member.get(key))) in _DATE_STYLES
    }
    if member.get("isRelative") is True:
        options["relative"] = "true"
    if member.get("ignoresTimeZone") is True:
        options["zone"] = "own"
    return Formatted(value, _plain_date(value, options) or value, options)


def _plain_date(value: str, options: Mapping[str, str]) -> str:
    day, _, time = value.partition("T")
    return " ".join(text for name, text in (("date", day), ("time", time[:5])) if name in options)


def _number(member: Mapping[str, Any], value: float, language: str) -> Formatted:
    currency, style = member.get("currencyCode"), str(member.get("numberStyle"))
    if isinstance(currency, str):
        return Formatted(str(value), f"{value:.2f} {currency}", {"currency": currency})
    if style == "PKNumberStyleSpellOut" and (words := spelled_out(value, language)) is not None:
        return Formatted(str(value), words, {})
    form = _NUMBER_STYLES.get(style, "decimal")
    return Formatted(str(value), f"{value:.0%}" if form == "percent" else str(value), {"style": form})


def _pieces(
    member: Mapping[str, Any], value: object, *, text: Callable[[object], str], back: bool
) -> Sequence[Piece] | Iterator[Piece]:
    attributed = member.get("attributedValue")
    if isinstance(attributed, str):
        return _attributed(text(attributed))
    listed = member.get("dataDetectorTypes")
    wanted = (
        {str(name).removeprefix("PKDataDetectorType") for name in listed} if isinstance(listed, list) else {*_DETECTORS}
    )
    return _detected(text(value), wanted) if back and wanted else (Piece(text(value)),)


def _detected(text: str, wanted: set[str]) -> Iterator[Piece]:
    """Split a text at what Wallet's data detectors find."""
    end = 0
    for found in _DETECTED.finditer(text):
        kind = str(found.lastgroup)
        digits = sum(character.isdigit() for character in found[0])
        if kind not in wanted or (kind == "PhoneNumber" and digits < _MIN_PHONE_DIGITS):
            continue
        yield Piece(text[end : found.start()])
        yield Piece(found[0], _target(kind, found[0]), detected=True)
        end = found.end()
    yield Piece(text[end:])


def _target(kind: str, text: str) -> str | None:
    if kind == "PhoneNumber":
        return "tel:" + re.sub(r"[^\d+]", "", text)
    if kind == "Address":
        return "https://maps.apple.com/?q=" + quote(text)
    if kind == "CalendarEvent":
        return None
    if "@" in text and not text.startswith(("http", "www.")):
        return f"mailto:{text}"
    return f"https://{text}" if text.startswith("www.") else text


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

"""Barcodes: the formats, the versions of iOS that draw them, and the messages that each can contain.

A phone draws the first barcode of the list that it can draw. If it can draw none, it installs the pass without a
barcode and without an error (dotnet-passbook issue 213). Apple's pass-builder refuses the whole pass for an unknown
format. So a barcode that cannot be drawn is an error if no other barcode of the list can be drawn.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from chalicelib.passes.format.findings import Report, quoted

SOURCE = "Apple, Pass.Barcodes"
NEW_SINCE = 27
SQUARE = ("PKBarcodeFormatQR", "PKBarcodeFormatAztec")
"""Formats for which a pass has a square place, which leaves less space for fields."""
IN_BARCODE = ("PKBarcodeFormatQR", "PKBarcodeFormatPDF417", "PKBarcodeFormatAztec")
"""Formats of the deprecated single `barcode`."""


class BarcodeFormat:
    """A format of barcodes.

    Args:
        since: first version of iOS that draws it.
        most: maximum number of characters, in the most compact form of the symbology.
        characters: regular expression for the message; None if only its encoding matters.
        advice: the characters that a message may have.
    """

    __slots__ = ("advice", "characters", "most", "since")

    def __init__(self, since: int, most: int, characters: str | None = None, advice: str = "") -> None:
        self.since, self.most, self.characters, self.advice = since, most, characters, advice

    def problem(self, message: str) -> str:
        """Return the reason why a message cannot be drawn; empty if it can."""
        if not message:
            return "is empty; write a message, or leave the key out for the serial number"
        if len(message) > self.most:
            return f"has {len(message)} characters; this format allows at most {self.most}"
        if self.characters is not None and re.fullmatch(self.characters, message) is None:
            return f"{quoted(message)} has characters that this format does not have; write {self.advice}"
        return ""


FORMATS: Mapping[str, BarcodeFormat] = {
    "PKBarcodeFormatQR": BarcodeFormat(6, 7089),
    "PKBarcodeFormatAztec": BarcodeFormat(6, 3832),
    "PKBarcodeFormatPDF417": BarcodeFormat(6, 2710),
    # Latin-1 by the symbology (ISO/IEC 15417, FNC4), though scanners are surest of ASCII
    "PKBarcodeFormatCode128": BarcodeFormat(9, 256, r"[\x00-\xff]*", "only characters of Latin-1"),
    "PKBarcodeFormatCode39": BarcodeFormat(27, 256, r"[0-9A-Z \-.$/+%]*", "digits, A to Z, space and - . $ / + %"),
    "PKBarcodeFormatCodabar": BarcodeFormat(
        27,
        256,
        r"[A-Da-d][0-9\-$:/.+]*[A-Da-d]|[0-9\-$:/.+]*",
        "digits and - $ : / . +, optionally between two letters A to D",
    ),
    "PKBarcodeFormatEAN13": BarcodeFormat(27, 13, r"[0-9]{12,13}", "12 digits, or 13 with the check digit at the end"),
    "PKBarcodeFormatI2of5": BarcodeFormat(27, 256, r"([0-9]{2})*", "an even number of digits"),
}
"""`PKBarcodeFormatITF`, which some issuers write, is not among them: phones do not draw it."""
OLD_FORMATS = tuple(name for name, form in FORMATS.items() if form.since < NEW_SINCE)
_EAN_DIGITS = 13
_COMMON_ENCODINGS = ("utf-8", "iso-8859-1", "us-ascii")


_DRAWN, _NOT_A_MAP = ("", ""), ("", "is not a map")


def check_barcodes(barcodes: list[Any], path: str, report: Report) -> None:
    """Report barcodes that phones cannot draw; types and required keys are checked elsewhere.

    Args:
        barcodes: values of any type. A barcode without a message shows the serial number, which is not known here.
        path: path of the list.
        report: collects the findings.
    """
    problems = [barcode_problem(barcode) if isinstance(barcode, dict) else _NOT_A_MAP for barcode in barcodes]
    drawn = [barcodes[index]["format"] for index, problem in enumerate(problems) if problem == _DRAWN]
    if len(drawn) < len(barcodes):
        say = report.warning if drawn else report.error
        rest = "phones draw the next one" if drawn else "phones show the pass without a barcode"
        for index, (key, problem) in enumerate(problems):
            if key:
                say(f"{path}[{index}].{key}", f"{problem}; {rest}", SOURCE)
    if drawn and not any(name in OLD_FORMATS for name in drawn):
        report.warning(
            path,
            f"phones before iOS {NEW_SINCE} draw none of these; add one of {', '.join(OLD_FORMATS)} after them",
            SOURCE,
        )


def barcode_problem(barcode: Mapping[str, Any]) -> tuple[str, str]:
    """Return the key because of which phones cannot draw a barcode, and the reason; empty texts if they can."""
    name, message, encoding = barcode.get("format"), barcode.get("message"), barcode.get("messageEncoding", "utf-8")
    form = FORMATS.get(name) if isinstance(name, str) else None
    if form is None:
        return "format", f"{quoted(name)} is not a format that phones draw; write one of {', '.join(FORMATS)}"
    if message is None:
        return _DRAWN
    if not isinstance(message, str) or not isinstance(encoding, str):
        return "message", f"{quoted(message)}: must be a text"
    if problem := form.problem(message):
        return "message", problem
    if name == "PKBarcodeFormatEAN13" and len(message) == _EAN_DIGITS and not _has_right_check_digit(message):
        return "message", f"{quoted(message)} has a wrong check digit at its end; leave it out, and phones compute it"
    return _encoding_problem(message, encoding)


def first_drawn(barcodes: Sequence[Any]) -> Mapping[str, Any] | None:
    """Return the barcode that phones with the newest iOS show; None if they show none."""
    return next((b for b in barcodes if isinstance(b, dict) and not barcode_problem(b)[1]), None)


def _encoding_problem(message: str, encoding: str) -> tuple[str, str]:
    common = encoding.lower() in _COMMON_ENCODINGS
    if common and message.isascii():
        return _DRAWN
    if not common and not _is_encoding(encoding):
        return "messageEncoding", f"{quoted(encoding)} is not a known encoding (IANA); write utf-8 or iso-8859-1"
    try:
        message.encode(encoding)
    except UnicodeError:
        return "message", f"{quoted(message)} cannot be written in {encoding}; write messageEncoding utf-8"
    return _DRAWN


def _is_encoding(name: str) -> bool:
    from codecs import lookup  # imported here, because a lookup imports a module per encoding

    try:
        return bool(getattr(lookup(name), "_is_text_encoding", True))
    except (LookupError, ValueError):
        return False


def _has_right_check_digit(digits: str) -> bool:
    """Tell whether the check digit of an EAN-13 is right (GS1 General Specifications, 7.9)."""
    return sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(digits)) % 10 == 0

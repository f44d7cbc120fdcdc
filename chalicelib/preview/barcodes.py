"""Barcodes of a pass as SVG: encoded by Zint, drawn as one path."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chalicelib.passes.format.barcodes import SQUARE

if TYPE_CHECKING:
    from zint import Symbol

_QUIET_ZONES = {
    "PKBarcodeFormatQR": (4, 4),
    "PKBarcodeFormatAztec": (2, 2),
    "PKBarcodeFormatPDF417": (2, 2),
    "PKBarcodeFormatEAN13": (11, 0),
}
"""White modules beside and above a code, by which a scanner finds it (ISO/IEC 18004, 24778, 15438, 15420; GS1). Aztec
needs none.
"""
_LINEAR_QUIET_ZONE = (10, 0)
"""Quiet zone of Code 128, Code 39, Codabar and Interleaved 2 of 5 (ISO/IEC 15417, 16388, 16390)."""
_FORMATS = {
    "PKBarcodeFormatQR": "QRCODE",
    "PKBarcodeFormatPDF417": "PDF417",
    "PKBarcodeFormatAztec": "AZTEC",
    "PKBarcodeFormatCode128": "CODE128",
    "PKBarcodeFormatEAN13": "EANX",
    "PKBarcodeFormatCode39": "CODE39",
    "PKBarcodeFormatCodabar": "CODABAR",
    "PKBarcodeFormatI2of5": "C25INTER",
}
"""Names in Zint of the formats that phones draw."""
_LINEAR_HEIGHT = 40.0


@dataclass(frozen=True, slots=True)
class BarcodePicture:
    """Drawing of a barcode.

    Args:
        path: the dark modules as the `d` of an SVG path; empty if the message cannot be encoded in the format.
        width: width of the drawing in modules.
        height: height of the drawing in modules.
        shape: of the place in which Wallet shows the barcode: square, stacked (PDF417) or linear.
        text: text below the barcode.
    """

    path: str
    width: float
    height: float
    shape: str
    text: str

    @property
    def square(self) -> bool:
        """True if Wallet shows the barcode in a square place."""
        return self.shape == "square"


def barcode_picture(content: Mapping[str, Any]) -> BarcodePicture | None:
    """Draw the first barcode of a pass that can be drawn, as phones do; None if the pass has no barcodes."""
    listed = content.get("barcodes")
    given = listed if isinstance(listed, list) and listed else [content.get("barcode")]
    drawn = [_draw(barcode) for barcode in given if isinstance(barcode, dict)]
    return next((picture for picture in drawn if picture.path), drawn[0] if drawn else None)


def qr_code(message: str) -> BarcodePicture:
    """Draw a QR code without a text below it."""
    return _draw({"format": "PKBarcodeFormatQR", "message": message})


def _draw(barcode: Mapping[str, Any]) -> BarcodePicture:
    form, message = str(barcode.get("format")), str(barcode.get("message", ""))
    text = str(barcode.get("altText") or "")
    symbol = _encoded(form, message, str(barcode.get("messageEncoding") or "utf-8"))
    shape = "square" if form in SQUARE else "stacked" if form == "PKBarcodeFormatPDF417" else "linear"
    if symbol is None:
        return BarcodePicture("", 0, 0, shape, "")
    vector = symbol.vector
    path = "".join(f"M{r.x:g} {r.y:g}h{r.width:g}v{r.height:g}h{-r.width:g}z" for r in vector.rectangles)
    return BarcodePicture(path, vector.width, vector.height, shape, text)


def _encoded(form: str, message: str, encoding: str) -> "Symbol | None":
    from zint import Symbol, Symbology

    if form not in _FORMATS or not message:
        return None
    symbol = Symbol()
    symbol.symbology = getattr(Symbology, _FORMATS[form])
    symbol.scale = 0.5  # one unit per module
    symbol.show_text = False
    symbol.whitespace_width, symbol.whitespace_height = _QUIET_ZONES.get(form, _LINEAR_QUIET_ZONE)
    if form not in (*SQUARE, "PKBarcodeFormatPDF417"):
        symbol.height = _LINEAR_HEIGHT
    try:
        symbol.encode(message.encode(encoding))
        symbol.buffer_vector()
    except (RuntimeError, ValueError, LookupError):
        return None
    return symbol

"""Values that a card shows, computed from the opened pass; the HTML templates only arrange them."""

import struct
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from chalicelib.passes.dates import parse_date
from chalicelib.passes.format.check import MAX_FIELDS_IN_ROW, all_tags
from chalicelib.preview.barcodes import BarcodePicture, barcode_picture
from chalicelib.preview.faces import BACK_GROUPS, POSTERS, faces_of, limits_of, style_of
from chalicelib.preview.opened import OpenedPass
from chalicelib.preview.palette import Palette, palette_of
from chalicelib.preview.semantic import Boarding, TicketTexts
from chalicelib.preview.values import FieldView, field_view
from chalicelib.preview.words import direction_of, words_of

_TRANSIT = {
    "PKTransitTypeAir": "air",
    "PKTransitTypeBoat": "boat",
    "PKTransitTypeBus": "bus",
    "PKTransitTypeTrain": "train",
}
_ROWS = (0, 1)
_PNG_HEAD = struct.Struct(">16xII")
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class ImageView:
    """An image: its URL, and its size in points; 0 if the size is unknown."""

    url: str
    width: int
    height: int


@dataclass(frozen=True)
class View:
    """Values that the card of one face shows.

    Args:
        opened: the pass.
        face: one of `faces_of`.
        palette: the colors.
        barcode: the drawing of the barcode; None without one.
        at: current time, by which a pass has expired.
    """

    opened: OpenedPass
    face: str
    palette: Palette
    barcode: BarcodePicture | None
    at: datetime

    @cached_property
    def _groups(self) -> Mapping[str, Any]:
        groups = self.opened.content.get(style_of(self.face))
        return groups if isinstance(groups, dict) else {}

    @cached_property
    def _shown(self) -> tuple[Mapping[str, Sequence[Mapping[str, Any]]], Sequence[str]]:
        """Fields that phones show by group, and the paths of those that they leave out."""
        shown: dict[str, list[Mapping[str, Any]]] = {}
        surplus: list[str] = []
        limits = limits_of(self.face, square_barcode=self.barcode is not None and self.barcode.square)
        for names, most in limits:
            left = most
            for name in names:
                members = self._members(name)
                shown[name] = members[:left]
                surplus += [f"{style_of(self.face)}.{name}[{index}]" for index in range(left, len(members))]
                left = max(0, left - len(members))
        if self.face == "eventTicket":
            rows: dict[int, list[Mapping[str, Any]]] = {row: [] for row in _ROWS}
            for index, member in enumerate(self._members("auxiliaryFields")):
                row = rows[1 if member.get("row") == 1 else 0]
                if len(row) < MAX_FIELDS_IN_ROW:
                    row.append(member)
                else:
                    surplus.append(f"eventTicket.auxiliaryFields[{index}]")
            shown["auxiliaryFields"] = rows[0] + rows[1]
        return shown, surplus

    @property
    def surplus(self) -> Sequence[str]:
        """Paths of the front's fields that phones do not show."""
        return self._shown[1]

    def fields(self, group: str) -> list[FieldView]:
        """Return the fields of a group that phones show, in order."""
        name, back = f"{group}Fields", f"{group}Fields" in BACK_GROUPS
        members = self._members(name) if back else self._shown[0].get(name, ())
        return [
            field_view(member, text=self.opened.text, language=self.opened.language, back=back) for member in members
        ]

    def rows(self, group: str) -> list[list[FieldView]]:
        """Return the fields of a group, separated by their rows."""
        fields = self.fields(group)
        return [[field for field in fields if field.row == row] for row in sorted({field.row for field in fields})]

    def image(self, *names: str) -> ImageView | None:
        """Return the first of these images that the pass has; None if it has none of them."""
        name = next((name for name in names if name in self.opened.images), None)
        if name is None:
            return None
        data, scale = self.opened.images[name], self.opened.scales.get(name, 1)
        known = data.startswith(_PNG) and len(data) >= _PNG_HEAD.size
        width, height = _PNG_HEAD.unpack_from(data) if known else (0, 0)
        return ImageView(f"data:image/png;base64,{b64encode(data).decode()}", width // scale, height // scale)

    def text(self, key: str) -> str:
        """Return a top-level text; empty if it is missing."""
        value = self.opened.content.get(key)
        return self.opened.text(value) if isinstance(value, str) else ""

    @property
    def logo_text(self) -> str:
        """Text beside the logo."""
        if self.face == "posterEventTicket":
            return self.text("eventLogoText")
        return "" if self.face in ("posterGeneric", "semanticBoardingPass") else self.text("logoText")

    @property
    def words(self) -> Mapping[str, str]:
        """Wallet's own words in the viewer's language."""
        return words_of(self.opened.language)

    @property
    def direction(self) -> str:
        """`rtl` if phones in the viewer's language mirror the card, else `ltr`."""
        return direction_of(self.opened.language)

    @property
    def transit(self) -> str:
        """Kind of transit of a boarding pass, for its symbol."""
        return _TRANSIT.get(str(self._groups.get("transitType")), "generic")

    @property
    def state(self) -> str:
        """`void` or `expired`; empty for a pass in use."""
        if self.opened.content.get("voided") is True:
            return "void"
        value = self.opened.content.get("expirationDate")
        expires = parse_date(value) if isinstance(value, str) else None
        return "expired" if expires is not None and expires.tzinfo is not None and expires <= self.at else ""

    @property
    def poster(self) -> bool:
        """True if the face is a poster."""
        return self.face in POSTERS

    @cached_property
    def event(self) -> TicketTexts:
        """Parts of a poster event ticket, from its semantic tags."""
        return TicketTexts.of(all_tags(self.opened.content), text=self.opened.text, words=self.words)

    @cached_property
    def boarding(self) -> Boarding:
        """Parts of a semantic boarding pass, from its semantic tags."""
        return Boarding.of(all_tags(self.opened.content), text=self.opened.text, words=self.words)

    def _members(self, name: str) -> list[Mapping[str, Any]]:
        members = self._groups.get(name)
        return [member for member in members if isinstance(member, dict)] if isinstance(members, list) else []


def views_of(opened: OpenedPass, *, at: datetime | None = None) -> list[View]:
    """Compute the values of each face of a pass, that of the newest phones first.

    Args:
        opened: the pass.
        at: current time with time zone; None for the clock's.
    """
    palette = palette_of(opened.content)
    barcode = barcode_picture(opened.content)
    now = at or datetime.now(UTC)
    return [View(opened, face, palette, barcode, now) for face in faces_of(opened.content, opened.images.keys())]

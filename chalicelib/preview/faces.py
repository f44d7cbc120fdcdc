"""Faces of a pass: the looks that phones choose among, by the keys, tags and images of the pass.

A pass can have several: a poster or semantic look for new phones, and a classic one for older phones.
"""

from collections.abc import Collection, Mapping
from typing import Any

from chalicelib.passes.format.check import (
    FIELDS_SHOWN,
    MAX_FIELDS_IN_ROW,
    all_tags,
    lacks_for_poster_event_ticket,
    lacks_for_semantic_boarding_pass,
)
from chalicelib.passes.format.keys import CLASSIC_STYLES, FIELD_GROUPS, POSTER_GENERIC

POSTER_EVENT_TICKET = "posterEventTicket"
SEMANTIC_BOARDING_PASS = "semanticBoardingPass"
SINCE = {POSTER_GENERIC: 27, POSTER_EVENT_TICKET: 18, SEMANTIC_BOARDING_PASS: 26}
"""First version of iOS that shows a face; all versions show the others."""
SINCE_WITHOUT_NFC = 27
"""First version that shows a poster event ticket that has a barcode and no NFC."""
POSTERS = (POSTER_GENERIC, POSTER_EVENT_TICKET)
BACK_GROUPS = ("backFields", "additionalInfoFields")
_DRAWN_OF_POSTER_GENERIC = {"headerFields": 1, "primaryFields": 1, "footerFields": 1}
"""Numbers of fields that devices were seen to show; Apple's page allows 1, 4 and 2."""


def faces_of(content: Mapping[str, Any], images: Collection[str]) -> list[str]:
    """Return the faces of a pass, that of the newest phones first.

    Args:
        content: content of pass.json.
        images: names of its images without scale and suffix.

    Returns:
        Styles, and the schemes posterEventTicket and semanticBoardingPass. Without a style, `generic`.
    """
    found = [POSTER_GENERIC] if isinstance(content.get(POSTER_GENERIC), dict) else []
    schemes = content.get("preferredStyleSchemes")
    for style in CLASSIC_STYLES:
        if isinstance(content.get(style), dict):
            found += [scheme for scheme in _schemes(style, content, images) if isinstance(schemes, list)]
            found.append(style)
            break
    return found or ["generic"]


def _schemes(style: str, content: Mapping[str, Any], images: Collection[str]) -> list[str]:
    schemes, tags = content.get("preferredStyleSchemes"), all_tags(content)
    if not isinstance(schemes, list):
        return []
    if style == "boardingPass" and SEMANTIC_BOARDING_PASS in schemes:
        return [] if lacks_for_semantic_boarding_pass(content, tags) else [SEMANTIC_BOARDING_PASS]
    if style == "eventTicket" and POSTER_EVENT_TICKET in schemes:
        return [] if lacks_for_poster_event_ticket(tags, images) else [POSTER_EVENT_TICKET]
    return []


def style_of(face: str) -> str:
    """Return the key of pass.json that has the fields of a face."""
    return {POSTER_EVENT_TICKET: "eventTicket", SEMANTIC_BOARDING_PASS: "boardingPass"}.get(face, face)


def since(face: str, content: Mapping[str, Any]) -> int:
    """Return the first version of iOS that shows a face; 0 for all."""
    if face == POSTER_EVENT_TICKET and "nfc" not in content:
        return SINCE_WITHOUT_NFC
    return SINCE.get(face, 0)


def limits_of(face: str, *, square_barcode: bool) -> list[tuple[tuple[str, ...], int]]:
    """Return the groups of a face, each with the number of fields that phones show of these groups together.

    The front of a poster event ticket or semantic boarding pass has no fields: it comes from semantic tags.
    """
    if face == POSTER_GENERIC:
        return [((name,), _DRAWN_OF_POSTER_GENERIC.get(name, 0)) for name in FIELD_GROUPS if name not in BACK_GROUPS]
    if face in SINCE:
        return []
    limits: list[tuple[tuple[str, ...], int]] = [(names, count) for names, count, _ in FIELDS_SHOWN[face]]
    if face == "generic" and square_barcode:
        return [*limits[:2], (("secondaryFields", "auxiliaryFields"), MAX_FIELDS_IN_ROW)]
    return limits

"""Tests of the faces among which phones choose."""

from typing import Any

import pytest

from chalicelib.passes.format.keys import STYLES
from chalicelib.preview.faces import faces_of, limits_of, since, style_of
from tests.support.samples import BOARDING_TAGS, EVENT_TAGS


def event(**changes: object) -> dict[str, Any]:
    return {"eventTicket": {}, "preferredStyleSchemes": ["posterEventTicket"], "semantics": EVENT_TAGS, **changes}


def boarding(**changes: object) -> dict[str, Any]:
    style = {"transitType": "PKTransitTypeAir"}
    schemes = ["semanticBoardingPass", "boardingPass"]
    return {"boardingPass": style, "preferredStyleSchemes": schemes, "semantics": BOARDING_TAGS, **changes}


@pytest.mark.parametrize(
    ("content", "images", "faces"),
    [
        ({"coupon": {}}, (), ["coupon"]),
        ({"generic": {}, "posterGeneric": {}}, (), ["posterGeneric", "generic"]),
        (event(), ("artwork",), ["posterEventTicket", "eventTicket"]),
        (event(), ("strip",), ["eventTicket"]),
        (event(semantics={}), ("artwork",), ["eventTicket"]),
        (event(preferredStyleSchemes=[]), ("artwork",), ["eventTicket"]),
        (event(preferredStyleSchemes="posterEventTicket"), ("artwork",), ["eventTicket"]),
        (boarding(), (), ["semanticBoardingPass", "boardingPass"]),
        (boarding(semantics={**BOARDING_TAGS, "departureCityName": ""}), (), ["boardingPass"]),
        (boarding(boardingPass={"transitType": "PKTransitTypeTrain"}), (), ["boardingPass"]),
        ({}, (), ["generic"]),
        ({"coupon": "no object"}, (), ["generic"]),
    ],
)
def test_faces_depend_on_schemes_tags_and_images(
    content: dict[str, Any], images: tuple[str, ...], faces: list[str]
) -> None:
    assert faces_of(content, images) == faces


@pytest.mark.parametrize(
    ("face", "style"), [("posterEventTicket", "eventTicket"), ("semanticBoardingPass", "boardingPass")]
)
def test_semantic_face_has_the_back_of_its_style_and_no_fields(face: str, style: str) -> None:
    assert style_of(face) == style
    assert limits_of(face, square_barcode=True) == []


def test_poster_ticket_without_nfc_needs_a_newer_phone() -> None:
    assert since("posterEventTicket", {"nfc": {}}) == 18
    assert since("posterEventTicket", {}) == 27
    assert since("semanticBoardingPass", {}) == 26
    assert since("coupon", {}) == 0


def test_square_barcode_leaves_room_for_one_row_of_a_generic_pass() -> None:
    assert dict(limits_of("generic", square_barcode=False))["auxiliaryFields",] == 4
    assert dict(limits_of("generic", square_barcode=True))["secondaryFields", "auxiliaryFields"] == 4


@pytest.mark.parametrize("face", STYLES)
def test_every_face_has_limits_and_a_style(face: str) -> None:
    assert style_of(face) in STYLES
    assert {"headerFields", "primaryFields"} <= {
        name for names, _ in limits_of(face, square_barcode=True) for name in names
    }

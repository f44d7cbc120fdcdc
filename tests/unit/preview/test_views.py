"""Tests of the values that a card shows."""

from datetime import UTC, datetime
from typing import Any

import pytest

from chalicelib.preview.opened import OpenedPass
from chalicelib.preview.views import View, views_of
from tests.support import samples

NOW = datetime(2026, 12, 1, tzinfo=UTC)


def view(style: str, **changes: object) -> View:
    opened = OpenedPass.read(samples.build(samples.files_of(style, **changes)), language="en")
    return views_of(opened, at=NOW)[0]


def fields(count: int, **more: object) -> list[dict[str, Any]]:
    return [{"key": f"k{more.get('row', '')}{index}", "value": f"v{index}", **more} for index in range(count)]


@pytest.mark.parametrize(
    ("style", "groups", "shown", "surplus"),
    [
        ("coupon", {"headerFields": fields(5)}, {"header": 3}, 2),
        ("storeCard", {"primaryFields": fields(3)}, {"primary": 1}, 2),
        ("boardingPass", {"auxiliaryFields": fields(6), "transitType": "PKTransitTypeAir"}, {"auxiliary": 5}, 1),
        ("eventTicket", {"auxiliaryFields": fields(5) + fields(5, row=1)}, {"auxiliary": 8}, 2),
        ("posterGeneric", {"headerFields": fields(2), "secondaryFields": fields(1)}, {"header": 1, "secondary": 0}, 2),
    ],
)
def test_no_more_fields_are_shown_than_on_phones(
    style: str, groups: dict[str, Any], shown: dict[str, int], surplus: int
) -> None:
    seen = view(style, **{style: groups})
    assert {group: len(seen.fields(group)) for group in shown} == shown
    assert len(seen.surplus) == surplus


def test_secondary_and_auxiliary_fields_share_four_places() -> None:
    seen = view("coupon", coupon={"secondaryFields": fields(3), "auxiliaryFields": fields(3, label="x")})
    assert [len(seen.fields(group)) for group in ("secondary", "auxiliary")] == [3, 1]
    assert seen.surplus == ["coupon.auxiliaryFields[1]", "coupon.auxiliaryFields[2]"]


def test_all_fields_of_the_back_are_shown() -> None:
    assert len(view("coupon", coupon={"backFields": fields(40)}).fields("back")) == 40


def test_rows_of_an_event_ticket_are_separate() -> None:
    seen = view("eventTicket", eventTicket={"auxiliaryFields": fields(1, row=1) + fields(2, row=0)})
    assert [len(row) for row in seen.rows("auxiliary")] == [2, 1]


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, ""),
        ({"voided": True}, "void"),
        ({"expirationDate": "2026-11-30T00:00:00Z"}, "expired"),
        ({"expirationDate": "2026-12-02T00:00:00Z"}, ""),
        ({"expirationDate": "2026-11-30T00:00:00Z", "voided": True}, "void"),
    ],
)
def test_state_of_a_pass_is_that_of_the_given_time(changes: dict[str, Any], state: str) -> None:
    assert view("coupon", **changes).state == state


def test_size_of_an_image_is_in_points() -> None:
    seen = view("coupon").image("logo")
    assert seen is not None
    assert (seen.width, seen.height) == (50, 50)


def test_image_that_is_not_a_png_has_no_size() -> None:
    opened = OpenedPass.of({"coupon": {}}, {"logo.png": b"GIF89a"}, language="en")
    seen = views_of(opened, at=NOW)[0].image("logo")
    assert seen is not None
    assert (seen.width, seen.height) == (0, 0)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"coupon": {"primaryFields": [7, None, {}], "headerFields": {}}},
        {"generic": {"primaryFields": [{"key": 1, "value": {"a": 1}, "label": ["x"], "row": "1"}]}},
        {"eventTicket": [], "barcodes": {}, "expirationDate": "soon", "logoText": 7, "semantics": 1},
        {"eventTicket": {}, "preferredStyleSchemes": ["posterEventTicket", 7], "semantics": {"seats": [1]}},
    ],
)
def test_content_of_wrong_types_is_drawn_as_far_as_possible(content: dict[str, Any]) -> None:
    for seen in views_of(OpenedPass.of(content, {}, language="en"), at=NOW):
        for group in ("header", "primary", "secondary", "auxiliary", "back"):
            seen.rows(group)
        assert isinstance(seen.logo_text + seen.state + seen.event.title + seen.boarding.airline, str)

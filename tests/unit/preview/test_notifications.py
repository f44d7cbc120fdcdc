"""Tests of the notification about an update."""

from typing import Any

import pytest

from chalicelib.preview import notification_html
from chalicelib.preview.notifications import notification_between
from chalicelib.preview.opened import OpenedPass
from chalicelib.preview.values import FieldView

GATE = {"key": "gate", "label": "GATE", "value": "A7", "changeMessage": "Gate is now %@."}
SEAT = {"key": "seat", "value": "14C", "changeMessage": "Seat %@"}
NAME = {"key": "name", "value": "Ada"}
STRINGS = {"de.lproj/pass.strings": b'"gate_changed" = "Gate jetzt %@";'}


def opened(*fields: dict[str, Any], language: str = "en", back: tuple[dict[str, Any], ...] = ()) -> OpenedPass:
    style = {"primaryFields": list(fields), "backFields": list(back)}
    return OpenedPass.of({"generic": style, "organizationName": "Acme"}, STRINGS, language=language)


def message(before: OpenedPass, after: OpenedPass) -> str | None:
    found = notification_between(before, after)
    if found is None:
        return None
    return "".join(
        piece if isinstance(piece, str) else piece.formatted.plain if piece.formatted else piece.pieces[0].text
        for piece in found.pieces
    )


def test_changed_value_is_in_the_message() -> None:
    assert message(opened(GATE, NAME), opened({**GATE, "value": "B22"}, NAME)) == "Gate is now B22."


def test_message_is_in_the_language_of_the_phone() -> None:
    gate = {**GATE, "changeMessage": "gate_changed"}
    before, after = (opened({**gate, "value": value}, language="de-AT") for value in ("A7", "B22"))
    assert message(before, after) == "Gate jetzt B22"


def test_several_changes_are_one_general_message() -> None:
    after = opened({**GATE, "value": "B22"}, {**SEAT, "value": "1A"})
    assert message(opened(GATE, SEAT), after) == "Pass changed"


def test_change_of_the_back_is_notified() -> None:
    assert message(opened(back=(GATE,)), opened(back=({**GATE, "value": "B22"},))) == "Gate is now B22."


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([GATE], [GATE]),
        ([NAME], [{**NAME, "value": "Grace"}]),
        ([NAME], [NAME, GATE]),
        ([GATE], [{**GATE, "value": "B22", "changeMessage": ""}]),
    ],
)
def test_other_updates_show_nothing(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> None:
    assert message(opened(*before), opened(*after)) is None
    assert notification_html(opened(*before), opened(*after)) == ""


def test_message_without_placeholder_is_shown_as_it_is() -> None:
    gate = {**GATE, "changeMessage": "New gate"}
    assert message(opened(gate), opened({**gate, "value": "B22"})) == "New gate"


def test_value_is_formatted_as_the_field_is() -> None:
    points = {"key": "points", "value": 1, "currencyCode": "EUR", "changeMessage": "%@ left"}
    found = notification_between(opened(points), opened({**points, "value": 2}))
    assert found is not None
    assert isinstance(found.pieces[1], FieldView)
    assert found.pieces[1].formatted is not None
    assert found.pieces[1].formatted.options == {"currency": "EUR"}


def test_html_of_a_notification_contains_no_markup_of_the_pass() -> None:
    hostile = "<script>alert(1)</script>"
    gate = {**GATE, "changeMessage": f"{hostile} %@"}
    html = notification_html(opened(gate), opened({**gate, "value": hostile}))
    assert html.count("&lt;script&gt;") == 2
    assert "<script" not in html
    assert "Acme" in html

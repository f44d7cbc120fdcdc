"""Tests of the values of fields: dates, numbers, and what data detectors find on the back."""

import time
from typing import Any

import pytest

from chalicelib.preview.values import FieldView, date_field, field_view

DATE = "2026-12-24T18:30:00-08:00"


def field(member: dict[str, Any], *, language: str = "en", back: bool = False) -> FieldView:
    return field_view(member, text=lambda value: "" if value is None else str(value), language=language, back=back)


@pytest.mark.parametrize(
    ("member", "plain", "options"),
    [
        ({"dateStyle": "PKDateStyleMedium"}, "2026-12-24", {"date": "medium"}),
        ({"timeStyle": "PKDateStyleShort", "ignoresTimeZone": True}, "18:30", {"time": "short", "zone": "own"}),
        ({"dateStyle": "PKDateStyleShort", "isRelative": True}, "2026-12-24", {"date": "short", "relative": "true"}),
        ({"value": 7.5, "currencyCode": "EUR"}, "7.50 EUR", {"currency": "EUR"}),
        ({"value": "7.5", "currencyCode": "EUR"}, "7.50 EUR", {"currency": "EUR"}),
        ({"value": 0.25, "numberStyle": "PKNumberStylePercent"}, "25%", {"style": "percent"}),
        ({"value": 1234, "numberStyle": "PKNumberStyleScientific"}, "1234", {"style": "scientific"}),
        ({"value": 42, "numberStyle": "PKNumberStyleSpellOut"}, "forty-two", {}),
        ({"value": 1234}, "1234", {"style": "decimal"}),
    ],
)
def test_dates_and_numbers_are_formatted(member: dict[str, Any], plain: str, options: dict[str, str]) -> None:
    shown = field({"value": DATE, **member}).formatted
    assert shown is not None
    assert (shown.plain, shown.options) == (plain, options)


def test_number_is_spelled_out_in_the_language_or_left_in_digits() -> None:
    member = {"value": 42, "numberStyle": "PKNumberStyleSpellOut"}
    german, japanese = field(member, language="de").formatted, field(member, language="ja").formatted
    assert german is not None
    assert japanese is not None
    assert german.plain == "zweiundvierzig"
    assert japanese.options == {"style": "decimal"}


@pytest.mark.parametrize(
    "member",
    [
        {"value": "tomorrow", "dateStyle": "PKDateStyleShort"},
        {"value": "12 EUR", "currencyCode": "EUR"},
        {"value": True},
        {"value": None},
        {"value": {"a": 1}},
        {"value": 10**5000},
    ],
)
def test_other_values_are_texts(member: dict[str, Any]) -> None:
    assert field_view(member, text=lambda _: "shown", language="en", back=False).formatted is None


@pytest.mark.parametrize(
    ("text", "found", "link"),
    [
        ("See https://a.example/x?y=1, or ask.", "https://a.example/x?y=1", "https://a.example/x?y=1"),
        ("Visit www.a.example.", "www.a.example", "https://www.a.example"),
        ("Write to help@a.example!", "help@a.example", "mailto:help@a.example"),
        ("Call +49 (0)30 123456 now", "+49 (0)30 123456", "tel:+49030123456"),
        ("Call (800) 555-0100", "(800) 555-0100", "tel:8005550100"),
        (
            "At 1 Infinite Loop, Cupertino, CA 95014.",
            "1 Infinite Loop, Cupertino, CA 95014",
            "https://maps.apple.com/?q=1%20Infinite%20Loop%2C%20Cupertino%2C%20CA%2095014",
        ),
        (
            "Am Hauptstraße 12a, 10115 Berlin",
            "Hauptstraße 12a, 10115 Berlin",
            "https://maps.apple.com/?q=Hauptstra%C3%9Fe%2012a%2C%2010115%20Berlin",
        ),
        ("On Dec 24, 2026 at 6:30 PM", "Dec 24, 2026 at 6:30 PM", None),
        ("Am 24. Dezember 2026 um sechs", "24. Dezember 2026", None),
    ],
)
def test_data_detector_finds_it_on_the_back(text: str, found: str, link: str | None) -> None:
    pieces = field({"value": text}, back=True).pieces
    assert [(piece.text, piece.link) for piece in pieces if piece.detected] == [(found, link)]
    assert "".join(piece.text for piece in pieces) == text


@pytest.mark.parametrize("text", ["Order 12-34", "2026", "1234567890123456789012345", "a@b", "10:00"])
def test_data_detector_finds_nothing(text: str) -> None:
    assert not [piece for piece in field({"value": text}, back=True).pieces if piece.detected]


def test_data_detectors_are_for_the_back_and_can_be_chosen() -> None:
    text = "https://a.example +49 30 123456"
    assert not any(piece.detected for piece in field({"value": text}).pieces)
    assert not any(piece.detected for piece in field({"value": text, "dataDetectorTypes": []}, back=True).pieces)
    only = field({"value": text, "dataDetectorTypes": ["PKDataDetectorTypePhoneNumber"]}, back=True).pieces
    assert [piece.text for piece in only if piece.detected] == ["+49 30 123456"]


@pytest.mark.parametrize("part", ["0", "a@", "http://", "1 A", "A", "www.", "1. ", "(0) ", "a.", "+"])
def test_data_detectors_take_linear_time(part: str) -> None:
    started = time.process_time()
    field({"value": part * (200_000 // len(part))}, back=True)
    assert time.process_time() - started < 5


def test_date_field_needs_a_date() -> None:
    shown = date_field("DEPARTS", DATE, time="short", zone="America/New_York")
    assert shown is not None
    assert shown.formatted is not None
    assert shown.formatted.options == {"time": "short", "zone": "America/New_York"}
    assert date_field("DEPARTS", "soon", time="short") is None

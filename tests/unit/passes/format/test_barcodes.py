"""Tests of barcodes: which messages each format can contain, and which barcode phones draw."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.passes.format.barcodes import FORMATS, NEW_SINCE, barcode_problem, check_barcodes, first_drawn
from chalicelib.passes.format.findings import Level, Report

QR = {"format": "PKBarcodeFormatQR", "message": "A-1"}
EAN13 = {"format": "PKBarcodeFormatEAN13", "message": "4006381333931"}
UNKNOWN = {"format": "PKBarcodeFormatITF", "message": "12"}


def reported(*barcodes: Any) -> list[tuple[Level, str]]:  # noqa: ANN401 - values of any type
    report = Report()
    check_barcodes(list(barcodes), "barcodes", report)
    return [(finding.level, finding.path) for finding in report.findings]


@pytest.mark.parametrize(
    ("name", "message", "problem"),
    [
        ("QR", "any text ü", ""),
        ("QR", "", "is empty"),
        ("QR", "x" * 7090, "has 7090 characters"),
        ("Code128", "ü", ""),
        ("Code128", "€", "only characters of Latin-1"),
        ("Code39", "ABC-12", ""),
        ("Code39", "abc", "digits, A to Z"),
        ("Codabar", "A123B", ""),
        ("Codabar", "A123", "two letters A to D"),
        ("EAN13", "400638133393", ""),
        ("EAN13", "4006381333931", ""),
        ("EAN13", "4006381333930", "wrong check digit"),
        ("EAN13", "123", "12 digits"),
        ("I2of5", "1234", ""),
        ("I2of5", "123", "an even number of digits"),
        ("ITF", "12", "is not a format that phones draw"),
    ],
)
def test_message_must_fit_its_format(name: str, message: str, problem: str) -> None:
    found = barcode_problem({"format": f"PKBarcodeFormat{name}", "message": message})[1]
    assert problem in found
    assert bool(problem) == bool(found)


@pytest.mark.parametrize(
    ("encoding", "message", "key"),
    [
        ("utf-8", "€", ""),
        ("iso-8859-1", "ü", ""),
        ("iso-8859-1", "€", "message"),
        ("no-such-encoding", "a", "messageEncoding"),
        ("base64", "a", "messageEncoding"),
        (5, "a", "message"),
    ],
)
def test_message_must_be_writable_in_its_encoding(encoding: object, message: str, key: str) -> None:
    assert barcode_problem({"format": "PKBarcodeFormatQR", "message": message, "messageEncoding": encoding})[0] == key


def test_barcode_without_message_is_drawn() -> None:
    assert barcode_problem({"format": "PKBarcodeFormatQR"}) == ("", "")


def test_barcode_that_is_not_drawn_is_an_error_only_if_no_other_is() -> None:
    assert reported(UNKNOWN) == [(Level.ERROR, "barcodes[0].format")]
    assert reported(UNKNOWN, QR) == [(Level.WARNING, "barcodes[0].format")]
    assert reported(QR) == []


def test_list_without_a_format_of_older_phones_is_warned_about() -> None:
    assert FORMATS["PKBarcodeFormatEAN13"].since == NEW_SINCE
    assert reported(EAN13) == [(Level.WARNING, "barcodes")]
    assert reported(EAN13, QR) == []


def test_first_drawn_barcode_is_shown() -> None:
    assert first_drawn([UNKNOWN, "x", QR, EAN13]) == QR
    assert first_drawn([UNKNOWN]) is None


@given(st.integers(min_value=0, max_value=10**12 - 1))
def test_exactly_one_check_digit_is_right(number: int) -> None:
    messages = [f"{number:012}{digit}" for digit in range(10)]
    drawn = [m for m in messages if barcode_problem({"format": "PKBarcodeFormatEAN13", "message": m}) == ("", "")]
    assert len(drawn) == 1

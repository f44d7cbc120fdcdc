"""Tests of the drawings of barcodes, which a scanner reads."""

import pytest

from chalicelib.preview.barcodes import barcode_picture, qr_code
from tests.support.scanner import drawn

LINK = "https://abc123.execute-api.eu-central-1.amazonaws.com/api/p/" + "Ab1-_" * 40


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("QR", "M1LOVELACE/ADA ünï"),
        ("PDF417", "M1LOVELACE/ADA"),
        ("Aztec", "M1LOVELACE/ADA ünï"),
        ("Code128", "PW-104 x"),
        ("EAN13", "4006381333931"),
        ("Code39", "PW 104"),
        ("Codabar", "A12345B"),
    ],
)
def test_scanner_reads_the_message_of_the_drawn_barcode(form: str, message: str) -> None:
    barcode = barcode_picture({"barcodes": [{"format": f"PKBarcodeFormat{form}", "message": message}]})
    assert barcode is not None
    read = drawn(barcode)
    assert read is not None
    assert bytes(read.bytes).decode() == message


def test_next_barcode_is_drawn_when_the_first_cannot_encode_its_message() -> None:
    barcodes = [
        {"format": "PKBarcodeFormatEAN13", "message": "no digits"},
        {"format": "PKBarcodeFormatQR", "message": "PW"},
    ]
    barcode = barcode_picture({"barcodes": barcodes})
    assert barcode is not None
    assert barcode.path
    assert barcode.square


def test_pass_without_barcodes_has_no_drawing() -> None:
    assert barcode_picture({}) is None
    assert barcode_picture({"barcodes": []}) is None


@pytest.mark.parametrize("message", ["", "no digits"])
def test_barcode_that_cannot_be_drawn_has_no_path(message: str) -> None:
    drawing = barcode_picture({"barcodes": [{"format": "PKBarcodeFormatEAN13", "message": message}]})
    assert drawing is not None
    assert (drawing.path, drawing.shape) == ("", "linear")


def test_scanner_reads_the_link_of_a_qr_code() -> None:
    read = drawn(qr_code(LINK))
    assert read is not None
    assert read.text == LINK

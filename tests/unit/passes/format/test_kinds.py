"""Tests of the types of values: which values each accepts, and how serious the others are."""

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator

from chalicelib.passes.format.findings import Level, Report
from chalicelib.passes.format.kinds import (
    MAX_INTEGER,
    AnyJson,
    AttributedText,
    Choice,
    Color,
    Date,
    Flag,
    Key,
    Kind,
    ListOf,
    Map,
    Number,
    Pattern,
    PublicKey,
    Scalar,
    Text,
    Url,
    WebServiceUrl,
)

POINT = ec.generate_private_key(ec.SECP256R1()).public_key()
OTHER_CURVE = ec.generate_private_key(ec.SECP384R1()).public_key()
LEG = Map({"gate": Key(Text(min_length=1), "Apple, Pass", 6, required=True), "seats": Key(Number(whole=True), "", 6)})
KINDS: dict[str, Kind] = {
    "text": Text(),
    "filled text": Text(min_length=1),
    "pattern": Pattern(r"[A-Z]{3}", "must be a code", fatal=True),
    "color": Color(),
    "date": Date(),
    "date with fraction": Date(fractions=True),
    "URL": Url(),
    "number": Number(minimum=0, maximum=5),
    "whole number": Number(whole=True),
    "flag": Flag(),
    "scalar": Scalar(),
    "choice": Choice("PKTextAlignment", "Left Right"),
    "list": ListOf(Text(), maximum=2, minimum=1),
    "map": LEG,
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


def spki(key: ec.EllipticCurvePublicKey) -> str:
    return base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def levels(kind: Kind, value: object) -> list[Level]:
    report = Report()
    kind.check(value, "key", report)
    return [finding.level for finding in report.findings]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Text(), ""),
        (Text(max_bytes=4), "\u20ac"),
        (Pattern(r"[A-Z]{3}", "must be a code", fatal=True), "EUR"),
        (Color(), "rgb(1, 2, 3)"),
        (Date(), "2026-12-24T18:30Z"),
        (Url(), "tel:1"),
        (WebServiceUrl(), "https://passes.example.com/base"),
        (Number(minimum=0, maximum=5), 5),
        (Number(whole=True), MAX_INTEGER),
        (Flag(), False),
        (Scalar(), 1.5),
        (AttributedText(), "<a href='https://a.example/?a=1&amp;b=2'>x</a>"),
        (Choice("PKTextAlignment", "Left Right"), "PKTextAlignmentLeft"),
        (Choice(numbers=(1, 2)), 2),
        (ListOf(Text(), maximum=2), ["a", "b"]),
        (LEG, {"gate": "A1"}),
        (PublicKey(), spki(POINT)),
        (AnyJson(), {"anything": [1]}),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Kind) else "",
)
def test_valid_value_has_no_findings(kind: Kind, value: object) -> None:
    assert levels(kind, value) == []
    assert kind.has_type(value)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Text(), 5),
        (Text(min_length=1), ""),
        (Text(max_bytes=4), "\u20ac\u20ac"),
        (Pattern(r"[A-Z]{3}", "must be a code", fatal=True), "EUR\n"),
        (Color(), "salmon-ish"),
        (Date(), "2026-12-24T18:30:00.5Z"),
        (Date(fractions=True), "soon"),
        (Url(), "example.com"),
        (Url(lenient=True), 5),
        (WebServiceUrl(), "http://passes.example.com"),
        (WebServiceUrl(), "https://passes.example.com/v1/"),
        (Number(), True),
        (Number(), "1"),
        (Number(maximum=5), 6),
        (Number(whole=True), 1.5),
        (Number(whole=True), 2**64),
        (Number(), float("nan")),
        (Flag(), 1),
        (Scalar(), None),
        (Choice("PKTextAlignment", "Left Right"), "Left"),
        (Choice("PKTextAlignment", "Left Right", fatal=False), 5),
        (Choice(numbers=(0, 1)), True),
        (ListOf(Text(), maximum=2), ["a", "b", "c"]),
        (ListOf(Text(), minimum=1), []),
        (ListOf(Text()), [5]),
        (ListOf(Text()), "ab"),
        (LEG, {}),
        (LEG, ["gate"]),
        (PublicKey(), spki(OTHER_CURVE)),
        (PublicKey(), spki(POINT)[:-4]),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Kind) else "",
)
def test_value_that_phones_refuse_is_an_error(kind: Kind, value: object) -> None:
    assert levels(kind, value) == [Level.ERROR]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (AnyJson(), 5),
        (Pattern(r"[A-Z]{3}", "must be a code", fatal=False), "euro"),
        (Date(fractions=True), "2026-12-24T18:30:00.5Z"),
        (Url(lenient=True), "example.com"),
        (Number(whole=True, lenient=True), 1.5),
        (AttributedText(), "<b>x</b>"),
        (AttributedText(), "<a href='https://a.example/?a=1&b=2'>x</a>"),
        (Choice("PKTextAlignment", "Left Right", fatal=False), "Left"),
        (LEG, {"gate": "A1", "gat": "A1"}),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Kind) else "",
)
def test_value_that_phones_leave_out_is_a_warning(kind: Kind, value: object) -> None:
    assert levels(kind, value) == [Level.WARNING]


def test_secret_text_is_not_in_the_message() -> None:
    report = Report()
    Text(secret=True).check(12345, "nfc.message", report)
    assert "12345" not in str(report.findings[0])


def test_finding_has_the_path_of_the_member_and_the_source_of_its_key() -> None:
    report = Report()
    ListOf(LEG).check([{"gate": "A1"}, {"gate": ""}], "legs", report)
    (finding,) = report.findings
    assert (finding.path, finding.source) == ("legs[1].gate", "Apple, Pass")


def test_findings_of_a_list_end_at_their_limit() -> None:
    report = Report()
    ListOf(Text()).check([5] * 100_000, "list", report)
    assert report.full
    assert len(report) < 1000


@pytest.mark.parametrize("name", KINDS)
@given(value=JSON)
def test_schema_refuses_no_value_that_the_check_accepts(name: str, value: Any) -> None:  # noqa: ANN401 - any JSON
    kind = KINDS[name]
    if value is not None and Level.ERROR not in levels(kind, value):
        assert Draft202012Validator(kind.schema()).is_valid(value)

"""The checks of fields: their values, their styles, and how many of them phones show."""

import pytest

from chalicelib.passes.format.check import check_item, check_pass
from chalicelib.passes.format.findings import Level
from tests.support.format_checks import Content, a_pass, errors, of_level, warnings, with_field

FIELD_ERRORS: dict[str, tuple[dict[str, object], str]] = {
    "alignment": ({"textAlignment": "center"}, "a.textAlignment"),
    "detector": ({"dataDetectorTypes": ["phone"]}, "a.dataDetectorTypes[0]"),
    "detectors as text": ({"dataDetectorTypes": "PKDataDetectorTypeLink"}, "a.dataDetectorTypes"),
    "row": ({"row": 7}, "a.row"),
    "row as text": ({"row": "1"}, "a.row"),
    "row as bool": ({"row": True}, "a.row"),
    "date style": ({"dateStyle": "short"}, "a.dateStyle"),
    "number style": ({"numberStyle": "PKNumberStyleCurrency"}, "a.numberStyle"),
    "currency": ({"currencyCode": "euro"}, "a.currencyCode"),
    "label": ({"label": 5}, "a.label"),
    "flag": ({"isRelative": "true"}, "a.isRelative"),
    "semantics": ({"semantics": {"eventType": "PKEventTypeParty"}}, "a.semantics.eventType"),
}


@pytest.mark.parametrize(("field", "path"), FIELD_ERRORS.values(), ids=FIELD_ERRORS.keys())
def test_invalid_value_of_a_field_is_the_same_error_in_a_template_and_in_an_item(
    field: dict[str, object], path: str
) -> None:
    in_template = errors(with_field(value=1, **field))
    (in_item,) = of_level(check_item({}, {"a": field}, {}), Level.ERROR)
    assert in_item.startswith(f"fields.{path}: ")
    assert in_item.removeprefix("fields.a") in [
        error.removeprefix("generic.secondaryFields[0]") for error in in_template
    ]


def test_all_problems_of_a_field_are_reported() -> None:
    field = {"value": "B22", "textAlignment": "center", "dataDetectorTypes": ["phone"], "row": 7}
    paths = [finding.path for finding in check_item({}, {"gate": field}, {})]
    assert paths == ["fields.gate.textAlignment", "fields.gate.dataDetectorTypes[0]", "fields.gate.row"]


@pytest.mark.parametrize(
    ("value", "styles", "message"),
    [
        ("x", {"currencyCode": "EUR"}, "must be a number"),
        ("10", {"numberStyle": "PKNumberStyleDecimal"}, "must be a number"),
        ("10 EUR", {"currencyCode": "EUR"}, "must be a number"),
        ("x", {"dateStyle": "PKDateStyleShort"}, "must be a date"),
        (5, {"timeStyle": "PKDateStyleShort"}, "must be a date"),
        (
            5,
            {"timeStyle": "PKDateStyleShort", "numberStyle": "PKNumberStyleDecimal"},
            "styles of a date and of a number",
        ),
        ([], {}, "must be a text or a number"),
        (True, {}, "must be a text or a number"),
        ({}, {}, "must be a text or a number"),
    ],
)
def test_value_must_have_the_type_of_its_style(value: object, styles: dict[str, object], message: str) -> None:
    assert any(message in error for error in errors(with_field(value=value, **styles)))


@pytest.mark.parametrize(
    ("style", "group", "field"),
    [
        ("generic", "primaryFields", {"textAlignment": "PKTextAlignmentLeft"}),
        ("generic", "backFields", {"textAlignment": "PKTextAlignmentLeft"}),
        ("generic", "auxiliaryFields", {"row": 1}),
        ("eventTicket", "secondaryFields", {"row": 0}),
    ],
)
def test_key_without_an_effect_in_its_group_gives_a_warning(style: str, group: str, field: dict[str, object]) -> None:
    assert "remove it" in warnings(with_field(style, group, **field))[0]


def test_currency_value_in_quotes_gives_a_warning_because_apples_sample_has_one() -> None:
    (warning,) = warnings(with_field(value="10", currencyCode="USD"))
    assert "should be a number, without quotes" in warning


@pytest.mark.parametrize(
    ("html", "message"),
    [
        ("<a href='https://a.example/?a=1&amp;b=2'>x</a> &lt; y", ""),
        ("<b>x</b>", "has the tags b;"),
        ("<a href='https://a.example/?a=1&b=2'>x</a>", "write &amp;"),
        ("a < b & c", ""),
    ],
)
def test_html_that_phones_do_not_show_gives_a_warning(html: str, message: str) -> None:
    found = warnings(with_field(attributedValue=html))
    assert (found == []) if not message else (len(found) == 1 and message in found[0]), found
    in_item = check_item({}, {"a": {"attributedValue": html}}, {})
    assert [finding.problem for finding in in_item] == [w.split(": ", 1)[1].rsplit(" (", 1)[0] for w in found]


def fields(count: int, start: int = 0) -> list[Content]:
    return [{"key": f"k{number}", "value": "x"} for number in range(start, start + count)]


@pytest.mark.parametrize(
    ("style", "groups", "path"),
    [
        ("boardingPass", {"headerFields": 4, "transitType": 0}, "boardingPass.headerFields"),
        ("boardingPass", {"auxiliaryFields": 6, "transitType": 0}, "boardingPass.auxiliaryFields"),
        ("coupon", {"secondaryFields": 3, "auxiliaryFields": 2}, "coupon.secondaryFields"),
        ("storeCard", {"primaryFields": 2}, "storeCard.primaryFields"),
        ("generic", {"auxiliaryFields": 5}, "generic.auxiliaryFields"),
        ("eventTicket", {"auxiliaryFields": 5}, "eventTicket.auxiliaryFields"),
        ("generic", {"footerFields": 1}, "generic.footerFields"),
        ("coupon", {"additionalInfoFields": 1}, "coupon.additionalInfoFields"),
    ],
)
def test_fields_that_phones_do_not_show_give_a_warning(style: str, groups: dict[str, int], path: str) -> None:
    content: Content = {
        group: fields(count, 10 * number) for number, (group, count) in enumerate(groups.items()) if count
    }
    if "transitType" in groups:
        content["transitType"] = "PKTransitTypeAir"
    (warning,) = warnings(a_pass(style, **{style: content}))
    assert warning.startswith(f"{path}: ")


def test_square_barcode_leaves_less_space_on_a_generic_pass() -> None:
    content = {"secondaryFields": fields(3), "auxiliaryFields": fields(2, 5)}
    assert check_pass(a_pass("generic", generic=content)) == []
    square = a_pass("generic", generic=content, barcodes=[{"format": "PKBarcodeFormatQR"}])
    assert "5 fields together; phones show 4" in warnings(square)[0]

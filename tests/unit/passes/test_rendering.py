"""Tests of rendering: values that an item may have and may not have, and equal bytes for equal inputs."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.passes.format.keys import RESERVED
from chalicelib.passes.item_errors import ItemError
from chalicelib.passes.rendering import validate
from chalicelib.passes.template import Template
from tests.support import samples

BOARDING = Template.parse("sample", samples.files_of("boardingPass"))


def content(template: Template = BOARDING, **attributes: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever a pipeline writes
    result: dict[str, Any] = json.loads(samples.rendered(template, samples.item(**attributes)))
    return result


def field(result: dict[str, Any], key: str) -> dict[str, Any]:
    (style,) = (result[style] for style in samples.STYLES if style in result)
    groups = (group for group in style.values() if isinstance(group, list))
    (found,) = (member for group in groups for member in group if member["key"] == key)
    return dict(found)


def test_pass_has_its_identity_and_the_url_of_the_service() -> None:
    result = content(serial_number="7/K ü")
    assert result["passTypeIdentifier"] == samples.PASS_TYPE_IDENTIFIER
    assert result["serialNumber"] == "7/K ü"
    assert result["teamIdentifier"] == "DEVTEAM001"
    assert result["webServiceURL"] == samples.WEB_SERVICE_URL
    assert result["authenticationToken"] == samples.TOKEN.value


def test_value_replaces_only_the_value_of_the_templates_field() -> None:
    track = field(content(fields={"track": "9"}), "track")
    assert track == {"key": "track", "label": "TRACK", "value": "9", "changeMessage": "Track %@"}


def test_map_replaces_keys_of_a_field_and_null_removes_one() -> None:
    track = field(content(fields={"track": {"value": "9", "label": "GLEIS", "changeMessage": None}}), "track")
    assert track == {"key": "track", "label": "GLEIS", "value": "9"}


def test_numbers_and_dates_keep_their_types() -> None:
    result = content(fields={"coach": Decimal(22), "departs": "2026-12-25T08:00:00Z"})
    assert field(result, "coach")["value"] == 22
    assert field(result, "departs")["value"] == "2026-12-25T08:00:00Z"
    card = Template.parse("sample", samples.files_of("storeCard"))
    balance = field(content(card, fields={"balance": Decimal("19.5")}), "balance")
    assert balance["value"] == 19.5
    assert balance["currencyCode"] == "EUR"


def test_value_replaces_every_field_with_its_key() -> None:
    twice = {"headerFields": [{"key": "x", "value": "-"}], "backFields": [{"key": "x", "value": "-", "label": "X"}]}
    result = content(Template.parse("t", samples.files_of("generic", generic=twice)), fields={"x": "1"})
    assert result["generic"]["headerFields"][0]["value"] == result["generic"]["backFields"][0]["value"] == "1"


def test_barcode_without_a_message_shows_the_serial_number() -> None:
    assert content(serial_number="PW-7")["barcodes"][0]["message"] == "PW-7"
    own = [
        {"format": "PKBarcodeFormatQR", "message": "M1", "messageEncoding": "iso-8859-1"},
        {"format": "PKBarcodeFormatAztec"},
    ]
    assert [code["message"] for code in content(overrides={"barcodes": own})["barcodes"]] == ["M1", "S-1"]
    old = Template.parse("t", samples.files_of("generic", barcode={"format": "PKBarcodeFormatQR"}))
    assert content(old)["barcode"]["message"] == "S-1"


def test_overrides_replace_top_level_keys_and_null_removes_one() -> None:
    result = content(overrides={"relevantDate": "2026-12-24T18:30Z", "logoText": None}, voided=True)
    assert result["relevantDate"] == "2026-12-24T18:30Z"
    assert "logoText" not in result
    assert result["voided"] is True


NOT_DATES = ["tomorrow", "2026-12-24", "2026-12-24T18:30:00.000Z", "2026-12-24T18:30:00", "2026-13-45T99:99:99Z", 5, ""]


@pytest.mark.parametrize("value", NOT_DATES)
def test_invalid_date_is_refused_with_the_form_to_write(value: object) -> None:
    with pytest.raises(ItemError, match=r"fields\.departs.*must be a date such as 2026-12-24T18:30:00\+01:00"):
        content(fields={"departs": value})


@pytest.mark.parametrize(
    ("overrides", "path"),
    [
        ({"expirationDate": "soon"}, "overrides.expirationDate"),
        ({"relevantDates": [{"startDate": "2026-12-24T18:30:00.5Z"}]}, r"overrides.relevantDates\[0\].startDate"),
        ({"semantics": {"eventStartDateInfo": {"date": "x"}}}, "overrides.semantics.eventStartDateInfo.date"),
        ({"semantics": {"currentBoardingDate": "x"}}, "overrides.semantics.currentBoardingDate"),
    ],
)
def test_date_is_validated_at_any_path(overrides: dict[str, object], path: str) -> None:
    with pytest.raises(ItemError, match=path):
        content(overrides=overrides)


def test_user_info_is_not_validated() -> None:
    assert content(overrides={"userInfo": {"bookingDate": "monday"}})["userInfo"] == {"bookingDate": "monday"}


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"fields": {"gate": "1"}}, r"fields\.gate'.*has no such field; it has coach, departs"),
        ({"fields": {"track": {"vaule": "1"}}}, r"fields\.track\.vaule.*is not a key of a field"),
        ({"fields": {"track": {"label": 5}}}, r"fields\.track\.label.*must be a text, not int"),
        ({"fields": {"track": {"isRelative": 1}}}, r"fields\.track\.isRelative.*must be true or false"),
        ({"fields": {"track": {"row": True}}}, r"fields\.track\.row.*must be one of Apple's values, not bool"),
        ({"fields": {"track": {"key": "other"}}}, r"fields\.track\.key.*must not change"),
        ({"fields": {"track": {"value": ["1"]}}}, r"fields\.track\.value.*must be a text or a number, not list"),
        ({"fields": {"track": {"value": None}}}, r"fields\.track.*needs a value"),
        ({"fields": {"coach": {"value": "many", "numberStyle": "PKNumberStyleDecimal"}}}, "'many' must be a number"),
        ({"fields": {"track": {"value": 5, "dateStyle": "PKDateStyleShort"}}}, "5 must be a date"),
        ({"overrides": {"generic": {}}}, r"overrides\.generic.*is the pass's style"),
        ({"overrides": {"barcodes": "PW"}}, r"overrides\.barcodes.*must be a list of maps"),
        ({"overrides": {"barcodes": [{"message": "x"}]}}, r"overrides\.barcodes\[\]\.format.*must be a string"),
        ({"overrides": {"logoText": "\ud800"}}, "JSON cannot"),
    ],
)
def test_message_names_the_pass_the_attribute_and_the_remedy(attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(ItemError, match=message) as refused:
        content(**attributes)
    assert f"{samples.PASS_TYPE_IDENTIFIER}/S-1" in str(refused.value)


@pytest.mark.parametrize("key", RESERVED)
def test_key_that_the_service_sets_is_refused_as_an_override(key: str) -> None:
    with pytest.raises(ItemError, match=f"overrides.{key}.*is set by the service"):
        content(overrides={key: "mine"})


@pytest.mark.parametrize("number", [Decimal("NaN"), Decimal("Infinity"), float("nan"), float("inf")])
def test_number_that_json_cannot_contain_is_refused(number: object) -> None:
    with pytest.raises(ItemError, match=r"coach"):
        content(fields={"coach": number})


def test_number_beyond_64_bits_is_refused_and_not_rounded() -> None:
    with pytest.raises(ItemError, match="JSON cannot"):
        content(fields={"coach": Decimal(2**64)})


def test_validation_refuses_what_rendering_refuses() -> None:
    validate(BOARDING, samples.item(fields={"track": "9"}))
    with pytest.raises(ItemError, match="has no such field"):
        validate(BOARDING, samples.item(fields={"gate": "9"}))


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
FLOATS = st.floats(-1e125, 1e125).filter(lambda number: number == 0 or abs(number) >= 1e-130)
"""Numbers in DynamoDB's range."""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | FLOATS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "track": TEXTS,
        "coach": st.integers(-(2**53), 2**53) | TEXTS,
        "seat": st.fixed_dictionaries({"value": TEXTS, "label": TEXTS}),
    },
)
OVERRIDES = st.fixed_dictionaries(
    {},
    optional={
        "userInfo": JSON.filter(lambda value: value is not None),
        "logoText": TEXTS,
        "maxDistance": st.integers(-(2**53), 2**53),
    },
)


@given(fields=FIELDS, overrides=OVERRIDES, serial_number=TEXTS.filter(lambda text: 0 < len(text.encode()) < 900))
def test_equal_items_have_equal_bytes_in_any_order_of_their_maps(
    fields: dict[str, object], overrides: dict[str, object], serial_number: str
) -> None:
    before = BOARDING.content
    forward = samples.item(serial_number, fields=fields, overrides=overrides)
    backward = samples.item(
        serial_number, fields=dict(reversed(fields.items())), overrides=dict(reversed(overrides.items()))
    )
    once = samples.rendered(BOARDING, forward)
    assert once == samples.rendered(BOARDING, forward) == samples.rendered(BOARDING, backward)
    assert BOARDING.content == before


@given(fields=FIELDS, overrides=OVERRIDES)
def test_values_of_an_item_are_in_its_pass_and_nothing_else_changes(
    fields: dict[str, Any], overrides: dict[str, Any]
) -> None:
    plain, result = content(), content(fields=fields, overrides=overrides)
    for key, value in overrides.items():
        assert result[key] == value
    for key in ("track", "coach", "seat", "from", "to", "departs", "help"):
        given_here = fields.get(key, {})
        expected = given_here if isinstance(given_here, dict) else {"value": given_here}
        assert field(result, key) == {**field(plain, key), **expected}
    assert set(result) == set(plain) | set(overrides)

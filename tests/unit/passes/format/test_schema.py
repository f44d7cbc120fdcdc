"""Tests of the item's JSON Schema: it and the checks refuse the same values."""

import json
from decimal import Decimal
from itertools import product
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator, meta

from chalicelib.aws.templates import Templates
from chalicelib.passes.format.keys import FIELD_KEYS, OVERRIDABLE_KEYS, RESERVED, SEMANTIC_TAGS, STYLES
from chalicelib.passes.format.schema import item_schema
from chalicelib.passes.item import PassItem
from chalicelib.passes.item_errors import ItemError
from chalicelib.passes.rendering import validate
from infra.local.processes import PROJECT
from tests.support.command_line import run_here
from tests.support.every_key import EVERY_KEY

BOARDING = Templates().get("boarding")
SCHEMA = Draft202012Validator(item_schema())
BOARDING_SCHEMA = Draft202012Validator(item_schema(sorted(BOARDING.places)))
DATE = "2026-12-24T18:30Z"
SAMPLES: list[Any] = [
    *("x", "", "5", "true", "Black", "rgb(1, 2, 3)", "rgba(1,2,3,0.5)", "#fff", "https://a.example/x", "a b", "tel:1"),
    *(DATE, "2026-12-24T18:30:00.5Z", "soon", "PKDateStyleShort", "PKTextAlignmentLeft", "PKEventTypeSports", "EUR"),
    *(0, 1, 7, -1, 1.5, 65536, True, False, None),
    *([], ["x"], [1], [True], [{}], [None], ["PKDataDetectorTypeLink"], [{"latitude": 1, "longitude": 2}]),
    *([{"latitude": 1, "longitude": 2}] * 11, [{"longitude": 2}], [{"date": DATE}], [{"date": "soon"}]),
    *({}, {"a": 1}, {"latitude": 91, "longitude": 0}, {"latitude": 1, "longitude": None}, {"amount": 5}),
    *({"amount": "5", "currencyCode": "EUR"}, {"givenName": "Ada"}, {"givenName": 5}, {"seats": [{"seatRow": 1}]}),
    *({"date": DATE}, {"format": "PKBarcodeFormatQR"}, {"message": "x"}, {"message": 5}, {"departureGate": "A"}),
]
BEYOND_SCHEMA = ("barcodes", "relevantDates", "featuredActions", "beacons", "upcomingPassInformation")
"""Keys with rules about several members, which are in the checks but not in the schema."""


def is_taken(attributes: dict[str, Any]) -> bool:
    try:
        validate(BOARDING, PassItem.parse({"pass_id": "pass.com.acme/1", "template": "boarding", **attributes}))
    except ItemError:
        return False
    return True


def is_valid(attributes: dict[str, Any]) -> bool:
    return bool(SCHEMA.is_valid({"pass_id": "pass.com.acme/1", "template": "boarding", **attributes}))


def test_schema_is_valid_json_schema() -> None:
    meta.validate(item_schema())
    assert json.loads(json.dumps(item_schema())) == item_schema()


def test_value_of_a_top_level_key_is_refused_by_both_or_by_neither() -> None:
    for key, value in product(OVERRIDABLE_KEYS, SAMPLES):
        taken, valid = is_taken({"overrides": {key: value}}), is_valid({"overrides": {key: value}})
        assert taken == valid or (key in BEYOND_SCHEMA and valid), (key, value, taken, valid)
        assert not taken or valid, (key, value)


def test_value_of_a_tag_is_refused_by_both_or_by_neither() -> None:
    for tag in SEMANTIC_TAGS:
        compare_samples_of(tag)


def compare_samples_of(tag: str) -> None:
    examples: dict[bool, Any] = {}
    for value in SAMPLES:
        if value == [{"date": "soon"}] and tag in ("seats", "airplay"):
            continue  # a member named like a date is checked as one, though Apple documents none here
        semantics = {"semantics": {tag: value}}
        taken = is_taken({"overrides": semantics})
        assert taken == is_valid({"overrides": semantics}), (tag, value)
        examples[taken] = semantics
    assert len(examples) == 2, f"{tag}: a value that is accepted and one that is refused"
    for taken, semantics in examples.items():
        assert is_taken({"fields": {"gate": semantics}}) == taken == is_valid({"fields": {"gate": semantics}}), tag


def test_value_of_a_key_of_a_field_is_refused_by_both_or_by_neither() -> None:
    for key, value in product(sorted(set(FIELD_KEYS) - {"key", "value"}), SAMPLES):
        if key in ("dateStyle", "timeStyle", "numberStyle", "currencyCode") and isinstance(value, str):
            continue  # whether its value fits depends on the template's
        field = {"fields": {"gate": {key: value}}}
        assert is_taken(field) == is_valid(field), (key, value)


@pytest.mark.parametrize(
    ("attributes", "right"),
    [
        ({}, True),
        ({"fields": None, "overrides": None, "voided": None}, True),
        ({"fields": {"gate": "B22", "seat": 5, "group": None}}, True),
        ({"fields": {"gate": {"value": "B22", "label": None}}}, True),
        ({"fields": {"gate": {"value": {"en": "x", "de": "y"}}}}, True),
        ({"fields": {"gate": {"en": "x", "de": "y"}}}, True),
        ({"fields": {"gate": {"value": {"en": 5}}}}, False),
        ({"fields": {"gate": ["B22"]}}, False),
        ({"fields": {"gate": True}}, False),
        ({"fields": "B22"}, False),
        ({"fields.gate": "B22"}, True),
        ({"fields.gate": True}, False),
        ({"overrides.logoText": "x"}, True),
        ({"overrides.relevantDate": 1718000000}, False),
        ({"voided": "true"}, False),
        ({"overrides": {"ownKey": [1]}}, True),
        ({"own": {"anything": 1}}, True),
        *(({"overrides": {key: "x"}}, False) for key in (*RESERVED, *STYLES)),
    ],
)
def test_item_is_refused_by_both_or_by_neither(attributes: dict[str, Any], right: bool) -> None:  # noqa: FBT001
    assert is_valid(attributes) is right
    assert is_taken(attributes) is right


def test_schema_accepts_every_key_of_apples_format() -> None:
    overrides = {key: value for key, value in EVERY_KEY.items() if key in OVERRIDABLE_KEYS}
    SCHEMA.validate({"pass_id": "pass.com.acme/1", "template": "boarding", "overrides": overrides})


def test_schema_of_a_template_accepts_only_its_fields() -> None:
    item = {"pass_id": "pass.com.acme/1", "template": "boarding"}
    assert BOARDING_SCHEMA.is_valid({**item, "fields": {"gate": "B22"}, "fields.seat": "1"})
    assert not BOARDING_SCHEMA.is_valid({**item, "fields": {"gat": "B22"}})
    assert not BOARDING_SCHEMA.is_valid({**item, "fields.gat": "B22"})


@pytest.mark.parametrize("missing", ["pass_id", "template"])
def test_attributes_of_every_item_are_required(missing: str) -> None:
    item = {"pass_id": "pass.com.acme/1", "template": "boarding"}
    del item[missing]
    assert not SCHEMA.is_valid(item)


def test_command_prints_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here("schema") == 0
    assert json.loads(capsys.readouterr().out) == item_schema()
    assert run_here("schema", str(PROJECT / "chalicelib/templates/boarding.pass"), "--json") == 0
    assert json.loads(capsys.readouterr().out) == item_schema(sorted(BOARDING.places))


def test_numbers_of_dynamodb_are_read_like_those_of_json() -> None:
    assert is_taken({"overrides": {"maxDistance": Decimal("1.5")}})

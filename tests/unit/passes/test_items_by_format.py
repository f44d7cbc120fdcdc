"""Tests of items by Apple's format: refusals before a device is notified, NULL, flat attributes and languages."""

import contextlib
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.aws.templates import Templates
from chalicelib.core.identifiers import AuthenticationToken
from chalicelib.passes.format.keys import OVERRIDABLE_KEYS
from chalicelib.passes.item import PassItem
from chalicelib.passes.item_errors import ItemError
from chalicelib.passes.rendering import localized_strings, render, validate
from chalicelib.passes.strings import parse_strings
from chalicelib.passes.template import Template
from tests.support.every_key import EVERY_KEY

BOARDING = Templates().get("boarding")
REWARDS = Templates().get("rewards")
PASS_ID = "pass.com.acme.boarding/CASE"
TOKEN = AuthenticationToken("0" * 32)


def item(template: str = "boarding", /, **attributes: object) -> PassItem:
    return PassItem.parse({"pass_id": PASS_ID, "template": template, **attributes})


def flat(**attributes: object) -> PassItem:
    """Return an item with flat attributes; `__` in a name replaces the dot."""
    return item(**{name.replace("__", "."): value for name, value in attributes.items()})


def content(item: PassItem, template: Template = BOARDING) -> dict[str, Any]:
    validate(template, item)
    rendered = render(
        template, item, web_service_url="https://a.example", authentication_token=TOKEN, team_identifier="T"
    )
    read: dict[str, Any] = json.loads(rendered)
    return read


def field(item: PassItem, key: str, template: Template = BOARDING) -> dict[str, Any]:
    place = template.places[key][0]
    found: dict[str, Any] = content(item, template)[place.style][place.group][place.index]
    return found


REFUSED: dict[str, tuple[dict[str, object], list[str]]] = {
    "a number for a date": ({"overrides": {"relevantDate": 1782000000}}, ["overrides.relevantDate"]),
    "a nested NULL": (
        {"overrides": {"locations": [{"latitude": None, "longitude": Decimal("1.5")}]}},
        ["overrides.locations[0].latitude"],
    ),
    "a color by name": ({"overrides": {"backgroundColor": "Black"}}, ["overrides.backgroundColor"]),
    "a required key taken away": ({"overrides": {"description": None}}, ["overrides.description"]),
    "a field's words": (
        {
            "fields": {
                "gate": {
                    "value": "B22",
                    "textAlignment": "center",
                    "dataDetectorTypes": ["phone"],
                    "row": Decimal(7),
                }
            }
        },
        ["fields.gate.textAlignment", "fields.gate.dataDetectorTypes[0]", "fields.gate.row"],
    ),
    "a tag of another type": ({"overrides": {"semantics": {"seats": {"seatRow": "1"}}}}, ["overrides.semantics.seats"]),
    "a tag in a field": ({"fields": {"gate": {"semantics": {"duration": "x"}}}}, ["fields.gate.semantics.duration"]),
    "a barcode that phones do not draw": (
        {"overrides": {"barcodes": [{"format": "PKBarcodeFormatItf", "message": "1"}]}},
        ["overrides.barcodes[0].format"],
    ),
    "half a character": ({"overrides": {"semantics": {"eventName": "\ud83c"}}}, ["overrides.semantics.eventName"]),
    "half a character in a field": ({"fields": {"gate": "A\udcff"}}, ["fields.gate.value"]),
    "half a character in one of several languages": (
        {"fields.gate": '{"en": "A", "de": "\\udcff"}'},
        ["fields.gate.value.de"],
    ),
    "half a character in a key": ({"overrides": {"userInfo": {"\udcff": 1}}}, ["overrides.userInfo"]),
    "1e400": ({"overrides": {"maxDistance": Decimal("1e400")}}, ["overrides.maxDistance"]),
    "1e999999999": ({"fields": {"flight": Decimal("1e999999999")}}, ["fields.flight"]),
    "a number of 43 digits": ({"fields": {"flight": Decimal("1" * 43)}}, ["fields.flight"]),
    "an integer of 43 digits": ({"overrides": {"userInfo": {"a": 10**43}}}, ["overrides.userInfo.a"]),
    "a list for a map": ({"fields": ["gate"]}, ["fields"]),
    "a list for a map inside": ({"overrides": {"nfc": []}}, ["overrides.nfc"]),
    "an invalid link": ({"overrides": {"appLaunchURL": "acme"}}, ["overrides.appLaunchURL"]),
    "an invalid language": ({"fields": {"status": {"value": {"english!": "x"}}}}, ["fields.status.value.english!"]),
    "no text for a language": ({"fields": {"status": {"value": {"en": 5}}}}, ["fields.status.value.en"]),
    "no language at all": ({"fields": {"status": {"value": {}}}}, ["fields.status.value"]),
    "both forms of a field": ({"fields": {"gate": "1"}, "fields.gate": "2"}, ["fields.gate"]),
    "both forms of an override": (
        {"overrides": {"logoText": "1"}, "overrides.logoText": "2"},
        ["overrides.logoText"],
    ),
    "an invalid flat date": ({"overrides.relevantDate": Decimal(1718000000)}, ["overrides.relevantDate"]),
    "a flat date as text": ({"overrides.relevantDate": "1718000000"}, ["overrides.relevantDate"]),
    "a flat field that is unknown": ({"fields.gat": "1"}, ["fields.gat"]),
    "a flat key of the service": ({"overrides.serialNumber": "1"}, ["overrides.serialNumber"]),
}


@pytest.mark.parametrize(("attributes", "paths"), REFUSED.values(), ids=REFUSED.keys())
def test_value_that_phones_would_refuse_is_refused_with_its_path(
    attributes: dict[str, object], paths: list[str]
) -> None:
    with pytest.raises(ItemError) as refused:
        validate(BOARDING, item(**attributes))
    message = str(refused.value)
    assert PASS_ID in message
    assert all(path in message for path in paths), message
    message.encode()


def nested(levels: int) -> dict[str, object]:
    value: dict[str, object] = {}
    for _ in range(levels):
        value = {"a": value}
    return value


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(ItemError, match="levels of maps and lists"):
        validate(BOARDING, item(overrides={"userInfo": nested(400)}))


def test_message_lists_problems_up_to_a_limit() -> None:
    with pytest.raises(ItemError, match=r"; and 15 more$"):
        validate(BOARDING, item(overrides={"locations": [{"latitude": "x", "longitude": "y"}] * 10}))


def test_item_with_warnings_is_accepted_and_the_warnings_are_returned() -> None:
    warnings = validate(BOARDING, item(overrides={"backgroundColor": "rgba(1, 2, 3, 0.5)", "logoTxt": "x"}))
    assert [warning.path for warning in warnings] == ["overrides.backgroundColor", "overrides.logoTxt"]


def with_half_characters(value: object) -> Iterator[object]:
    """Copies of a JSON value, each with one text or key replaced by half of a character."""
    if isinstance(value, str):
        yield "\udcff"
    elif isinstance(value, dict):
        for name, member in value.items():
            yield {other if other != name else "\udcff": content for other, content in value.items()}
            yield from ({**value, name: changed} for changed in with_half_characters(member))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from ([*value[:index], changed, *value[index + 1 :]] for changed in with_half_characters(member))


EVERYWHERE: dict[str, object] = {
    "fields": {
        "gate": "A1",
        "seat": {"value": "1", "label": "SEAT", "changeMessage": "%@", "semantics": {"seats": [{"seatRow": "1"}]}},
        "status": {"value": {"en": "Late", "de": "Spät"}, "label": {"en": "STATUS"}},
    },
    "overrides": {name: value for name, value in EVERY_KEY.items() if name in OVERRIDABLE_KEYS},
}


def test_half_of_a_character_anywhere_is_refused_as_an_item() -> None:
    validate(BOARDING, item(**EVERYWHERE))
    count = 0
    for attributes in with_half_characters(EVERYWHERE):
        count += 1
        assert isinstance(attributes, dict)
        attributes.pop("\udcff", None)  # an attribute of the pipeline
        parsed = item(**attributes)
        with contextlib.suppress(ItemError):
            localized_strings(BOARDING, parsed)
        if attributes.keys() == EVERYWHERE.keys():
            with pytest.raises(ItemError):
                validate(BOARDING, parsed)
    assert count > len(OVERRIDABLE_KEYS)


def test_key_of_a_field_that_has_no_effect_in_its_place_gives_a_warning() -> None:
    field = {"value": 5, "row": 1, "currencyCode": "EUR", "numberStyle": "PKNumberStyleDecimal", "changeMessage": "!"}
    warnings = validate(BOARDING, item(fields={"gate": field}))
    assert [(warning.path, warning.problem.split(";")[0]) for warning in warnings] == [
        ("fields.gate.row", "has an effect only in the auxiliaryFields of an eventTicket"),
        ("fields.gate", "has numberStyle and currencyCode"),
        ("fields.gate.changeMessage", "has no %@, which is replaced by the new value"),
    ]


@pytest.mark.parametrize("message", ["%@!", "gate_changed", {"en": "Now %@", "de": "Jetzt %@"}])
def test_change_message_that_shows_the_value_gives_no_warning(message: object) -> None:
    """A text of the template's strings files shows the value, too."""
    assert validate(BOARDING, item(fields={"gate": {"value": "B1", "changeMessage": message}})) == []


@pytest.mark.parametrize(
    "attributes",
    [
        {"overrides": {"backgroundColor": "Black"}},
        {"fields": {"gate": {"value": "B22", "textAlignment": "center", "row": Decimal(7)}}},
        {"overrides": {"relevantDate": Decimal(1782000000)}},
        {"overrides": {"locations": [{"longitude": Decimal(1)}] * 11}},
    ],
)
def test_item_stored_before_the_format_was_checked_is_rendered_as_before(attributes: dict[str, object]) -> None:
    stored = item(**attributes)
    with pytest.raises(ItemError):
        validate(BOARDING, stored)
    rendered = render(
        BOARDING, stored, web_service_url="https://a.example", authentication_token=TOKEN, team_identifier="T"
    )
    assert json.loads(rendered)["serialNumber"] == "CASE"


@pytest.mark.parametrize("attribute", ["fields", "overrides", "voided", "authentication_token", "template_revision"])
def test_null_attribute_means_absent(attribute: str) -> None:
    assert item(**{attribute: None}) == item()


@pytest.mark.parametrize(
    ("attributes", "same"),
    [
        ({"fields": {"gate": None}}, {}),
        ({"fields.gate": None, "overrides.logoText": None}, {}),
        ({"fields": {"gate": None}, "fields.gate": "B22"}, {"fields": {"gate": "B22"}}),
        ({"fields": {"gate": "B22"}, "fields.gate": None}, {"fields": {"gate": "B22"}}),
        (
            {"overrides": {"locations": [{"latitude": 1, "longitude": 2, "altitude": None}, None]}},
            {"overrides": {"locations": [{"latitude": 1, "longitude": 2}]}},
        ),
        (
            {"fields": {"gate": {"value": "B22", "semantics": {"departureGate": None}}}},
            {"fields": {"gate": {"value": "B22", "semantics": {}}}},
        ),
    ],
)
def test_null_at_any_path_means_absent_and_is_not_a_change(
    attributes: dict[str, object], same: dict[str, object]
) -> None:
    assert item(**attributes) == item(**same)
    assert item(**attributes).same_content(item(**same))
    assert content(item(**attributes)) == content(item(**same))


def test_null_removes_a_key_of_the_template_and_is_a_value_in_user_info() -> None:
    shown = content(item(overrides={"groupingIdentifier": None, "userInfo": {"a": None, "b": [None]}}))
    assert "groupingIdentifier" not in shown
    assert shown["userInfo"] == {"a": None, "b": [None]}
    assert "changeMessage" not in field(item(fields={"gate": {"value": "1", "changeMessage": None}}), "gate")


@pytest.mark.parametrize(
    ("attributes", "same"),
    [
        ({"fields.gate": "B22"}, {"fields": {"gate": "B22"}}),
        ({"fields.gate": "B22", "fields": {"seat": "1"}}, {"fields": {"gate": "B22", "seat": "1"}}),
        ({"fields.gate": '{"value": "B22", "label": "G"}'}, {"fields": {"gate": {"value": "B22", "label": "G"}}}),
        ({"fields.gate": {"value": "B22"}}, {"fields": {"gate": "B22"}}),
        ({"fields.gate": "{not json"}, {"fields": {"gate": "{not json"}}),
        ({"overrides.logoText": "5"}, {"overrides": {"logoText": "5"}}),
        ({"overrides.maxDistance": "100"}, {"overrides": {"maxDistance": 100}}),
        ({"overrides.maxDistance": Decimal(100)}, {"overrides": {"maxDistance": 100}}),
        ({"overrides.sharingProhibited": "true"}, {"overrides": {"sharingProhibited": True}}),
        (
            {"overrides.locations": '[{"latitude": 1.5, "longitude": 2, "altitude": null}]'},
            {"overrides": {"locations": [{"latitude": 1.5, "longitude": 2}]}},
        ),
        ({"overrides.userInfo": '{"a": null}'}, {"overrides": {"userInfo": {"a": None}}}),
        ({"overrides.ownKey": "5"}, {"overrides": {"ownKey": "5"}}),
    ],
)
def test_flat_attributes_are_read_like_columns_of_a_file(
    attributes: dict[str, object], same: dict[str, object]
) -> None:
    assert content(item(**attributes)) == content(item(**same))
    assert item(**attributes).same_content(item(**same))


@pytest.mark.parametrize(("text", "number"), [("1200", 1200), ("12.5", 12.5), ("-3", -3), ("1e3", 1000.0)])
def test_flat_text_becomes_a_number_when_the_templates_field_is_one(text: str, number: float) -> None:
    assert field(flat(fields__points=text), "points", REWARDS)["value"] == number
    assert field(flat(fields__gate=text), "gate")["value"] == text
    with pytest.raises(ItemError, match="must be a number"):
        validate(REWARDS, flat(fields__points="many"))
    with pytest.raises(ItemError, match="must be a number"):
        validate(REWARDS, item(fields={"points": text}))


def test_other_attributes_with_a_dot_are_ignored() -> None:
    assert item(**{"meta.gate": "1", "fields.": "x", "overrides.": "y", "a.fields.gate": "z"}) == item()


TEXTS = {"en": "Boarding closes", "de": "Einsteigen endet"}


def strings(given: PassItem, template: Template = BOARDING) -> dict[str, dict[str, str]]:
    return {path: parse_strings(raw) for path, raw in localized_strings(template, given).items()}


@pytest.mark.parametrize("form", [{"value": TEXTS}, TEXTS], ids=["value", "field"])
def test_value_in_several_languages_is_in_the_strings_file_of_each(form: dict[str, object]) -> None:
    given = item(fields={"status": form})
    shown = field(given, "status")
    found = strings(given)
    assert set(found) == {"en.lproj/pass.strings", "de.lproj/pass.strings"}
    assert {path[:2]: texts[shown["value"]] for path, texts in found.items()} == TEXTS
    assert shown["label"] == "status_label"
    for language, own in BOARDING.strings.items():
        assert own.items() <= found[f"{language}.lproj/pass.strings"].items()


def test_missing_language_of_a_text_or_template_is_filled_from_the_nearest_one() -> None:
    given = item(fields={"status": {"value": {"en": "Late", "fr": "En retard"}, "label": {"de": "Lage"}}})
    shown, found = field(given, "status"), strings(given)
    assert found["de.lproj/pass.strings"][shown["value"]] == "Late"
    assert found["fr.lproj/pass.strings"][shown["value"]] == "En retard"
    assert found["en.lproj/pass.strings"][shown["label"]] == "Lage"
    assert BOARDING.strings["en"].items() <= found["fr.lproj/pass.strings"].items()


def test_value_changes_with_the_text_of_any_language() -> None:
    before = field(item(fields={"status": TEXTS}), "status")["value"]
    assert field(item(fields={"status": {**TEXTS, "de": "Zu"}}), "status")["value"] != before
    assert field(item(fields={"status": dict(reversed(TEXTS.items()))}), "status")["value"] == before
    assert not item(fields={"status": TEXTS}).same_content(item(fields={"status": {**TEXTS, "de": "Zu"}}))


def test_texts_without_languages_add_no_strings_files() -> None:
    assert localized_strings(BOARDING, item(fields={"status": "status_on_time"})) == {}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=6) | st.decimals(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(), max_size=6), inner, max_size=3)
    ),
    max_leaves=10,
)
NAMES = st.sampled_from(["fields", "overrides", "fields.gate", "overrides.maxDistance", "overrides.userInfo", "voided"])


@given(st.dictionaries(NAMES, JSON | st.dictionaries(st.sampled_from(["gate", "semantics", "nfc"]), JSON), max_size=4))
def test_any_item_is_rendered_or_refused_with_a_printable_message(attributes: dict[str, object]) -> None:
    try:
        rendered = content(item(**attributes))
    except ItemError as error:
        assert str(error).encode()  # noqa: PT017 - either way is right
    else:
        assert rendered["serialNumber"] == "CASE"


@pytest.mark.parametrize("texts", [{}, {"a": "x"}, {"en": 5}, {"english!": "x"}])
def test_map_that_is_not_a_text_in_languages_is_never_rendered(texts: dict[str, object]) -> None:
    stored = item(fields={"status": {"label": texts}})
    with pytest.raises(ItemError, match="must be a text, not dict"):
        render(BOARDING, stored, web_service_url="", authentication_token=TOKEN, team_identifier="T")
    assert localized_strings(BOARDING, stored) == {}

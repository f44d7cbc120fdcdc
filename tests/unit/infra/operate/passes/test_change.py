"""Tests of changes of single values of a pass item."""

from typing import Any

import pytest

from infra.operate.passes.change import ItemChange, differences

ITEM: dict[str, Any] = {
    "pass_id": "pass.x/1",
    "template": "boarding",
    "fields": {"gate": "A1", "seat": {"label": "Seat", "value": "1A"}},
    "own": 7,
}


def test_change_keeps_all_other_values() -> None:
    change = ItemChange(fields={"gate": "B2"}, overrides={"logoText": "x"}, voided=True)
    assert change.applied_to(ITEM) == {
        **ITEM,
        "fields": {**ITEM["fields"], "gate": "B2"},
        "overrides": {"logoText": "x"},
        "voided": True,
    }
    assert ITEM["fields"]["gate"] == "A1"


def test_value_replaces_only_the_value_of_a_map() -> None:
    assert ItemChange(fields={"seat": "2B"}).applied_to(ITEM)["fields"]["seat"] == {"label": "Seat", "value": "2B"}
    assert ItemChange(fields={"seat": {"value": "2B"}}).applied_to(ITEM)["fields"]["seat"] == {"value": "2B"}


def test_change_without_values_changes_nothing() -> None:
    assert ItemChange().applied_to(ITEM) == ITEM


def test_request_sets_each_value_on_the_condition_that_its_place_is_unchanged() -> None:
    assert ItemChange(fields={"gate": "B2", "seat": "2B"}, voided=False).request(ITEM) == {
        "UpdateExpression": "SET #fields.#fields0 = :fields0, #fields.#fields1.#value = :fields1, #voided = :voided",
        "ConditionExpression": (
            "#template = :template AND attribute_type(#fields, :map) AND attribute_type(#fields.#fields1, :map)"
        ),
        "ExpressionAttributeNames": {
            "#template": "template",
            "#fields": "fields",
            "#fields0": "gate",
            "#fields1": "seat",
            "#value": "value",
            "#voided": "voided",
        },
        "ExpressionAttributeValues": {
            ":template": "boarding",
            ":map": "M",
            ":fields0": "B2",
            ":fields1": "2B",
            ":voided": False,
        },
    }


@pytest.mark.parametrize("item", [{"template": "boarding"}, {"template": "boarding", "overrides": None}])
def test_request_creates_a_map_that_does_not_exist(item: dict[str, Any]) -> None:
    request = ItemChange(overrides={"logoText": "x"}).request(item)
    assert request["UpdateExpression"] == "SET #overrides = :overrides"
    assert "(attribute_not_exists(#overrides) OR attribute_type(#overrides, :null))" in request["ConditionExpression"]
    assert request["ExpressionAttributeValues"][":overrides"] == {"logoText": "x"}


def test_unset_values_are_removed_from_maps_and_attributes() -> None:
    item = {**ITEM, "fields.class": "1", "images": {"strip.png": "k"}}
    change = ItemChange(unset=("fields.gate", "fields.class", "images.strip.png", "attributes.own", "fields.no-such"))
    assert change.applied_to(item) == {
        "pass_id": "pass.x/1",
        "template": "boarding",
        "fields": {"seat": {"label": "Seat", "value": "1A"}},
        "images": {},
    }
    request = change.request(item)
    assert request["UpdateExpression"] == "REMOVE #unset00.#unset01, #unset10, #unset20.#unset21, #unset30"
    assert request["ExpressionAttributeNames"]["#unset10"] == "fields.class"
    assert ItemChange().is_empty
    assert not change.is_empty


def test_differences_name_each_member_of_a_map() -> None:
    after = ItemChange(fields={"gate": "B2", "class": "1"}, voided=True, unset=("fields.seat",)).applied_to(ITEM)
    assert differences(ITEM, after) == [
        ("fields.gate", "A1", "B2"),
        ("fields.seat", {"label": "Seat", "value": "1A"}, None),
        ("fields.class", None, "1"),
        ("voided", False, True),
    ]


@pytest.mark.parametrize(
    ("before", "after"), [({"voided": False}, {}), ({}, {"voided": False}), ({"fields": {}}, {"fields": None})]
)
def test_absent_values_differ_from_nothing(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert differences(before, after) == []


def test_value_of_another_type_is_one_difference() -> None:
    assert differences({"fields": ["x"], "n": 0}, {"fields": {"gate": "A1"}, "n": ""}) == [
        ("fields", ["x"], {"gate": "A1"}),
        ("n", 0, ""),
    ]

"""Tests of the stack of a stage that `chalice deploy` deploys: references to what Chalice names become names."""

import json

import pytest

from infra.deploy.chalice.data_stack import API_ID, HAS_API, additions, data_template, environment, function_names
from infra.deploy.expressions import name_of
from infra.deploy.resources import resources

TEMPLATE = data_template([])


def test_template_has_the_resources_of_its_own_only() -> None:
    own = {name for name, resource in resources()["Resources"].items() if "Type" in resource}
    assert set(TEMPLATE["Resources"]) == own
    assert not own & set(additions())


def test_no_reference_to_a_resource_of_chalice_is_left() -> None:
    text = json.dumps(TEMPLATE["Resources"]) + json.dumps(TEMPLATE["Outputs"])
    for name in (*additions(), *function_names(), "RestAPI"):
        assert f'"Ref": "{name}"' not in text
        assert f'"{name}", "Arn"' not in text
        assert f"${{{name}" not in text


def test_what_needs_the_api_is_created_after_it_exists() -> None:
    for part in (*TEMPLATE["Resources"].values(), *TEMPLATE["Outputs"].values()):
        if API_ID in json.dumps({key: value for key, value in part.items() if key != "Condition"}):
            assert part["Condition"].endswith(HAS_API)
            assert part["Condition"] in TEMPLATE["Conditions"]
    assert TEMPLATE["Parameters"][API_ID] == {"Type": "String", "Default": ""}


@pytest.mark.parametrize("logical_id", ["APIHandler", "Push", "PushWorker", "PublishEvents", "CheckCertificates"])
def test_functions_have_the_names_that_chalice_gives_them(logical_id: str) -> None:
    assert function_names()[logical_id].startswith("passwire-${Stage}")


def test_expressions_that_are_read_become_outputs() -> None:
    (name, value) = next((name, value) for name, value in environment().items() if isinstance(value, dict))
    template = data_template([{name: value}])
    assert name_of(value) in template["Outputs"]
    assert set(template["Outputs"]) > set(TEMPLATE["Outputs"])

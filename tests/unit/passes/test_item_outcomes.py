"""Tests of how items end: with an error if phones refuse the value, a warning if they drop it or show another."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from chalicelib.aws.templates import Templates
from chalicelib.passes.item import PassItem
from chalicelib.passes.item_errors import ItemError
from chalicelib.passes.rendering import validate

BOARDING = Templates().get("boarding")
CASES = json.loads(Path(__file__).with_name("item_outcomes.json").read_text(), parse_float=Decimal, parse_int=Decimal)
"""Pairs of the outcome and an item's attributes; the item is of the template `boarding`."""


def outcome(attributes: dict[str, Any]) -> str:
    try:
        found = validate(BOARDING, PassItem.parse({"pass_id": "pass.a/1", "template": "boarding", **attributes}))
    except ItemError:
        return "error"
    return "warning" if found else "ok"


@pytest.mark.parametrize("expected", ["error", "warning", "ok"])
def test_items_end_as_phones_treat_them(expected: str) -> None:
    items = [attributes for result, attributes in CASES if result == expected]
    assert len(items) >= 40
    assert [item for item in items if outcome(item) != expected] == []

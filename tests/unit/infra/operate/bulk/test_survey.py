"""Tests of comparing an imported row with the stored item."""

import pytest

from infra.operate.bulk.survey import is_same_content

STORED = {"pass_id": "pass.com.acme/1", "template": "member", "fields": {"visits": 3}}


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({}, True),
        ({"fields": {"visits": {"value": 3}}}, True),
        ({"comment": "for the pipeline"}, True),
        ({"voided": False}, True),
        ({"fields": {"visits": 4}}, False),
        ({"voided": True}, False),
        ({"template": "other"}, False),
    ],
    ids=str,
)
def test_only_what_devices_see_is_a_change(changes: dict[str, object], *, same: bool) -> None:
    assert is_same_content(STORED, {**STORED, **changes}) is same


def test_invalid_stored_item_is_replaced() -> None:
    assert not is_same_content({"pass_id": "pass.com.acme/1", "fields": 5}, STORED)

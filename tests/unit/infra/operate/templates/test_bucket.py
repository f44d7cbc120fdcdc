"""Tests of a template's files as Pass Designer stores them."""

import json
from typing import Any

import pytest

from infra.operate.templates.bucket import for_designer

CONTENT: dict[str, Any] = {
    "eventTicket": {"primaryFields": [{"key": "seat", "value": ""}], "backFields": [{"key": "terms", "_id": "kept"}]},
    "semantics": {"seats": [{"seatNumber": "1"}, "no map"]},
    "featuredActions": [{"title": "Shop"}],
}


def stored(content: dict[str, Any]) -> dict[str, Any]:
    files = for_designer({"pass.json": json.dumps(content).encode(), "icon.png": b"x"})
    assert files.keys() == {"pass.json", "icon.png", "tooling.json"}
    found: dict[str, Any] = json.loads(files["pass.json"])
    return found


def test_fields_seats_and_actions_have_identifiers_of_their_own() -> None:
    content = stored(CONTENT)
    fields = content["eventTicket"]
    new = [fields["primaryFields"][0], content["semantics"]["seats"][0], content["featuredActions"][0]]
    assert len({each["_id"] for each in new}) == 3
    assert fields["backFields"] == [{"key": "terms", "_id": "kept"}]
    assert content["semantics"]["seats"][1] == "no map"


@pytest.mark.parametrize("semantics", [None, [], {"seats": {}}, {"seats": None}])
def test_other_content_is_unchanged(semantics: object) -> None:
    assert stored({"generic": {}, "semantics": semantics}) == {"generic": {}, "semantics": semantics}


def test_json_with_a_byte_order_mark_is_read() -> None:
    assert json.loads(for_designer({"pass.json": b'\xef\xbb\xbf{"generic": {}}'})["pass.json"]) == {"generic": {}}

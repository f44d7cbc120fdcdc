"""Changes of items, as the timeline describes them."""

from infra.local.page.items import MAX_LINE, describe_changes

ITEM = {"template": "boarding", "fields": {"gate": "A7", "seat": "14C"}}


def changed(**fields: object) -> dict[str, object]:
    return {**ITEM, "fields": {**ITEM["fields"], **fields}}  # type: ignore[dict-item]  # a map


def test_changed_field_is_described_with_its_value() -> None:
    assert describe_changes({"a/1": ITEM}, {"a/1": changed(gate="B22")}) == ["wrote a/1: gate B22"]


def test_changed_attributes_are_named() -> None:
    assert describe_changes({"a/1": ITEM}, {"a/1": {**ITEM, "voided": True}}) == ["wrote a/1: voided"]


def test_new_and_deleted_items_are_described() -> None:
    assert describe_changes({"a/1": ITEM}, {"a/2": ITEM}) == ["deleted a/1", "wrote a/2, which is new"]


def test_equal_items_are_not_described() -> None:
    assert describe_changes({"a/1": ITEM}, {"a/1": dict(ITEM)}) == []


def test_line_is_limited() -> None:
    assert len(describe_changes({"a/1": ITEM}, {"a/1": changed(gate="x" * 10_000)})[0]) == MAX_LINE

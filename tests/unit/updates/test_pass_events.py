"""Events of the versions table's stream: which changes of a row are events, and what they say."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema_rs import Draft202012Validator, meta

from chalicelib.core.identifiers import PassId
from chalicelib.updates.events import EventNote
from chalicelib.updates.pass_events import VersionImage, VersionRecord, events_of_pass, is_counted, note_event

SCHEMAS = Path(__file__).parents[3] / "docs" / "reference" / "events"
PASS = PassId("pass.com.example", "1")
ISSUED = VersionImage(announced=100, revision=1)
CHANGED = VersionImage(announced=200, revision=2)


def record(old: VersionImage, new: VersionImage, key: str = str(PASS)) -> VersionRecord:
    return VersionRecord(key, "7", 1_700_000_000.0, old, new)


def events(old: VersionImage, new: VersionImage) -> list[dict[str, object]]:
    changed = record(old, new)
    found = events_of_pass(changed, PASS, template="boarding", devices=3, updates=True) if changed.is_event else []
    return [{"name": event.name, **event.detail} for event in found]


def names(old: VersionImage, new: VersionImage) -> list[object]:
    return [event["name"] for event in events(old, new)]


def test_update_names_the_number_of_devices() -> None:
    (found,) = events(ISSUED, CHANGED)
    assert len(str(found.pop("id"))) == 32
    assert found == {
        "name": "pass.updated",
        "schema_version": 1,
        "time": "2023-11-14T22:13:20Z",
        "pass_id": "pass.com.example/1",
        "pass_type_identifier": "pass.com.example",
        "serial_number": "1",
        "template": "boarding",
        "devices": 3,
        "revision": 2,
    }


REFUSED = ("no template 'x'", "x", 150)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (VersionImage(), ISSUED, []),
        (ISSUED, CHANGED, ["pass.updated"]),
        (VersionImage(), CHANGED, ["pass.updated"]),
        (CHANGED, replace(CHANGED, announced=300, revision=3, deleted=True), []),
        (CHANGED, CHANGED, []),
        (CHANGED, replace(CHANGED, revision=3), []),
        (ISSUED, replace(ISSUED, revision=2, refusal=REFUSED), ["pass.refused"]),
        (replace(ISSUED, refusal=REFUSED), replace(CHANGED, refusal=None), ["pass.updated"]),
        (replace(ISSUED, refusal=REFUSED), replace(ISSUED, refusal=REFUSED), []),
        (ISSUED, replace(ISSUED, personalized=True), ["pass.personalized"]),
        (replace(ISSUED, personalized=True), replace(CHANGED, personalized=True), ["pass.updated"]),
        (VersionImage(), VersionImage(), []),
    ],
    ids=[
        "first issue",
        "update",
        "changed twice before its first stamp",
        "deletion",
        "progress of a fan-out",
        "stamp of a personalization, which its item's change announces",
        "refusal",
        "repaired",
        "refused before",
        "sign-up",
        "update after a sign-up",
        "row of another kind",
    ],
)
def test_changes_that_are_events(old: VersionImage, new: VersionImage, expected: list[str]) -> None:
    assert names(old, new) == expected


def test_restored_rows_and_the_stamps_of_their_items_are_not_events() -> None:
    restored = VersionImage(announced=50, revision=5, refusal=REFUSED, personalized=True, silent=6)
    assert names(VersionImage(), restored) == []
    stamped = replace(restored, announced=60, revision=6, refusal=None)
    assert names(restored, stamped) == []
    assert names(stamped, replace(stamped, announced=70, revision=7)) == ["pass.updated"]


def test_refusal_has_the_template_of_the_refused_item() -> None:
    (found,) = events(ISSUED, replace(ISSUED, refusal=REFUSED))
    assert (found["template"], found["reason"]) == ("x", "no template 'x'")


def test_update_that_is_counted_is_left_out() -> None:
    update = record(ISSUED, CHANGED)
    assert [is_counted(update, announced=announced) for announced in (0, 100, 200, 300)] == [False, False, True, True]
    assert events_of_pass(update, PASS, template="", devices=0, updates=False) == []


@pytest.mark.parametrize(
    "new",
    [CHANGED, replace(ISSUED, refusal=REFUSED), replace(ISSUED, personalized=True)],
    ids=["updated", "refused", "personalized"],
)
def test_event_is_valid_by_its_schema(new: VersionImage) -> None:
    (event,) = events_of_pass(record(ISSUED, new), PASS, template="boarding", devices=3, updates=True)
    validate(event.name, json.loads(event.encode()))


@pytest.mark.parametrize(
    "note",
    [
        EventNote("pass.refused", "", {"pass_id": "nonsense", "reason": "there is no '/'"}),
        EventNote("pushes.rejected", "p", {"pass_type_identifier": "p", "reason": "BadTopic", "devices": 5}),
        EventNote("removals.held", "p", {"pass_type_identifier": "p", "reason": "410 Unregistered", "devices": 5}),
        EventNote("certificate.expiring", "p", {"pass_type_identifier": "p", "days_left": 0}),
    ],
    ids=lambda note: note.name,
)
def test_note_is_an_event_that_is_valid_by_its_schema(note: EventNote) -> None:
    row = VersionImage(note=json.dumps({"event": note.name, "detail": dict(note.detail)}), noted_at=1_700_000_000)
    noted = record(VersionImage(), row, key=note.key)
    assert noted.is_event
    assert noted.pass_id is None
    event = note_event(noted)
    validate(note.name, json.loads(event.encode()))
    again = replace(noted, sequence_number="8")
    assert note_event(again).detail["id"] != event.detail["id"]


def validate(name: str, detail: object) -> None:
    schema = json.loads((SCHEMAS / f"{name}.json").read_text())
    meta.validate(schema)
    Draft202012Validator(schema).validate(detail)

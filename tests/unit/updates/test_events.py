"""The form of events: the fields that all have, and their size."""

import json

from chalicelib.core.identifiers import PassId
from chalicelib.updates.events import MAX_DETAIL_BYTES, Event, EventNote, event_id, new_event, pass_fields

PASS = PassId("pass.com.example", "1")


def test_event_has_an_id_that_its_repeats_share() -> None:
    detail = pass_fields(PASS, "t")
    events = [new_event("pass.updated", at=1.5, identity=("a", number), detail=detail) for number in "112"]
    ids = [event.detail["id"] for event in events]
    assert ids[0] == ids[1] != ids[2]
    assert ids[0] == event_id("pass.updated", "a", "1") != event_id("pass.refused", "a", "1")
    assert events[0].detail["time"] == "1970-01-01T00:00:01Z"
    assert events[0].detail["serial_number"] == "1"


def test_event_over_the_limit_is_cut_and_says_so() -> None:
    """EventBridge refuses an entry above 256 KB, and SQS a message: the event arrives with shorter texts."""
    detail = {**pass_fields(PASS, "t"), "reason": "\N{BELL}" * 300_000}
    sent = json.loads(Event("pass.refused", 0.0, detail).encode())
    assert sent == {**detail, "reason": "\N{BELL}" * 1000, "truncated": True}
    assert len(json.dumps(sent)) < MAX_DETAIL_BYTES
    just_fits = {"reason": "a" * (MAX_DETAIL_BYTES - 13)}
    assert json.loads(Event("pass.refused", 0.0, just_fits).encode()) == just_fits


def test_key_of_a_note_equals_no_pass_id() -> None:
    assert EventNote("pass.refused", "", {}).key == "event pass.refused"
    assert EventNote("pushes.rejected", "pass.com.example BadTopic", {}).key == (
        "event pushes.rejected pass.com.example BadTopic"
    )

"""Counting holders: exact under repeats and interruptions, and the events that follow from each change."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator, meta

from chalicelib.core.identifiers import MAX_PASS_ID_BYTES, DeviceLibraryIdentifier, PassId
from chalicelib.updates.holders import (
    PassCount,
    RegistrationRecord,
    Step,
    StreamRow,
    cause_of,
    count,
    event_of,
    totals_of,
)
from chalicelib.updates.removal_notes import Cause, Removal

SCHEMAS = Path(__file__).parents[3] / "docs" / "reference" / "events"
PASS = PassId("pass.com.example", "1")
PHONE = DeviceLibraryIdentifier("phone")
COUNTED = StreamRow(100, counted=True)
OLD = StreamRow(100, counted=False)


def record(number: int, old: StreamRow | None, new: StreamRow | None, *, device: str = "phone") -> RegistrationRecord:
    return RegistrationRecord(PASS, DeviceLibraryIdentifier(device), str(number), 1_700_000_000.0, old, new)


def event(step: Step, cause: Cause = Cause.PERSON) -> dict[str, object] | None:
    found = event_of(step, template="boarding", device_hash="abc123", cause=cause)
    return None if found is None else {"name": found.name, **found.detail}


@given(
    changes=st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=30),
    cuts=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=10),
)
def test_count_is_exact_whatever_is_delivered_again(
    changes: list[tuple[str, bool]], cuts: list[tuple[int, int]]
) -> None:
    """A shard is delivered from any earlier position again, and the numbers of each record are the same each time."""
    held: set[str] = set()
    records, expected = [], []
    for number, (device, adds) in enumerate(changes, start=1):
        if adds == (device in held):
            continue
        held ^= {device}
        records.append(record(number, None if adds else COUNTED, COUNTED if adds else None, device=device))
        expected.append(len(held))
    state = PassCount()
    reached: list[int] = []
    done = 0
    for start, length in [*cuts, (0, len(records))]:
        first = min(start, done)
        counted = count(state, records[first : first + length], template="t")
        state, done = counted.after, max(done, min(len(records), first + length))
        reached += [step.holders for step in counted.steps]
    assert reached == expected
    assert state.holders == len(held)


def test_sequence_numbers_are_compared_as_numbers() -> None:
    counted = count(PassCount(), [record(9, None, COUNTED), record(10, COUNTED, None)], template="t")
    assert [step.holders for step in counted.steps] == [1, 0]


def test_first_and_last_holder_are_marked() -> None:
    records = [record(1, None, COUNTED), record(2, None, COUNTED, device="b"), record(3, COUNTED, None)]
    records.append(record(4, COUNTED, None, device="b"))
    first, second, third, last = (event(step) for step in count(PassCount(), records, template="t").steps)
    assert (first or {})["first_holder"] is True
    assert (second or {})["first_holder"] is False
    assert (third or {})["last_holder"] is False
    assert (last or {})["last_holder"] is True


def test_event_names_the_pass_and_the_hash_of_the_device() -> None:
    (step,) = count(PassCount(), [record(7, None, COUNTED)], template="t").steps
    found = event(step)
    assert found is not None
    assert found.pop("id") == (event(step) or {})["id"]
    assert found == {
        "name": "pass.registered",
        "schema_version": 1,
        "time": "2023-11-14T22:13:20Z",
        "pass_id": "pass.com.example/1",
        "pass_type_identifier": "pass.com.example",
        "serial_number": "1",
        "template": "boarding",
        "device": "abc123",
        "wallet": "apple",
        "holders": 1,
        "first_holder": True,
    }


@pytest.mark.parametrize(
    ("old", "new"), [(COUNTED, COUNTED), (OLD, COUNTED), (None, StreamRow(1, counted=True, silent=True))]
)
def test_repeated_and_restored_registrations_are_not_events(old: StreamRow | None, new: StreamRow) -> None:
    (step,) = count(PassCount(), [record(1, old, new)], template="t").steps
    assert event(step) is None


def test_registration_from_before_the_stream_is_counted_once() -> None:
    """Marking an old row counts it; removing an old row that was never marked changes nothing."""
    records = [record(1, OLD, COUNTED), record(2, COUNTED, COUNTED), record(3, OLD, None, device="b")]
    counted = count(PassCount(), records, template="t")
    assert counted.after.holders == 1


@pytest.mark.parametrize(
    ("notes", "cause"),
    [
        ([], Cause.PERSON),
        ([Removal(Cause.PASS_DELETED, 100)], Cause.PASS_DELETED),
        ([Removal(Cause.DEVICE_UNREGISTERED, 250)], Cause.DEVICE_UNREGISTERED),
        ([Removal(Cause.DEVICE_UNREGISTERED, 99)], Cause.PERSON),
    ],
)
def test_note_of_an_earlier_registration_does_not_explain_a_later_removal(notes: list[Removal], cause: Cause) -> None:
    assert cause_of(record(1, COUNTED, None), notes) is cause


def test_template_of_a_pass_moves_its_holders() -> None:
    counted = count(PassCount(3, "", "old"), [record(1, None, COUNTED)], template="new")
    totals = totals_of({PASS: counted})
    assert totals.holders == {("pass.com.example", "old"): -3, ("pass.com.example", "new"): 4}
    assert totals.added == {("2023-11-14", "pass.com.example", "new"): 1}


def test_deleted_pass_keeps_the_template_that_it_had() -> None:
    counted = count(PassCount(1, "", "boarding"), [record(1, COUNTED, None)], template=None)
    assert counted.after.template == "boarding"
    assert totals_of({PASS: counted}).removed == {("2023-11-14", "pass.com.example", "boarding"): 1}


def test_largest_event_is_far_below_the_limit_of_an_entry() -> None:
    """EventBridge refuses entries above 256 KB: all texts of an event have limits of their own."""
    pass_id = PassId("pass.com.example", "\N{BELL}" * ((MAX_PASS_ID_BYTES - 17) // 4))
    largest = RegistrationRecord(pass_id, PHONE, "9" * 40, 1_700_000_000.0, None, COUNTED)
    found = event_of(Step(largest, 10**9), template="t" * 64, device_hash="0" * 12, cause=Cause.PERSON)
    assert found is not None
    assert len(json.dumps(found.detail)) < 16_384


@pytest.mark.parametrize("removed", [False, True])
def test_detail_is_valid_by_its_schema(*, removed: bool) -> None:
    step = Step(record(1, COUNTED if removed else None, None if removed else COUNTED), 0 if removed else 1)
    found = event_of(step, template="", device_hash="0123456789ab", cause=Cause.PASS_DELETED)
    assert found is not None
    schema = json.loads((SCHEMAS / f"{found.name}.json").read_text())
    meta.validate(schema)
    Draft202012Validator(schema).validate(dict(found.detail))

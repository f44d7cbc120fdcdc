"""Tests of the messages in the dead-letter queue: which come again, as which tasks, and how they are described."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId
from chalicelib.updates.push_tasks import (
    FanOut,
    NotifyDevices,
    PushTask,
    Recheck,
    RecheckReason,
    RemoveRegistrations,
    encode,
)
from infra.operate.dead_letters import recheck_for, refused_item, summary, task_in, unconditional

PASS = PassId("pass.com.acme", "1")
DEVICE = DeviceLibraryIdentifier("device-of-ada")
TASKS: list[tuple[PushTask, str]] = [
    (NotifyDevices("pass.com.acme", (DEVICE,), 1.0), "pushes of pass.com.acme that were given up"),
    (FanOut(PASS, DEVICE, 1.0), "fan-out of pass pass.com.acme/1 that was given up"),
    (
        RemoveRegistrations(PASS, None, 1.0),
        "removal of the registrations of pass pass.com.acme/1 that was given up",
    ),
    (Recheck(PASS, RecheckReason.DOWNLOAD, 1.0), "recheck of pass pass.com.acme/1 that was given up"),
]


@pytest.mark.parametrize(("task", "described"), TASKS, ids=lambda value: type(value).__name__)
def test_task_is_described_without_its_devices(task: PushTask, described: str) -> None:
    body = encode(task)
    assert task_in(body) == task
    assert summary(body) == described
    assert (refused_item(body), recheck_for(body)) == (None, None)


@pytest.mark.parametrize("reason", RecheckReason)
def test_redriven_recheck_is_carried_out_in_any_case(reason: RecheckReason) -> None:
    """It may have set its stamp and failed before its fan-out was queued."""
    recheck = Recheck(PASS, reason, 1.0)
    assert unconditional(recheck) == Recheck(recheck.pass_id, RecheckReason.UNSETTLED, 1.0)


def test_other_redriven_tasks_are_unchanged() -> None:
    fan_out = FanOut(PASS, None, 1.0)
    assert unconditional(fan_out) == fan_out


def letter(**content: object) -> str:
    return json.dumps({"refused": str(PASS), "error": "gate: no such field", **content})


def test_refused_item_is_rechecked_for_its_refusal() -> None:
    recheck = recheck_for(letter(refused_at=5.0))
    assert recheck is not None
    assert (recheck.pass_id, recheck.reason) == (PASS, RecheckReason.REFUSED)
    assert refused_item(letter()) == (str(PASS), "gate: no such field")
    assert summary(letter()) == "refused: gate: no such field"


def test_letter_of_an_older_version_is_rechecked_in_any_case() -> None:
    """It has no time of refusal, and its refusal is not on record."""
    recheck = recheck_for(letter())
    assert recheck is not None
    assert recheck.reason is RecheckReason.UNSETTLED


def test_stream_batch_is_recognized() -> None:
    assert summary(json.dumps({"DDBStreamBatchInfo": {}})) == "batch of the passes stream that was given up"


@given(st.text(max_size=20) | st.lists(st.none() | st.integers() | st.text(max_size=5), max_size=3).map(json.dumps))
def test_any_other_message_stays(body: str) -> None:
    assert (task_in(body), recheck_for(body), refused_item(body)) == (None, None, None)
    assert summary(body) in ("message that this service did not write", "batch of the passes stream that was given up")


@pytest.mark.parametrize("refused", ["", "no-slash", None, 5, {}])
def test_letter_without_a_valid_pass_is_not_rechecked(refused: object) -> None:
    assert recheck_for(letter(refused=refused)) is None

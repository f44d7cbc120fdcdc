"""Tests of the rules for removing devices, for any responses to a send."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.errors import RefusedError
from chalicelib.core.identifiers import DeviceLibraryIdentifier
from chalicelib.updates.removals import (
    MAX_DEVICES_PER_MESSAGE,
    HeldDevice,
    HeldRemovals,
    SendEvidence,
    Verdict,
    judge_rejected,
    judge_unregistered,
    parse_held_removals,
)

DAY = 24 * 3600
NOW = 1_700_000_000
counts = st.integers(0, 1000)


@given(delivered=counts, unregistered=counts, rejected=counts, age=st.none() | st.integers(0, 30 * DAY))
def test_unregistered_devices_are_held_when_they_are_many_and_a_large_share(
    delivered: int, unregistered: int, rejected: int, age: int | None
) -> None:
    """Regardless of the other responses."""
    answered = delivered + unregistered + rejected
    evidence = SendEvidence(answered, delivered, unregistered, rejected, NOW, None if age is None else NOW - age)
    is_mass = unregistered > 5 and unregistered / answered > 0.2
    assert judge_unregistered(evidence) is (Verdict.HOLD if is_mass else Verdict.REMOVE)


@given(
    delivered=counts,
    rejected=st.integers(1, 1000),
    proof=st.none() | st.integers(0, 30 * DAY),
    mark=st.none() | st.integers(0, 30 * DAY),
)
def test_rejected_device_is_removed_only_a_day_after_its_mark_and_with_a_delivery_since(
    delivered: int, rejected: int, proof: int | None, mark: int | None
) -> None:
    """No count and no share is sufficient."""
    last_delivery = None if proof is None else NOW - proof
    evidence = SendEvidence(delivered + rejected, delivered, 0, rejected, NOW, last_delivery)
    verdict = judge_rejected(evidence, rejected_at=None if mark is None else NOW - mark)
    if verdict is Verdict.REMOVE:
        assert mark is not None
        assert mark >= DAY
        assert delivered or (proof is not None and proof < mark)
    if verdict is Verdict.WAIT:
        assert mark is None or mark < DAY + 3600


def test_held_removals_are_read_back_and_fit_a_message() -> None:
    """With identifiers of the maximum length."""
    devices = tuple(HeldDevice(DeviceLibraryIdentifier(f"{number:0256}"), NOW * 1000) for number in range(1200))
    held = HeldRemovals("pass.com.example", "400 BadDeviceToken", devices, 12.5)
    pieces = held.in_chunks()
    assert [len(piece.devices) for piece in pieces] == [MAX_DEVICES_PER_MESSAGE, MAX_DEVICES_PER_MESSAGE, 200]
    assert all(len(piece.encode()) < 256 * 1024 for piece in pieces)
    assert [parse_held_removals(piece.encode()) for piece in pieces] == pieces


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"held": 1}', '{"held": "t", "reason": "r", "devices": [1], "changed_at": 1}', "[" * 5000],
    ids=range(5),
)
def test_other_text_is_refused_as_held_removals(text: str) -> None:
    """The error does not quote the text."""
    with pytest.raises(RefusedError, match="held removals"):
        parse_held_removals(text)

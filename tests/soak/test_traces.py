"""A push is traced to the changes that it announces."""

from typing import Any

import pytest

from chalicelib.telemetry import log
from infra.local.phones import HeadlessPhone
from tests.soak.ledger import Arrival
from tests.soak.traces import trace

WRITTEN_AGAIN = 1_000_000.0
PHONE = HeadlessPhone({})
ARRIVAL = Arrival(PHONE, WRITTEN_AGAIN + 2)


def pushed(*, at: float = ARRIVAL.at, phone: HeadlessPhone = PHONE, **fields: object) -> dict[str, Any]:
    device = log.hash_secret(phone.device_library_identifier)
    return {"event": "pushed", "at": at, "function": "push", "request_id": "r1", "device": device, **fields}


def stamped(*, written_at: float, **fields: object) -> dict[str, Any]:
    shown = {"pass_id": "pass.com.acme.boarding/SOAK-07", "modified_at": 7, "revision": 2, "request_id": "r1"}
    return {"event": "stamped", "at": written_at + 0.5, "function": "push", "written_at": written_at, **shown, **fields}


def test_push_of_an_earlier_change_is_told_apart() -> None:
    found = trace(ARRIVAL, WRITTEN_AGAIN, [stamped(written_at=WRITTEN_AGAIN - 9), pushed()])
    assert found.earlier
    assert "stamped SOAK-07" in str(found)
    assert "written at -9.0 s" in str(found)


def test_push_of_a_later_stamp_is_not_earlier() -> None:
    lines = [stamped(written_at=WRITTEN_AGAIN - 9), stamped(written_at=WRITTEN_AGAIN + 1), pushed()]
    assert not trace(ARRIVAL, WRITTEN_AGAIN, lines).earlier


@pytest.mark.parametrize("lines", [[], [pushed(phone=HeadlessPhone({}))], [pushed(at=ARRIVAL.at - 60)], [pushed()]])
def test_push_of_which_nothing_is_known_is_not_earlier(lines: list[dict[str, Any]]) -> None:
    found = trace(ARRIVAL, WRITTEN_AGAIN, lines)
    assert not found.earlier
    assert "logged" in str(found)


def test_push_of_a_recheck_is_traced_to_the_change_that_it_names() -> None:
    lines = [
        stamped(written_at=WRITTEN_AGAIN - 9, request_id="r7", changes="r3", reason="refused"),
        pushed(changes="r2 r3"),
    ]
    found = trace(ARRIVAL, WRITTEN_AGAIN, lines)
    assert found.earlier
    assert "because of refused" in str(found)


def test_push_of_a_large_send_is_traced_by_the_line_of_the_send() -> None:
    sent = {"event": "pushes_sent", "at": ARRIVAL.at, "function": "push_worker", "request_id": "r9", "devices": 40}
    found = trace(ARRIVAL, WRITTEN_AGAIN, [stamped(written_at=WRITTEN_AGAIN - 9), {**sent, "changes": "r1"}])
    assert found.earlier

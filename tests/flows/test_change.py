"""A batch of the stream: who is woken, how often, and what is stamped. Tables are in memory, APNs is a list."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from boto3.dynamodb.types import TypeSerializer

from chalicelib import log
from chalicelib.apns.client import Client, Outcome, Push
from chalicelib.apns.reasons import OutcomeKind
from chalicelib.domain.changes import RefusedRecord
from chalicelib.domain.errors import ConfigurationError
from chalicelib.domain.identifiers import DeviceLibraryIdentifier, PassId, PushToken
from chalicelib.domain.orders import FanOut, Forget, Order, WakeDevices
from chalicelib.flows import change
from chalicelib.flows.change import Changes
from chalicelib.flows.wake import Waker
from chalicelib.metrics import Metrics
from chalicelib.queue import Queue
from tests.schedules.memory import Memory

TYPE = "pass.com.example"
_SERIALIZER = TypeSerializer()


class Side:
    """The push side: what it is handed, and what came of it."""

    def __init__(self) -> None:
        self.rows = Memory()
        self.store = self.rows.store()
        self.pushed: list[Push] = []
        self.orders: list[Order] = []
        self.refused: list[RefusedRecord] = []
        self.credential_error: ConfigurationError | None = None
        queue = SimpleNamespace(send=self._send, refuse=self.refused.extend)
        waker = Waker(self.store, Metrics("test"), client_for=self._client_for, clock=time.time)
        self._numbers = iter(range(1, 1000))
        self._changes = Changes(
            self.store, cast("Queue", queue), waker, Metrics("test"), fits=lambda _: None, clock=time.time
        )

    def handles(self, *records: Mapping[str, Any]) -> None:
        assert self._changes.handle(records, deadline=time.monotonic() + 10) == []

    def holds(self, device: str, *serial_numbers: str) -> None:
        for serial_number in serial_numbers:
            pass_id = PassId(TYPE, serial_number)
            identifier, token = DeviceLibraryIdentifier(device), PushToken(f"token-of-{device}")
            self.store.registrations.create(identifier, pass_id, push_token=token, at=time.time())
            self.rows.items[pass_id] = {"pass_id": str(pass_id)}

    def record(
        self, serial_number: str, *, old: Mapping[str, object] | None, new: Mapping[str, object] | None
    ) -> dict[str, Any]:
        key = {"pass_id": f"{TYPE}/{serial_number}"}
        images = {
            name: _SERIALIZER.serialize({**key, "template": "t", **image})["M"]
            for name, image in (("OldImage", old), ("NewImage", new))
            if image is not None
        }
        number = str(next(self._numbers))
        return {"dynamodb": {"Keys": _SERIALIZER.serialize(key)["M"], "SequenceNumber": number, **images}}

    def changed(self, serial_number: str) -> dict[str, Any]:
        return self.record(serial_number, old={"fields": {"gate": "A"}}, new={"fields": {"gate": "B"}})

    def tokens(self) -> list[str]:
        return sorted(push.push_token.value for push in self.pushed)

    def _send(self, orders: Sequence[Order], *, delay_seconds: int = 0, until: float = 0.0) -> None:
        assert delay_seconds >= 0
        assert until >= 0
        self.orders.extend(orders)

    def _client_for(self, _: str) -> Client:
        if self.credential_error is not None:
            raise self.credential_error
        return cast("Client", SimpleNamespace(push=self._push, connections=0))

    def _push(self, pushes: Sequence[Push], *, deadline: float) -> Iterator[Outcome]:
        assert deadline
        for push in pushes:
            self.pushed.append(push)
            yield Outcome(push, OutcomeKind.DELIVERED, status=200)


@pytest.fixture
def side() -> Side:
    return Side()


def test_twenty_changed_passes_on_one_device_cost_one_push(side: Side) -> None:
    names = [f"P{number}" for number in range(20)]
    side.holds("phone", *names)
    side.handles(*(side.changed(name) for name in names))
    assert side.tokens() == ["token-of-phone"]
    assert all(side.rows.versions[PassId(TYPE, name)].revision == 1 for name in names)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"fields": {"gate": "A"}}, {"fields": {"gate": "A"}}),
        ({"fields": {"gate": "A"}}, {"fields": {"gate": "A"}, "own": 1}),
        ({"fields": {"gate": "A"}}, {"fields": {"gate": {"value": "A"}}}),
        ({"voided": False}, {}),
        ({}, {"authentication_token": "0" * 32}),
        ({"personalization": {"fullName": "Ada"}}, {}),
        ({"template_revision": "abc"}, {}),
        ({}, {"delete_after": 1}),
    ],
    ids=["same", "own attribute", "other form", "default", "token", "wiped sign-up", "wiped revision", "TTL"],
)
def test_what_no_device_would_see_wakes_nobody(
    side: Side, old: Mapping[str, object], new: Mapping[str, object]
) -> None:
    side.holds("phone", "P")
    side.handles(side.record("P", old=old, new=new))
    assert side.pushed == []
    assert side.orders == []
    assert PassId(TYPE, "P") not in side.rows.versions


def test_a_first_issue_wakes_nobody_but_is_stamped(side: Side) -> None:
    side.holds("phone", "P")
    side.handles(side.record("P", old=None, new={}))
    assert side.pushed == []
    assert side.rows.versions[PassId(TYPE, "P")].revision == 1


def test_every_change_of_a_batch_counts(side: Side) -> None:
    side.handles(*(side.changed("P") for _ in range(3)))
    assert side.rows.versions[PassId(TYPE, "P")].revision == 3


def test_what_many_hold_is_left_to_the_queue(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the devices are spread over the passes of a batch."""
    monkeypatch.setattr(change, "MAX_DIRECT_DEVICES", 3)
    for number in range(4):
        side.holds(f"phone-{number}", "P", "Q")
    side.handles(side.changed("P"), side.changed("Q"))
    assert len(side.pushed) == 3
    fan_outs = [order for order in side.orders if isinstance(order, FanOut)]
    assert [(order.pass_id.serial_number, order.after is None) for order in fan_outs] == [("P", False), ("Q", True)]


def test_a_pass_that_is_gone_has_its_registrations_removed(side: Side) -> None:
    side.handles(side.record("P", old={}, new=None))
    assert side.orders == [Forget(PassId(TYPE, "P"))]
    assert side.rows.versions[PassId(TYPE, "P")].deleted


def test_an_old_deletion_that_is_handed_out_again_does_not_hide_a_pass_that_is_back(side: Side) -> None:
    side.holds("phone", "P")
    side.handles(side.record("P", old={}, new=None))
    assert not side.rows.versions[PassId(TYPE, "P")].deleted
    assert side.tokens() == ["token-of-phone"]


def test_without_a_credential_the_work_is_kept_and_counted(side: Side, capsys: pytest.CaptureFixture[str]) -> None:
    side.credential_error = ConfigurationError("no certificate")
    side.holds("phone", "P")
    side.handles(side.changed("P"))
    (order,) = side.orders
    assert isinstance(order, WakeDevices)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["Pushes"] for line in lines if line.get("Outcome") == "configuration"] == [1]


def test_a_malformed_item_is_refused_and_its_neighbours_are_processed(side: Side) -> None:
    side.holds("phone", "P")
    bad = side.record("BAD", old={}, new={"fields": "not a map"})
    side.handles(bad, side.changed("P"))
    assert side.tokens() == ["token-of-phone"]
    (refused,) = side.refused
    assert refused.pass_id == f"{TYPE}/BAD"
    assert "fields" in str(refused.error)


def test_a_change_is_followed_by_one_id_from_its_stream_record_to_its_push_and_into_the_queue(
    side: Side, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change, "MAX_DIRECT_DEVICES", 1)
    side.holds("phone", "P")
    side.holds("phone-2", "P")
    record = side.changed("P")
    with log.invocation(request_id="change-1"):
        side.handles(record)
    lines = {line.get("event"): line for line in map(json.loads, capsys.readouterr().out.splitlines())}
    assert lines["stamped"]["sequence_number"] == record["dynamodb"]["SequenceNumber"]
    assert {lines[event]["request_id"] for event in ("stamped", "found", "pushed", "woken")} == {"change-1"}
    assert lines["found"]["shown"] == [lines["pushed"]["device"]]
    (order,) = side.orders
    assert isinstance(order, FanOut)
    assert order.change == "change-1"

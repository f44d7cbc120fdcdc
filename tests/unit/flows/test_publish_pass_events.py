"""Publishing changes of passes: at least once with one id, and each update counted once."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from chalicelib.aws.event_bus import EventBus
from chalicelib.aws.queue import Queue
from chalicelib.aws.tables import Store
from chalicelib.core.identifiers import PassId
from chalicelib.flows.deliver_events import EventDelivery
from chalicelib.flows.publish_pass_events import PassEventPublisher
from chalicelib.http.events import is_of_registrations, version_records
from chalicelib.telemetry.metrics import Metrics
from chalicelib.updates.events import Event
from chalicelib.updates.holders import PassCount, PassUpdates, updates_by_day
from tests.support.first_events import registration_event, version_event

NOW = 1_700_000_000.0
TYPE = "pass.com.example"


@dataclass
class World:
    """The counts table and the bus in memory."""

    rows: dict[PassId, PassCount] = field(default_factory=dict)
    updated: dict[tuple[str, str, str], int] = field(default_factory=dict)
    published: list[Event] = field(default_factory=list)
    bus_is_there: bool = True
    dies_before_counting: bool = False
    conflicts: int = 0

    def handle(self, *events: dict[str, Any]) -> list[str]:
        store = SimpleNamespace(
            counts=SimpleNamespace(of=self._of, commit_updates=self._commit),
            passes=SimpleNamespace(templates=lambda pass_ids: dict.fromkeys(pass_ids, "boarding")),
        )
        bus = cast("EventBus", SimpleNamespace(put=self._put))
        delivery = EventDelivery(bus, cast("Queue", SimpleNamespace()), lambda: NOW)
        records = [record for event in events for record in event["Records"]]
        for record in records:
            record["dynamodb"]["ApproximateCreationDateTime"] = NOW
        publisher = PassEventPublisher(cast("Store", store), delivery, Metrics("test"))
        return publisher.handle(version_records({"Records": records}))

    def _of(self, pass_ids: Collection[PassId]) -> dict[PassId, PassCount]:
        return {pass_id: self.rows.get(pass_id, PassCount(holders=2)) for pass_id in pass_ids}

    def _commit(self, updates: Mapping[PassId, PassUpdates]) -> bool:
        if self.dies_before_counting:
            raise RuntimeError("the invocation ended here")
        if self.conflicts:
            self.conflicts -= 1
            return False
        for pass_id, of_pass in updates.items():
            assert self._of([pass_id])[pass_id] == of_pass.before
            self.rows[pass_id] = replace(of_pass.before, announced=of_pass.announced)
        for key, count in updates_by_day(updates).items():
            self.updated[key] = self.updated.get(key, 0) + count
        return True

    def _put(self, events: Sequence[Event]) -> list[tuple[Event, str]]:
        if not self.bus_is_there:
            return [(event, "ResourceNotFoundException") for event in events]
        self.published += events
        return []


@pytest.fixture
def world() -> World:
    return World()


def test_same_batch_twice_is_published_and_counted_once(world: World) -> None:
    batch = [version_event(f"{TYPE}/{n % 60}", n + 1, announced=100 + n, revision=2 + n // 60) for n in range(120)]
    assert world.handle(*batch) == []
    assert world.handle(*batch) == []
    assert [event.name for event in world.published] == ["pass.updated"] * 120
    assert world.updated == {("2023-11-14", TYPE, "boarding"): 120}
    assert world.published[0].detail["devices"] == 2


def test_crash_between_publishing_and_counting_repeats_events_with_their_ids(world: World) -> None:
    event = version_event(f"{TYPE}/1", 1, announced=100, revision=2)
    world.dies_before_counting = True
    with pytest.raises(RuntimeError):
        world.handle(event)
    world.dies_before_counting = False
    assert world.handle(event) == []
    first, second = world.published
    assert first == second
    assert world.updated == {("2023-11-14", TYPE, "boarding"): 1}


def test_counts_that_change_at_the_same_time_are_read_again(world: World) -> None:
    world.conflicts = 1
    assert world.handle(version_event(f"{TYPE}/1", 1, announced=100, revision=2)) == []
    assert world.updated == {("2023-11-14", TYPE, "boarding"): 1}


def test_batch_is_retried_while_the_bus_is_away(world: World) -> None:
    world.bus_is_there = False
    events = (
        version_event(f"{TYPE}/1", 5, announced=100, revision=2),
        version_event("event removals.held x", 6, note={"event": "removals.held", "detail": {}}, noted_at=int(NOW)),
    )
    assert sorted(world.handle(*events)) == ["5", "6"]
    assert (world.published, world.rows) == ([], {})
    world.bus_is_there = True
    assert world.handle(*events) == []
    assert sorted(event.name for event in world.published) == ["pass.updated", "removals.held"]


def test_unreadable_record_does_not_affect_the_others(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    broken = version_event(f"{TYPE}/1", 1, announced=100, revision=2)
    broken["Records"][0]["dynamodb"]["NewImage"]["refused"] = {"M": {}}
    assert world.handle(broken, version_event(f"{TYPE}/2", 2, announced=100, revision=2)) == []
    assert [event.detail["serial_number"] for event in world.published] == ["2"]
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["error"] for line in lines if line.get("event") == "version_record_unread"] == ["KeyError"]


def test_other_rows_of_the_table_are_ignored(world: World) -> None:
    """Timelines and APNs clients have rows in the versions table, too; their keys are not pass ids."""
    assert world.handle(version_event("timelines", 1), version_event("apns-client x", 2)) == []
    assert world.published == []


def test_events_of_both_streams_are_distinguished() -> None:
    assert is_of_registrations(registration_event(f"{TYPE}/1", 1))
    assert not is_of_registrations(version_event(f"{TYPE}/1", 1))

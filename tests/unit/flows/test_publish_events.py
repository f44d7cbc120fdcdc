"""Publishing: at least once with one id, counted once, and nothing lost while the bus is away."""

import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.aws.event_bus import EventBus
from chalicelib.aws.queue import Queue
from chalicelib.aws.tables import Store
from chalicelib.aws.tables.connection import StoreError
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId
from chalicelib.flows.deliver_events import PATIENCE_SECONDS, EventDelivery
from chalicelib.flows.publish_events import EventPublisher
from chalicelib.http.events import registration_records
from chalicelib.telemetry.metrics import Metrics
from chalicelib.updates.events import Event
from chalicelib.updates.holders import Counted, PassCount, totals_of
from chalicelib.updates.removal_notes import Removal
from tests.support.first_events import registration_event

NOW = 1_700_000_000.0
TYPE = "pass.com.example"


@dataclass
class World:
    """The counts table, the bus and the failure queue in memory."""

    rows: dict[PassId, PassCount] = field(default_factory=dict)
    published: list[Event] = field(default_factory=list)
    kept: list[Event] = field(default_factory=list)
    bus_is_there: bool = True
    dies_before_counting: bool = False
    now: float = NOW

    def publisher(self) -> EventPublisher:
        store = SimpleNamespace(
            counts=SimpleNamespace(of=self._of, removals=self._removals, commit=self._commit, totals=self._totals),
            passes=SimpleNamespace(templates=lambda pass_ids: dict.fromkeys(pass_ids, "boarding")),
        )
        return EventPublisher(
            cast("Store", store),
            EventDelivery(
                cast("EventBus", SimpleNamespace(put=self._put)),
                cast("Queue", SimpleNamespace(keep_events=lambda events, **_: self.kept.extend(events))),
                lambda: self.now,
            ),
            Metrics("test"),
            clock=lambda: self.now,
        )

    def _totals(self, kinds: Sequence[tuple[str, str]]) -> dict[tuple[str, str], int]:
        sums = dict.fromkeys(kinds, 0)
        for pass_id, row in self.rows.items():
            if (kind := (pass_id.pass_type_identifier, row.template)) in sums:
                sums[kind] += row.holders
        return sums

    def _of(self, pass_ids: Collection[PassId]) -> dict[PassId, PassCount]:
        return {pass_id: self.rows.get(pass_id, PassCount()) for pass_id in pass_ids}

    def _removals(
        self, keys: Collection[tuple[PassId, DeviceLibraryIdentifier]]
    ) -> dict[tuple[PassId, DeviceLibraryIdentifier], list[Removal]]:
        return {key: [] for key in keys}

    def _commit(self, counted: Mapping[PassId, Counted]) -> bool:
        if self.dies_before_counting:
            raise RuntimeError("the invocation ended here")
        if any(self.rows.get(pass_id, PassCount()) != of_pass.before for pass_id, of_pass in counted.items()):
            return False
        self.rows |= {pass_id: of_pass.after for pass_id, of_pass in counted.items()}
        return True

    def _put(self, events: Sequence[Event]) -> list[tuple[Event, str]]:
        if not self.bus_is_there:
            return [(event, "ResourceNotFoundException") for event in events]
        self.published += events
        return []

    def handle(self, *events: dict[str, list[dict[str, object]]], written_at: float = NOW) -> list[str]:
        records = [record for event in events for record in event["Records"]]
        for record in records:
            cast("dict[str, object]", record["dynamodb"])["ApproximateCreationDateTime"] = written_at
        return self.publisher().handle(registration_records({"Records": records}))


@pytest.fixture
def world() -> World:
    return World()


def holders(world: World, serial_number: str) -> int:
    return world.rows[PassId(TYPE, serial_number)].holders


def test_same_batch_twice_is_published_and_counted_once(world: World) -> None:
    batch = [registration_event(f"{TYPE}/{n % 3}", n + 1, device=f"d{n}") for n in range(60)]
    assert world.handle(*batch) == []
    assert world.handle(*batch) == []
    assert len(world.published) == 60
    assert [holders(world, serial) for serial in "012"] == [20, 20, 20]


def test_crash_between_publishing_and_counting_repeats_events_with_their_ids(world: World) -> None:
    event = registration_event(f"{TYPE}/1", 1, device="d")
    world.dies_before_counting = True
    with pytest.raises(RuntimeError):
        world.handle(event)
    world.dies_before_counting = False
    assert world.handle(event) == []
    first, second = world.published
    assert first == second
    assert holders(world, "1") == 1


def test_batch_is_retried_while_the_bus_is_away(world: World) -> None:
    world.bus_is_there = False
    assert world.handle(registration_event(f"{TYPE}/1", 5, device="d")) == ["5"]
    assert (world.published, world.kept, world.rows) == ([], [], {})


def test_events_of_a_deleted_bus_are_kept_and_the_stream_continues(world: World) -> None:
    world.bus_is_there = False
    world.now = NOW + PATIENCE_SECONDS
    assert world.handle(registration_event(f"{TYPE}/1", 5, device="d")) == []
    assert [event.name for event in world.kept] == ["pass.registered"]
    assert holders(world, "1") == 1


def test_unreadable_record_does_not_affect_the_others(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    broken = registration_event(f"{TYPE}/1", 1, device="secret-device")
    cast("dict[str, object]", broken["Records"][0]["dynamodb"])["NewImage"] = {"registered_at": {"S": "never"}}
    assert world.handle(broken, registration_event(f"{TYPE}/2", 2, device="d")) == []
    assert holders(world, "2") == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["error"] for line in lines if line.get("event") == "registration_record_unread"] == ["KeyError"]


def test_no_event_contains_the_device_library_identifier(world: World) -> None:
    world.handle(registration_event(f"{TYPE}/1", 1, device="secret-device"))
    assert "secret-device" not in json.dumps([dict(event.detail) for event in world.published])


def test_holders_are_measured_by_pass_type_and_template(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.handle(*(registration_event(f"{TYPE}/{n % 3}", n + 1, device=f"d{n}") for n in range(5)))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (line,) = [line for line in lines if "Holders" in line]
    assert (line["PassType"], line["Template"], line["Holders"]) == (TYPE, "boarding", 5)
    (metric,) = line["_aws"]["CloudWatchMetrics"]
    assert metric["Dimensions"] == [["Stage", "PassType", "Template"]]


@dataclass
class FaultyWorld(World):
    """A world whose bus and tables fail as a test decides; the stream is delivered as Lambda does."""

    fails: Callable[[str], bool] = lambda _: False
    totals: dict[tuple[str, str], int] = field(default_factory=dict)
    days: dict[str, int] = field(default_factory=dict)

    def _commit(self, counted: Mapping[PassId, Counted]) -> bool:
        if self.fails("before"):
            raise StoreError("throttled")
        if not super()._commit(counted):
            return False
        found = totals_of(counted)
        for key, change in found.holders.items():
            self.totals[key] = self.totals.get(key, 0) + change
        self.days["added"] = self.days.get("added", 0) + sum(found.added.values())
        self.days["removed"] = self.days.get("removed", 0) + sum(found.removed.values())
        if self.fails("after"):
            raise StoreError("carried out, but the answer was lost")
        return True

    def _put(self, events: Sequence[Event]) -> list[tuple[Event, str]]:
        refused = [event for event in events if self.fails("bus")]
        self.published += [event for event in events if event not in refused]
        return [(event, "ThrottlingException") for event in refused]

    def delivers(self, records: Sequence[dict[str, list[dict[str, object]]]], *, start: int, size: int) -> int:
        """Deliver a batch that begins at a record; returns where the next one begins."""
        batch = records[start : start + size]
        if not (failed := self.handle(*batch)):
            return start + len(batch)
        return min(int(sequence_number) for sequence_number in failed) - 1


@given(data=st.data())
def test_counts_equal_a_full_scan_after_faults(data: st.DataObject) -> None:
    """Batches fail before and after the write, the bus refuses events, and earlier batches are delivered again."""
    with redirect_stdout(StringIO()):
        registrations: set[tuple[str, str]] = set()
        records: list[dict[str, list[dict[str, object]]]] = []
        changes = st.tuples(st.sampled_from("123"), st.sampled_from("abcd"))
        for serial, device in data.draw(st.lists(changes, min_size=1, max_size=30)):
            removed = (serial, device) in registrations
            registrations ^= {(serial, device)}
            number = len(records) + 1
            records.append(registration_event(f"{TYPE}/{serial}", number, device=device, removed=removed))
        faults = data.draw(st.lists(st.booleans(), max_size=40))
        world = FaultyWorld(fails=lambda _: bool(faults) and faults.pop())
        reached = position = 0
        while reached < len(records):
            size = data.draw(st.integers(1, 10))
            position = world.delivers(records, start=position, size=size)
            reached = max(reached, position)
            if data.draw(st.booleans()):
                position = data.draw(st.integers(0, position))  # another invocation delivers earlier records again
            elif position < reached:
                position = min(position, reached)
        world.fails = lambda _: False
        position = 0
        while position < len(records):
            position = world.delivers(records, start=position, size=7)
    scan: Counter[str] = Counter(serial for serial, _ in registrations)
    assert {p.serial_number: row.holders for p, row in world.rows.items() if row.holders} == dict(scan)
    assert world.totals.get((TYPE, "boarding"), 0) == len(registrations)
    assert world.days["added"] - world.days["removed"] == len(registrations)
    assert len({event.detail["id"] for event in world.published}) == len(records), "each event at least once"

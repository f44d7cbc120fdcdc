"""Delivery: events that the bus refuses are sent again while they are young, and kept after that."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

import pytest

from chalicelib.aws.event_bus import EventBus
from chalicelib.aws.queue import Queue
from chalicelib.core.errors import TransientError
from chalicelib.flows.deliver_events import PATIENCE_SECONDS, EventDelivery
from chalicelib.updates.events import Event


def delivery(kept: list[Event], *, refuses: str, now: float) -> EventDelivery:
    def put(events: Sequence[Event]) -> list[tuple[Event, str]]:
        return [(event, "InternalFailure") for event in events if event.name == refuses]

    keep = SimpleNamespace(keep_events=lambda events, **_: kept.extend(events))
    return EventDelivery(cast("EventBus", SimpleNamespace(put=put)), cast("Queue", keep), lambda: now)


def test_refused_events_are_kept_when_they_are_old() -> None:
    kept: list[Event] = []
    events = [Event("a", 1.0, {}), Event("b", 2.0, {})]
    delivery(kept, refuses="none", now=5.0).deliver(events)
    with pytest.raises(TransientError, match="1 of 2 events: InternalFailure"):
        delivery(kept, refuses="b", now=5.0).deliver(events)
    assert kept == []
    delivery(kept, refuses="b", now=2.0 + PATIENCE_SECONDS).deliver(events)
    assert kept == [events[1]]

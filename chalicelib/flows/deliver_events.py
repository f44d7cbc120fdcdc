"""Delivers events to the stage's bus, or keeps those that it does not accept for a long time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chalicelib.aws.event_bus import EventBus
from chalicelib.aws.queue import Queue
from chalicelib.core.errors import TransientError
from chalicelib.telemetry import log
from chalicelib.updates.events import Event

PATIENCE_SECONDS = 900
"""Age at which events are no longer retried with their batch, but kept in the event failure queue: the records after
them must not wait for a bus that was deleted.
"""


@dataclass(frozen=True, slots=True)
class EventDelivery:
    """Delivers events at least once.

    Args:
        bus: the stage's bus.
        queue: keeps events that the bus does not accept.
        clock: epoch seconds.
    """

    bus: EventBus
    queue: Queue
    clock: Callable[[], float]

    def deliver(self, events: Sequence[Event]) -> None:
        """Send events to the bus, or keep old ones that it does not accept.

        Raises:
            TransientError: the bus did not accept some of them, which are to be sent again.
        """
        refused = self.bus.put(events)
        if not refused:
            return
        codes = ", ".join(sorted({code for _, code in refused}))
        if any(self.clock() - event.at < PATIENCE_SECONDS for event, _ in refused):
            raise TransientError(f"EventBridge did not accept {len(refused)} of {len(events)} events: {codes}")
        self.queue.keep_events([event for event, _ in refused], error=codes)
        log.event("events_kept", events=len(refused), error=codes)

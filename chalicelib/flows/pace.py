"""Takes time for pushes, as `updates/pacing.py` requires: in a lane to schedule them, and of the stage to send them."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from chalicelib.aws.tables import Store
from chalicelib.core.errors import TransientError
from chalicelib.updates.pacing import (
    STAGE,
    STOPS_SECONDS,
    Lane,
    PushRate,
    Slot,
    Stop,
    StoppedPushes,
    microseconds,
    seconds,
)
from chalicelib.updates.push_tasks import NotifyDevices

MAX_ATTEMPTS = 3
"""Attempts to take time on a timeline whose row is deleted between two updates."""
RESERVE_SECONDS = 2.0
"""Time before the deadline in which no push starts."""


@dataclass(frozen=True, slots=True)
class Pacer:
    """Paces pushes.

    Args:
        store: the tables, with the timelines.
        rate: of the stage.
        clock: epoch seconds.
        sleep: waits for a number of seconds.
        stops: the last stops that were read, with their time in epoch seconds.
    """

    store: Store
    rate: PushRate
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    stops: dict[float, dict[str, StoppedPushes]] = field(default_factory=dict)

    def stop_of(self, pass_type_identifier: str, *, changed_at: float) -> Stop | None:
        """Return what an operator wants for the pushes of a change; None to send them.

        Raises:
            StoreError: DynamoDB did not answer.
        """
        now = self.clock()
        read_at = max(self.stops, default=None)
        if read_at is None or not 0 <= now - read_at < STOPS_SECONDS:
            found = self.store.timelines.stops()
            self.stops.clear()
            self.stops[now] = found
        (stops,) = self.stops.values()
        stopped = stops.get(pass_type_identifier)
        return stopped.stop if stopped is not None and stopped.applies_to(changed_at) else None

    def schedule(self, lane: Lane, devices: int) -> float:
        """Take time in a lane, after everything that was scheduled there before.

        Returns:
            The time from which the devices may be notified, epoch seconds.

        Raises:
            StoreError: DynamoDB did not carry it out. Time may have been taken, which then passes unused.
            TimelineLostError: the row was deleted several times meanwhile.
        """
        cost = self.rate.lane_cost(devices)
        for _ in range(MAX_ATTEMPTS):
            now = self.clock()
            if self.store.timelines.take_now({lane.value: cost}, now=microseconds(now)):
                return now
            end = self.store.timelines.take_next(lane.value, cost=cost)
            if end is not None:
                return seconds(end - cost)
        raise TimelineLostError(lane)

    def scheduled(self, task: NotifyDevices) -> NotifyDevices:
        """Schedule a push task in its lane.

        Returns:
            The push task with its slot.

        Raises:
            StoreError, TimelineLostError: as for `schedule`.
        """
        slot_at = self.schedule(task.paced_lane, len(task.devices))
        waits = max(0.0, slot_at - self.clock())
        return replace(task, slot_at=slot_at, paced_seconds=round(task.paced_seconds + waits, 3))

    def delay_seconds(self, slot_at: float, *, before: float = 0.0) -> int:
        """Return the delay in the queue for what is due at `slot_at`, epoch seconds: whole seconds, rounded down, since
        the rest is spent inside the invocation.

        Args:
            slot_at: epoch seconds.
            before: seconds by which it is received earlier.
        """
        return max(0, int(slot_at - before - self.clock()))

    def take_at_once(self, lane: Lane, devices: int) -> Slot | None:
        """Take time of the lane and of the stage in one request, if nothing waits for either.

        Returns:
            The slot, which begins now; None if something waits.

        Raises:
            StoreError: DynamoDB did not carry it out; no push may be sent.
        """
        now = self.clock()
        stage_cost = self.rate.stage_cost(devices)
        costs = {lane.value: self.rate.lane_cost(devices), STAGE: stage_cost}
        if not self.store.timelines.take_now(costs, now=microseconds(now)):
            return None
        return Slot(now, seconds(stage_cost))

    def admit(self, lane: Lane, devices: int, *, deadline: float) -> Slot | None:
        """Take time of the stage for a send that is due, and wait for it.

        Args:
            lane: of the send.
            devices: number of devices to notify.
            deadline: monotonic seconds by which pushing must end.

        Returns:
            The slot, which has begun. None if it would begin too late: then no time was taken, and the caller
            schedules the send again.

        Raises:
            StoreError: DynamoDB did not carry it out; no push may be sent.
        """
        patience = min(lane.patience_seconds, deadline - time.monotonic() - RESERVE_SECONDS)
        if patience <= 0:
            return None
        cost = self.rate.stage_cost(devices)
        now = self.clock()
        start = now
        if not self.store.timelines.take_now({STAGE: cost}, now=microseconds(now)):
            end = self.store.timelines.take_next(STAGE, cost=cost, free_by=microseconds(now + patience))
            if end is None:
                return None
            start = seconds(end - cost)
        self.wait_until(start)
        return Slot(start, seconds(cost))

    def wait_until(self, at: float) -> None:
        """Wait inside the invocation until a time, epoch seconds."""
        left = at - self.clock()
        if left > 0:
            self.sleep(left)


class TimelineLostError(TransientError):
    """The row of a timeline was deleted while time was being taken."""

    def __init__(self, lane: Lane) -> None:
        super().__init__(f"lane {lane.value}: its row was deleted while time was being taken; the push is tried again")

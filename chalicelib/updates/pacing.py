"""Pacing: the rules that limit how many devices a stage notifies per second, and decide which of them wait.

Theory of operation
-------------------
A notified phone comes back with two requests: it lists its changed passes and downloads them. If more phones are
notified per second than the API can serve, it refuses some, and those try again later or not at all. So a stage
notifies at most `PushRate.devices_per_second` devices per second, across all functions, shards and pass types.

A *timeline* is one number, the next free moment. A sender takes `n / rate` seconds of it by the two conditional updates
of a stamp: `free_at < now -> now + n / rate`, and if the condition fails, `free_at + n / rate`. Its time starts where
the number was. No two senders get the same time, no sender waits for another, and nothing has to be released if a
sender is killed: its time passes unused.

There are three timelines, in one row.

*The stage's timeline* limits what is sent. Every send takes its time there, immediately before it pushes, and waits for
it inside its invocation. Time that was taken is never stored in a message, so a message that is delivered twice, a
batch that is repeated and a push that is retried all take new time: none of them exceeds the rate. A send that would
have to wait for longer than its patience takes no time and is scheduled again.

*The lanes' timelines* decide when a send is due. The lane NARROW is for passes on up to `NARROW_DEVICES` devices, the
lane WIDE is for the fan-outs of all others. Each lane has `LANE_SHARE` of the stage's rate, so that the rest always
remains for the other lane. What is due within seconds waits inside the invocation; the rest goes to the queue with its
start time. A lane may be scheduled far ahead, for as long as a million narrow passes take.

A narrow change does not wait behind a fan-out. In the lane WIDE, only sends that are due take the stage's time, and
only if they start within the lane's patience, which is shorter than that of the lane NARROW. So the stage's timeline is
never further ahead than that because of fan-outs. If nothing waits, a narrow change takes the time of its lane and of
the stage in one update.

A fan-out takes its lane's time page by page and is never more than `HORIZON_SECONDS` ahead of it. So several fan-outs
share the lane in turns. If its pass changes again, the fan-out ends (`updates/fan_outs.py`), and the fan-out of the
newer change notifies every device: changes that wait are merged.

Bounds. In any period of T seconds, at most `rate * (T + burst)` devices are notified, plus one send. The burst is the
time by which a push may start after its slot (`LATENESS_SECONDS`), plus the difference of the machines' clocks. If the
row is deleted, sends that hold the stage's time already overlap with new ones, for the patience of a lane at most; the
slots that were given before become due earlier than the lane's share allows, and the stage's timeline limits them. A
lower rate counts from the next send on. A slot says only when a push may be sent, never that it was: each device stays
in its message until APNs has answered.
"""

import math
from dataclasses import dataclass
from enum import Enum

NARROW_DEVICES = 20
"""Number of devices up to which a pass belongs to the lane NARROW."""
LANE_SHARE = 0.9
"""Share of the stage's rate that one lane can take; at least the rest is left for the other lane."""
HORIZON_SECONDS = 20.0
"""How far ahead of the clock a fan-out hands out pushes. It is also how many of them a newer change does not save."""
WAIT_SECONDS = 5.0
"""How long the push worker waits for a slot inside an invocation; longer waits are spent in the queue."""
DIRECT_WAIT_SECONDS = 1.0
"""The same for the push function, whose waiting delays the stamps of the changes behind it."""
LATENESS_SECONDS = 2.0
"""How long after the end of its slot a push may start. Later ones take new time."""
SEND_SECONDS = 1.0
"""Time of the stage that one send takes at most, so that a narrow change does not wait behind it for longer."""
MAX_DEVICES_PER_SEND = 500
"""A push task of as many devices, with identifiers of the maximum length, stays below SQS's 256 KiB."""
REQUESTS_PER_DEVICE = 2
"""Requests of a notified phone: a list call and a download."""
DEFAULT_GATEWAY_SHARE = 2 / 3
"""Share of the gateway's rate that notified phones take by default; the rest is kept free for other requests."""
_MICROSECONDS = 1_000_000


class Lane(Enum):
    """A class of pushes with a timeline of its own."""

    NARROW = "narrow"
    """Changes of passes on up to `NARROW_DEVICES` devices, and pushes to single devices."""
    WIDE = "wide"
    """Fan-outs of passes on more devices."""

    @property
    def patience_seconds(self) -> float:
        """How long a due send may wait for the stage's time; one that would have to wait longer is scheduled again."""
        return 4.0 if self is Lane.NARROW else 1.0


ROW = "push-rate"
"""Key of the timelines' row in the versions table. It has no `/`, so it equals no pass id."""
FAN_OUTS_ROW = "push-fan-outs"
"""Key of the row that names the passes whose fan-outs wait for their lane, for `push status`. Nothing depends on it."""
STOPS_ROW = "push-stops"
"""Key of the row with the pass types whose pushes an operator has stopped."""
STOPS_SECONDS = 5.0
"""Age up to which an execution environment relies on that row."""
KEPT_SECONDS = 900
"""How long a kept push waits before the row is read again."""
STAGE = "stage"
"""Name of the stage's timeline; the others have the names of their lanes."""


def lane_for(devices: int) -> Lane:
    """Return the lane of a pass that is on this number of devices, or of a push task for that many."""
    return Lane.NARROW if devices <= NARROW_DEVICES else Lane.WIDE


class Stop(Enum):
    """An operator's choice for the pushes of a pass type that wait (`push stop`)."""

    DROP = "drop"
    """Those of changes until the stop are not sent; phones find the changes at their next request."""
    KEEP = "keep"
    """All pushes wait until they are resumed."""


@dataclass(frozen=True, slots=True)
class StoppedPushes:
    """An operator has stopped the pushes of a pass type.

    Args:
        stop: what happens to them.
        at: epoch seconds at which the operator stopped them.
    """

    stop: Stop
    at: float

    def applies_to(self, changed_at: float) -> bool:
        """Tell whether the pushes of a change, made at this time, are stopped."""
        return self.stop is Stop.KEEP or changed_at <= self.at


@dataclass(frozen=True, slots=True)
class PushRate:
    """The rate of a stage.

    Args:
        devices_per_second: maximum number of notified devices per second; greater than 0.
    """

    devices_per_second: float

    @property
    def devices_per_send(self) -> int:
        """Number of devices that one send notifies at most."""
        return max(1, min(MAX_DEVICES_PER_SEND, int(self.devices_per_second * SEND_SECONDS)))

    def stage_cost(self, devices: int) -> int:
        """Return the time that a send of so many devices takes of the stage's timeline, in microseconds."""
        return math.ceil(devices * _MICROSECONDS / self.devices_per_second)

    def lane_cost(self, devices: int) -> int:
        """Return the time that it takes of its lane's timeline, in microseconds."""
        return math.ceil(devices * _MICROSECONDS / (self.devices_per_second * LANE_SHARE))


@dataclass(frozen=True, slots=True)
class Slot:
    """Time on the stage's timeline, in which pushes may start.

    Args:
        start: epoch seconds.
        seconds: its length.
    """

    start: float
    seconds: float


def microseconds(epoch_seconds: float) -> int:
    """Convert epoch seconds to the unit of the rows."""
    return int(epoch_seconds * _MICROSECONDS)


def seconds(epoch_microseconds: float) -> float:
    """Convert a value of a row to epoch seconds."""
    return epoch_microseconds / _MICROSECONDS


def default_push_rate(throttle_rate: float) -> int:
    """Return the devices per second that a gateway of this rate can serve, with a third of the rate kept free."""
    return max(1, int(throttle_rate * DEFAULT_GATEWAY_SHARE / REQUESTS_PER_DEVICE))

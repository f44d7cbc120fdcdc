"""A discrete-event simulation of a rollout, in which equal phones are one event.

Time advances in ticks. Phones that do the same in the same tick are counted, not simulated one by one: each event is a
number of phones that make a call for the nth time. What is refused is refused in proportion. Where a delay varies,
phones are distributed evenly over it. So a million phones take as long to compute as a thousand, and counts are
fractions until the end.

The flow of each phone: push, list call, download. A call waits until the web service can receive it, which on AWS is
at once. Then it meets, in this order, the gateway's token bucket (else 429), the function's concurrency (else 500), and
the read units of the version row and of the pass item (else 503). Each refusal is repeated later, as often as a phone
repeats a call.
"""

import math
from collections import defaultdict, deque
from dataclasses import dataclass, field

from chalicelib.updates.pacing import NARROW_DEVICES
from chalicelib.updates.recent import MAX_PASSES
from infra.simulation.constants import Call, Constants

TICK_SECONDS = 0.01
NEGLIGIBLE = 1e-6
"""Fewer phones than this are rounding errors."""
LONGEST_SECONDS = 24 * 3600.0
LIST, DOWNLOAD = 0, 1


@dataclass(frozen=True, slots=True)
class Rollout:
    """A change of passes.

    Args:
        phones: phones that hold a changed pass.
        passes: changed passes, each held by the same number of phones.
        paced: whether notifications are paced.
    """

    phones: int
    passes: int
    paced: bool


@dataclass(slots=True)
class Second:
    """One second of the timeline.

    Args:
        pushes: phones notified.
        updated: phones that now show the change.
        refused: requests answered with 429.
        failed: requests answered with 500 or 503.
        gave_up: phones that gave up.
        environments: execution environments of the API's function at the end of the second.
    """

    pushes: float = 0
    updated: float = 0
    refused: float = 0
    failed: float = 0
    gave_up: float = 0
    environments: float = 0


@dataclass(frozen=True, slots=True)
class RolloutResult:
    """The outcome of a rollout.

    Args:
        rollout: what changed.
        seconds: the timeline.
        first_s: seconds from the first write until a phone shows the change; infinite if no phone does.
        median_s: the same for the median of all phones; infinite if half of them gave up.
        last_s: the same for the last phone that shows it.
        refused: requests answered with 429.
        failed: requests answered with 500 or 503.
        gave_up: phones that gave up.
        refusal_s: mean time that calls answered with 429 waited to be received; 0 without such calls.
        served: calls that the function answered, by call: list, download.
        read: those of them that read the rows of the pass, and were not answered from a recent version.
    """

    rollout: Rollout
    seconds: tuple[Second, ...]
    first_s: float
    median_s: float
    last_s: float
    refused: float
    failed: float
    gave_up: float
    refusal_s: float
    served: tuple[float, float]
    read: tuple[float, float]

    @property
    def updated(self) -> float:
        return sum(second.updated for second in self.seconds)


class _Bucket:
    """A token bucket that admits a part of what arrives."""

    def __init__(self, rate: float, burst: float) -> None:
        self._gain = rate * TICK_SECONDS
        self._burst = max(burst, self._gain)
        self._level = self._burst

    def fill(self) -> None:
        self._level = min(self._burst, self._level + self._gain)

    def admit(self, wanted: float) -> float:
        """Return the share of `wanted` that is admitted, and take it."""
        if wanted <= self._level:
            self._level -= wanted
            return 1.0
        share = self._level / wanted
        self._level = 0.0
        return share


class _Events:
    """Numbers of phones by tick: at one tick, or evenly distributed over some ticks."""

    def __init__(self) -> None:
        self._at: dict[int, float] = defaultdict(float)
        self._slope: dict[int, float] = defaultdict(float)
        self._level = 0.0
        self.pending = 0.0

    def add(self, phones: float, first: int, last: int) -> None:
        """Add phones from the tick `first` to the tick before `last`."""
        self.pending += phones
        if last <= first + 1:
            self._at[first] += phones
            return
        height = phones / (last - first)
        self._slope[first] += height
        self._slope[last] -= height

    def take(self, tick: int) -> float:
        """Return the phones of a tick; ticks are taken in order."""
        if self.pending <= NEGLIGIBLE:
            if self._slope:
                self._slope.clear()
                self._at.clear()
                self._level = 0.0
            return 0.0
        if tick in self._slope:
            self._level += self._slope.pop(tick)
        phones = self._level + self._at.pop(tick, 0.0)
        if phones <= NEGLIGIBLE:
            return 0.0
        self.pending -= phones
        return phones


class _Arrivals:
    """Calls that wait to be received, in the order of their arrival, by kind and attempt."""

    def __init__(self, per_tick: float) -> None:
        self._per_tick = per_tick
        self._waiting: deque[tuple[int, float, list[list[float]]]] = deque()

    def receive(self, tick: int, arrived: list[list[float]]) -> tuple[list[list[float]], float]:
        """Add the calls of a tick; returns those that are received in it, and the sum of the ticks that they waited."""
        if phones := sum(map(sum, arrived)):
            self._waiting.append((tick, phones, arrived))
        if not self._waiting:
            return arrived, 0.0
        received = [[0.0] * len(attempts) for attempts in arrived]
        left, waited = self._per_tick, 0.0
        while self._waiting and left > NEGLIGIBLE:
            since, phones, calls = self._waiting.popleft()
            share = min(1.0, left / phones)
            if share < 1:
                rest = [[count * (1 - share) for count in attempts] for attempts in calls]
                self._waiting.appendleft((since, phones * (1 - share), rest))
            for of_kind, attempts in zip(received, calls, strict=True):
                for attempt, count in enumerate(attempts):
                    of_kind[attempt] += count * share
            left -= phones * share
            waited += phones * share * (tick - since)
        return received, waited


@dataclass
class _RolloutState:
    """The phones and the service at one tick."""

    constants: Constants
    rollout: Rollout
    calls: list[list[_Events]] = field(init=False)
    ending: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    shown: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    read: list[float] = field(default_factory=lambda: [0.0, 0.0])
    refused_seconds: float = 0.0
    busy: float = 0.0
    environments: float = 0.0

    def __post_init__(self) -> None:
        constants = self.constants
        self.calls = [[_Events() for _ in range(constants.retries.attempts)] for _ in (LIST, DOWNLOAD)]
        self.arrivals = _Arrivals(constants.received_per_second * TICK_SECONDS)
        self.gateway = _Bucket(constants.gateway_rate, constants.gateway_burst)
        scaling = constants.scaling_environments
        self.new_environments = _Bucket(scaling / constants.scaling_seconds, scaling)
        rows = constants.partition_read_units * self.rollout.passes
        self.version_row, self.item_row = (_Bucket(rows, rows) for _ in range(2))

    @property
    def keeps_recent_versions(self) -> bool:
        """True if calls are answered from recent versions: the passes are widely held, and not too many."""
        rollout = self.rollout
        widely_held = rollout.phones > rollout.passes * NARROW_DEVICES
        return bool(self.constants.cache_seconds) and widely_held and rollout.passes <= MAX_PASSES

    def advance(self, tick: int) -> None:
        """Fill the buckets, and end the calls that have been answered."""
        for bucket in (self.gateway, self.new_environments, self.version_row, self.item_row):
            bucket.fill()
        self.busy = max(0.0, self.busy - self.ending.pop(tick, 0.0))


def simulate(rollout: Rollout, constants: Constants) -> RolloutResult:
    """Simulate a rollout until each phone shows the change or has given up."""
    state = _RolloutState(constants, rollout)
    pushes = _pushes(rollout, constants)
    timeline: list[Second] = []
    served = [0.0, 0.0]
    updated, first, median, last = 0.0, math.inf, math.inf, math.inf
    done, tick = 0.0, 0
    last_tick = round(LONGEST_SECONDS / TICK_SECONDS)
    earliest, latest = (_ticks(seconds + constants.round_trip_seconds / 2) for seconds in constants.delivery_seconds)
    while done < rollout.phones - 0.5 and tick < last_tick:
        now = tick * TICK_SECONDS
        if now >= len(timeline):
            timeline.append(Second())
        second = timeline[-1]
        if notified := pushes.take(tick):
            second.pushes += notified
            state.calls[LIST][0].add(notified, tick + earliest, tick + latest)
        gave_up = _serve(state, tick, second, served)
        shown = state.shown.pop(tick, 0.0)
        done += gave_up + shown
        second.gave_up += gave_up
        if shown:
            updated += shown
            second.updated += shown
            first = min(first, now) if updated >= min(1.0, rollout.phones / 2) else first
            median = min(median, now) if updated >= rollout.phones / 2 else median
            last = now
        second.environments = state.busy
        tick += 1
    refused = sum(each.refused for each in timeline)
    return RolloutResult(
        rollout=rollout,
        seconds=tuple(timeline),
        first_s=first,
        median_s=median,
        last_s=last,
        refused=refused,
        failed=sum(each.failed for each in timeline),
        gave_up=sum(each.gave_up for each in timeline),
        refusal_s=state.refused_seconds / refused if refused else 0.0,
        served=(served[LIST], served[DOWNLOAD]),
        read=(state.read[LIST], state.read[DOWNLOAD]),
    )


def _pushes(rollout: Rollout, constants: Constants) -> _Events:
    """Return the notifications: at an even rate, after the first push."""
    rate = constants.unpaced_devices_per_second
    if rollout.passes > 1:
        changes = min(constants.writes_per_second, constants.unpaced_changes_per_second)
        rate = min(rate, changes * rollout.phones / rollout.passes)
    if rollout.paced:
        rate = min(rate, constants.devices_per_second * constants.lane_share)
    events = _Events()
    widely_held = rollout.phones > rollout.passes * NARROW_DEVICES
    begin = _ticks(constants.first_push_seconds + (constants.wide_delay_seconds if widely_held else 0))
    events.add(rollout.phones, begin, begin + max(1, _ticks(rollout.phones / rate)))
    return events


def _serve(state: _RolloutState, tick: int, second: Second, served: list[float]) -> float:
    """Serve the calls of a tick; returns the number of phones that gave up."""
    constants = state.constants
    state.advance(tick)
    arrived, waited = state.arrivals.receive(
        tick, [[events.take(tick) for events in attempts] for attempts in state.calls]
    )
    totals = [sum(attempts) for attempts in arrived]
    wanted = sum(totals)
    if not wanted:
        return 0.0
    accepted = state.gateway.admit(wanted)
    state.refused_seconds += waited * TICK_SECONDS * (1 - accepted)
    started, cold = _start(state, wanted * accepted)
    in_function = accepted * started
    rows = _read_rows(state, [total * in_function for total in totals])
    second.refused += wanted * (1 - accepted)
    gave_up = 0.0
    for call, kind in ((LIST, constants.listing), (DOWNLOAD, constants.download)):
        answered = in_function * rows[call]
        second.failed += totals[call] * (accepted - answered)
        served[call] += totals[call] * answered
        _answer(state, tick, call, kind, phones=totals[call] * answered, cold=cold)
        for attempt, phones in enumerate(arrived[call]):
            gave_up += _repeat(state, tick, call, attempt, phones * (1 - answered))
    return gave_up


def _start(state: _RolloutState, wanted: float) -> tuple[float, float]:
    """Find execution environments for calls; returns the share of calls that get one, and the share of new ones."""
    if not wanted:
        return 1.0, 0.0
    warm = min(wanted, max(0.0, state.environments - state.busy))
    new = min(wanted - warm, max(0.0, state.constants.concurrency - state.environments))
    new *= state.new_environments.admit(new) if new else 1.0
    state.environments += new
    return (warm + new) / wanted, new / (warm + new) if new else 0.0


def _read_rows(state: _RolloutState, calls: list[float]) -> list[float]:
    """Read the version row and the item of the pass; returns the share of each call that can.

    Each environment has recent versions of its own. So every environment that was started reads the rows again for
    each kind of call when its version is too old, as if all of them were used all the time.
    """
    constants = state.constants
    kinds = (constants.listing, constants.download)
    shares = [1.0, 1.0]
    if state.keeps_recent_versions:
        most = state.environments * state.rollout.passes * TICK_SECONDS / constants.cache_seconds
        calls = [min(count, most) for count in calls]
    for call, count in enumerate(calls):
        state.read[call] += count
    for bucket, units in (
        (state.version_row, [kind.version_units for kind in kinds]),
        (state.item_row, [kind.item_units for kind in kinds]),
    ):
        wanted = sum(count * share * unit for count, share, unit in zip(calls, shares, units, strict=True))
        if wanted:
            admitted = bucket.admit(wanted)
            shares = [share * (admitted if unit else 1.0) for share, unit in zip(shares, units, strict=True)]
    return shares


def _answer(state: _RolloutState, tick: int, call: int, kind: Call, *, phones: float, cold: float) -> None:
    """Have phones receive the answer of a call, and then make the next one, or show the pass."""
    constants = state.constants
    for part, seconds in (
        (phones * (1 - cold), kind.seconds),
        (phones * cold, kind.seconds + constants.cold_start_seconds),
    ):
        if part:
            state.busy += part
            state.ending[tick + max(1, _ticks(seconds))] += part
            arrival = tick + max(1, _ticks(seconds + constants.round_trip_seconds))
            if call == LIST:
                state.calls[DOWNLOAD][0].add(part, arrival, arrival + 1)
            else:
                state.shown[arrival] += part


def _repeat(state: _RolloutState, tick: int, call: int, attempt: int, phones: float) -> float:
    """Have phones repeat a call later; returns their number if that was the last attempt."""
    retries = state.constants.retries
    if not phones:
        return 0.0
    if attempt + 1 == retries.attempts:
        return phones
    first, last = (tick + _ticks(retries.delay_seconds(attempt + 1, chance)) for chance in (0.0, 1.0))
    state.calls[call][attempt + 1].add(phones, max(tick + 1, first), max(tick + 1, last))
    return 0.0


def _ticks(seconds: float) -> int:
    return round(seconds / TICK_SECONDS)

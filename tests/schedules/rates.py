"""How often each kind of event happens in a schedule.

A schedule of everything at once seldom reaches a loss that takes several rare events in a row. So some schedules have a
focus: many events of one subject, and few others.
"""

from dataclasses import dataclass, replace
from enum import Enum, auto
from random import Random

SKEW_SECONDS = 1.0


class Focus(Enum):
    """The subject of a schedule."""

    ANYTHING = auto()
    RUSH = auto()
    """Phones that come back at once, for a pass that changes again within a second (`updates/recent.py`)."""
    REPAIRS = auto()
    """Refused items, failed downloads, and the rechecks that settle them."""
    RELOADS = auto()
    """A pass that is deleted and loaded again, more than once within the grace period of its first deletion."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Probabilities per step, and what holds for a whole schedule.

    Args:
        prepared: all phones hold all passes at the start, and have shown a change.
        phones: number of phones.
        passes: number of passes.
        environments: execution environments of the API at the start.
        narrow: number of devices up to which a pass is in the narrow lane.
        write: a pipeline writes an item, until the share `write_until` of the schedule.
        write_until: see above.
        add: a person adds a pass.
        linger: steps after which a phone registers for it at most.
        deliver: a batch or some messages are delivered.
        rare: a deletion, a removed pass, a new push token, a crash, a damaged tag.
        delete: a pipeline deletes an item.
        personalize: a person signs up.
        fail: a request fails.
        late: another actor may act between a request and its response.
        stall: an actor stalls.
        jump: the clock jumps.
        skip: the clock advances until a message is due.
        pace: seconds of which the clock advances some.
        meet: phones register when a batch is delivered.
        own: a phone calls without a push.
        doze: every second phone leaves a push for later; the others ask for changes at once.
        chase: a pipeline writes an item that was just downloaded.
        repair: the template breaks or is repaired.
        certificate: the certificate expires or is renewed.
        lose_timelines: the rows that pace pushes are deleted.
        freeze: an execution environment was frozen while it was idle, or its clock was set.
        skew: seconds by which clocks differ from the true time at most.
        push: devices notified per second.
    """

    prepared: bool
    phones: int
    passes: int
    narrow: int
    environments: int
    write: float
    write_until: float
    add: float
    linger: int
    deliver: float
    rare: float
    delete: float
    personalize: float
    fail: float
    late: float
    stall: float
    jump: float
    skip: float
    pace: float
    meet: float
    own: float
    doze: float
    chase: float
    repair: float
    certificate: float
    lose_timelines: float
    freeze: float
    skew: float
    push: float


def choose(random: Random, focus: Focus | None = None) -> Rates:
    """Choose the rates of a schedule.

    Args:
        random: decides.
        focus: the subject; None to choose it, too.
    """
    rates = Rates(
        prepared=False,
        phones=random.choice([1, 2, 4, 8]),
        passes=random.choice([1, 1, 2, 4, 8]),
        narrow=random.choice([1, 1, 3]),
        environments=random.choice([1, 1, 2, 4]),
        write=random.choice([0.02, 0.1, 0.3]),
        write_until=random.choice([0.05, 0.2, 0.6, 1.0]),
        add=random.choice([0.03, 0.2]),
        linger=200,
        deliver=random.choice([0.02, 0.1, 0.5]),
        rare=random.choice([0.0, 0.0, 0.01, 0.05]),
        delete=random.choice([0.0, 0.0, 0.02]),
        personalize=random.choice([0.0, 0.0, 0.1]),
        fail=random.choice([0.0, 0.0, 0.02, 0.1]),
        late=random.choice([0.0, 0.3]),
        stall=random.choice([0.0, 0.0, 0.2]),
        jump=random.choice([0.0, 0.04, 0.2]),
        skip=random.choice([0.0, 0.05]),
        pace=random.choice([0.0, 0.01, 0.1, 1.0]),
        meet=random.choice([0.0, 0.5]),
        own=random.choice([0.0, 0.0, 0.02]),
        doze=random.choice([0.0, 0.0, 0.7]),
        chase=random.choice([0.0, 0.0, 0.1]),
        repair=random.choice([0.0, 0.0, 0.05, 0.2]),
        certificate=random.choice([0.0, 0.0, 0.05]),
        lose_timelines=random.choice([0.0, 0.0, 0.01]),
        freeze=random.choice([0.0, 0.5]),
        skew=random.choice([0.0, SKEW_SECONDS]),
        push=random.choice([0.2, 1.0, 1000.0]),
    )
    match focus or random.choice([Focus.ANYTHING, Focus.ANYTHING, Focus.RUSH, Focus.REPAIRS, Focus.RELOADS]):
        case Focus.RUSH:
            return replace(
                rates,
                prepared=random.random() < 0.9,
                phones=random.choice([2, 3]),
                passes=1,
                narrow=random.choice([1, 1, 3]),
                environments=random.choice([1, 1, 2]),
                write=0.02,
                write_until=0.6,
                add=0.2,
                linger=random.choice([1, 1, 200]),
                deliver=0.5,
                rare=random.choice([0.0, 0.0, 0.02]),
                delete=0.0,
                personalize=0.0,
                fail=0.0,
                late=random.choice([0.0, 0.0, 0.3]),
                stall=random.choice([0.0, 0.0, 0.05]),
                jump=0.0,
                skip=random.choice([0.02, 0.1]),
                pace=0.01,
                own=random.choice([0.0, 0.0, 0.2]),
                doze=0.6,
                chase=0.4,
                repair=0.0,
                certificate=random.choice([0.0, 0.0, 0.03]),
                lose_timelines=0.0,
                freeze=0.5,
                skew=SKEW_SECONDS,
                push=1000.0,
            )
        case Focus.REPAIRS:
            return replace(
                rates,
                phones=random.choice([1, 2]),
                passes=1,
                write=random.choice([0.1, 0.3]),
                add=0.2,
                deliver=random.choice([0.1, 0.5]),
                rare=random.choice([0.0, 0.05]),
                delete=0.0,
                personalize=0.0,
                jump=random.choice([0.0, 0.04]),
                repair=random.choice([0.05, 0.2]),
                certificate=random.choice([0.0, 0.05]),
                lose_timelines=0.0,
                push=1000.0,
            )
        case Focus.RELOADS:
            return replace(
                rates,
                prepared=True,
                phones=random.choice([1, 2]),
                passes=1,
                write=0.0,
                add=0.2,
                linger=1,
                deliver=0.5,
                rare=random.choice([0.0, 0.0, 0.01]),
                delete=random.choice([0.05, 0.1]),
                personalize=0.0,
                fail=0.0,
                stall=0.0,
                jump=random.choice([0.02, 0.04]),
                skip=random.choice([0.0, 0.02]),
                pace=random.choice([0.1, 1.0]),
                repair=0.0,
                certificate=0.0,
                lose_timelines=0.0,
                push=1000.0,
            )
    return rates

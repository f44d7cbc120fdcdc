"""Reads from the table of counts how many devices hold passes, and how many passes were added, removed and updated."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from chalicelib.aws.tables import Store
from infra.core.plot import Chart, Line, svg
from infra.stage.stage import Stage

KEYS_PER_REQUEST = 100


@dataclass(frozen=True, slots=True)
class Day:
    """Changes of one day, in UTC.

    Args:
        day: the day.
        pass_type_identifier: the pass type.
        template: the template.
        added: devices that added a pass.
        removed: devices that no longer have a pass.
        updated: passes whose new content devices were notified of, once per update.
    """

    day: date
    pass_type_identifier: str
    template: str
    added: int
    removed: int
    updated: int


@dataclass(frozen=True, slots=True)
class Holders:
    """The holders of a pass type and template now: a device that holds two passes counts twice."""

    pass_type_identifier: str
    template: str
    holders: int


@dataclass(frozen=True, slots=True)
class Stats:
    """Holders now, and the days since a day, without days on which nothing happened."""

    first_day: date
    last_day: date
    holders: Sequence[Holders]
    days: Sequence[Day]


def read_stats(stage: Stage, *, since: float, now: float) -> Stats:
    """Read the counts.

    Args:
        stage: the stage.
        since: epoch seconds; the day that contains it, in UTC, is the first.
        now: epoch seconds.

    Raises:
        StoreError: DynamoDB did not answer.
    """
    counts = Store.connect(stage.settings).counts
    first, last = (datetime.fromtimestamp(at, UTC).date() for at in (since, now))
    names = [(first + timedelta(days=number)).isoformat() for number in range((last - first).days + 1)]
    kinds = counts.kinds()
    holders: list[Holders] = []
    days: list[Day] = []
    for start in range(0, len(kinds), KEYS_PER_REQUEST):
        totals = counts.totals(kinds[start : start + KEYS_PER_REQUEST])
        holders += [Holders(*kind, total) for kind, total in totals.items()]
    for kind in kinds:
        for start in range(0, len(names), KEYS_PER_REQUEST):
            found = counts.days(names[start : start + KEYS_PER_REQUEST], kind)
            days += [
                Day(date.fromisoformat(day), *kind, *all_three) for day, all_three in found.items() if any(all_three)
            ]
    return Stats(first, last, holders, sorted(days, key=lambda one: (one.day, one.pass_type_identifier, one.template)))


def plot(stats: Stats) -> str:
    """Draw added and removed registrations and updated passes per day; returns the content of an SVG file."""
    length = (stats.last_day - stats.first_day).days + 1
    lines = []
    for name in ("added", "removed", "updated"):
        per_day = [0] * length
        for day in stats.days:
            per_day[(day.day - stats.first_day).days] += getattr(day, name)
        lines.append(Line(name, [(float(number), float(count)) for number, count in enumerate(per_day)]))
    return svg([Chart("Per day", f"days since {stats.first_day}", lines)])

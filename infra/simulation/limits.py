"""How many phones per second each part of a stage can serve, without a simulation."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from infra.simulation.constants import Call, Constants

REQUESTS_PER_PHONE = 2


@dataclass(frozen=True, slots=True)
class Limit:
    """A part of the stage, and the phones per second that it serves."""

    what: str
    phones_per_second: float


def limits_of(constants: Constants, *, passes: int) -> list[Limit]:
    """Return the limits of a rollout that changes a number of passes at once, each on the same number of phones."""
    calls = (constants.listing, constants.download)
    found = [
        Limit("gateway", constants.gateway_rate / REQUESTS_PER_PHONE),
        Limit("Lambda, API", constants.concurrency / sum(call.seconds for call in calls)),
    ]
    rows: tuple[tuple[str, Callable[[Call], float]], ...] = (
        ("version row of a pass", lambda call: call.version_units),
        ("item of a pass", lambda call: call.item_units),
    )
    for what, of in rows:
        units = sum(of(call) for call in calls)
        per_second = constants.partition_read_units * passes / units if units else math.inf
        if constants.cache_seconds:  # each busy environment reads it once per call and period
            reads = sum(bool(of(call)) for call in calls) / constants.cache_seconds
            busy = constants.partition_read_units * passes / reads
            per_second = max(per_second, busy / sum(call.seconds for call in calls))
        found.append(Limit(what, per_second))
    return found

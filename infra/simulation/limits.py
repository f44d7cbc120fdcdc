"""How many phones per second each part of a stage can serve, without a simulation."""

import math
from dataclasses import dataclass

from infra.simulation.constants import Constants

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
    for what, units in (
        ("version row of a pass", sum(call.version_units for call in calls)),
        ("item of a pass", sum(call.item_units for call in calls)),
    ):
        per_second = constants.partition_read_units * passes / units if units else math.inf
        found.append(Limit(what, math.inf if constants.cache_seconds else per_second))
    return found

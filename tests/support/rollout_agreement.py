"""Compares a rollout that `make bench-rollout` measured with the simulation of the same."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from infra.core.phone_retries import Retries
from infra.simulation.constants import Constants, Measured, local
from infra.simulation.rollout import Rollout, RolloutResult, simulate

RETRIES = Retries()
TOLERANCE = 0.2
FEW = 10
"""Counts that differ by so few agree, since a single phone is more than the tolerance of them."""
MOST_RECEIVED_PER_SECOND = 1000.0
BISECTIONS = 7
COUNTS = ("refused", "gave_up")
TIMES = ("median_s", "last_s")


def constants_of(
    figures: Mapping[str, Any], settings: Mapping[str, float], *, calm: Mapping[str, Any], received_per_second: float
) -> Constants:
    """Return the constants of the machine on which a rollout was measured.

    Args:
        figures: of the rollout.
        settings: of the run.
        calm: of the paced rollout of the same passes, in which no call waits for others.
        received_per_second: calls that the machine receives.
    """
    spread = max(0.1, figures["last_push_s"] - figures["first_push_s"])
    machine = Measured(
        pushes_per_second=figures["phones"] / spread,
        first_push_seconds=figures["first_push_s"],
        list_seconds=calm["list_s"],
        download_seconds=calm["download_s"],
        received_per_second=received_per_second,
    )
    return local(
        machine,
        gateway_rate=settings["rate"],
        gateway_burst=settings["burst"],
        devices_per_second=settings["devices_per_second"],
    )


def simulated(measured: Mapping[str, Any], *, pacing: str, name: str, retries: Retries = RETRIES) -> RolloutResult:
    """Simulate a rollout that was measured.

    How many calls the machine receives per second is the one constant that the bench does not measure directly. It is
    the number with which refused calls take as long as measured.

    Args:
        measured: the content of `rollout.json`.
        pacing: of the rollout: paced, unpaced.
        name: of the rollout: shared, distinct.
        retries: of the phones.
    """
    figures, calm = measured[pacing][name], measured["paced"][name]
    rollout = Rollout(figures["phones"], 1 if name == "shared" else figures["phones"], paced=pacing == "paced")

    def result(received_per_second: float) -> RolloutResult:
        constants = constants_of(figures, measured["settings"], calm=calm, received_per_second=received_per_second)
        return simulate(rollout, replace(constants, retries=retries))

    if not figures["refused"]:
        return result(math.inf)
    low, high = measured["settings"]["rate"], MOST_RECEIVED_PER_SECOND
    for _ in range(BISECTIONS):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if result(middle).refusal_s > figures["refusal_s"] else (low, middle)
    return result(high)


def disagreements(
    measured: Mapping[str, Any], *, pacing: str, name: str, retries: Retries = RETRIES
) -> dict[str, tuple[float, float]]:
    """Return the figures that differ by more than the tolerance, as measured and as simulated.

    Args:
        measured: the content of `rollout.json`.
        pacing: of the rollout: paced, unpaced.
        name: of the rollout: shared, distinct.
        retries: of the phones.
    """
    result = simulated(measured, pacing=pacing, name=name, retries=retries)
    found = {}
    for key in (*TIMES, *COUNTS):
        one, other = measured[pacing][name][key], getattr(result, key)
        allowed = TOLERANCE * max(one, other) + (FEW if key in COUNTS else 0)
        if abs(one - other) > allowed:
            found[key] = (one, round(other, 1))
    return found

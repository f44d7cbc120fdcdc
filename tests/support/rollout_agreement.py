"""Compares a rollout that `make bench-rollout` measured with the simulation of the same."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from infra.core.phone_retries import Retries
from infra.simulation.constants import Constants, Measured, local
from infra.simulation.rollout import Rollout, simulate

RETRIES = Retries()
TOLERANCE = 0.2
FEW = 10
"""Counts that differ by so few agree, since a single phone is more than the tolerance of them."""
COUNTS = ("refused", "gave_up")
TIMES = ("median_s", "last_s")


def constants_of(figures: Mapping[str, Any], settings: Mapping[str, float]) -> Constants:
    """Return the constants of the machine on which a rollout was measured."""
    spread = max(0.1, figures["last_push_s"] - figures["first_push_s"])
    machine = Measured(
        pushes_per_second=figures["phones"] / spread,
        first_push_seconds=figures["first_push_s"],
        list_seconds=figures["list_s"],
        download_seconds=figures["download_s"],
        refusal_seconds=figures["refusal_s"],
    )
    return local(
        machine,
        gateway_rate=settings["rate"],
        gateway_burst=settings["burst"],
        devices_per_second=settings["devices_per_second"],
    )


def disagreements(
    figures: Mapping[str, Any],
    settings: Mapping[str, float],
    *,
    shared: bool,
    paced: bool,
    retries: Retries = RETRIES,
) -> dict[str, tuple[float, float]]:
    """Return the figures that differ by more than the tolerance, as measured and as simulated.

    Args:
        figures: of one rollout, from `rollout.json`.
        settings: of the run, from there, too.
        shared: whether all phones have the same pass.
        paced: whether it was paced.
        retries: of the phones.
    """
    phones = figures["phones"]
    rollout = Rollout(phones, 1 if shared else phones, paced=paced)
    simulated = simulate(rollout, replace(constants_of(figures, settings), retries=retries))
    found = {}
    for key in (*TIMES, *COUNTS):
        one, other = figures[key], getattr(simulated, key)
        allowed = TOLERANCE * max(one, other) + (FEW if key in COUNTS else 0)
        if abs(one - other) > allowed:
            found[key] = (one, round(other, 1))
    return found

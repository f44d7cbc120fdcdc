"""Schedules of concurrent events lose no update, and with each guard broken some schedule does."""

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.local.run import LocalRun
from tests.schedules.conditions import violations
from tests.schedules.explore import first_loss, known_seeds, schedule_in_memory, silent
from tests.schedules.mutations import MUTATIONS
from tests.schedules.tables import ScratchTables
from tests.schedules.world import World

SCHEDULES = 1_000
SEEDS_TO_TRY = 400
"""A change of the service shifts its schedules; the guards must still be found near the known seeds."""
STEPS_ON_DYNAMODB = 60
STEPS_OF_HYPOTHESIS = 60
pytestmark = pytest.mark.timeout(1200)
"""Seconds on an idle machine, but minutes on a busy one; the default would end the process of a parallel run."""


def test_schedules_lose_no_update() -> None:
    """`make schedules` plays twenty times as many."""
    assert first_loss(range(SCHEDULES)) is None


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
@given(random=st.randoms(use_true_random=False))
def test_schedules_by_hypothesis_lose_no_update(random: Random) -> None:
    """Hypothesis makes the decisions, and can shrink them to a short counterexample."""
    with silent():
        world = schedule_in_memory(random, steps=STEPS_OF_HYPOTHESIS)
        assert violations(world) == []


@pytest.mark.parametrize("guard", MUTATIONS)
def test_broken_guard_loses_an_update(guard: str) -> None:
    """Without any one of the guards, some schedule loses an update: this tests the search itself."""
    seed = known_seeds().get(guard)
    assert seed is not None, "no seed is known for this guard: search for one with `make schedules`, which stores it"
    assert first_loss(range(seed, seed + SEEDS_TO_TRY), guard) is not None, (
        f"{SEEDS_TO_TRY} schedules from seed {seed} on lose no update without this guard, as they did: search again "
        "with `make schedules`, which stores the new seed. If it finds none, the guard or the search has a fault"
    )


def test_seeds_are_known_for_existing_guards_only() -> None:
    assert known_seeds().keys() == MUTATIONS.keys()


@pytest.mark.parametrize("seed", range(12))
def test_schedules_on_dynamodb_lose_no_update(stack: LocalRun, seed: int) -> None:
    """Fewer and shorter schedules, with the service's store and DynamoDB."""
    assert stack
    play_on_dynamodb(seed)


def play_on_dynamodb(seed: int) -> None:
    """Play a schedule with the service's store, on the DynamoDB that the environment names."""
    with ScratchTables() as tables, silent():
        world = World(Random(seed), tables.store(), tables.write)  # noqa: S311 - not a secret
        world.run(STEPS_ON_DYNAMODB)
        assert violations(world) == []

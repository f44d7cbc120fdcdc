"""Schedules of concurrent events lose no update, and with each guard broken some schedule does."""

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.local.run import LocalRun
from tests.schedules.explore import Explored, explore, schedule_in_memory, small_and_silent
from tests.schedules.mutations import MUTATIONS
from tests.schedules.tables import ScratchTables
from tests.schedules.world import World

SCHEDULES = 2_000
STEPS_ON_DYNAMODB = 60
STEPS_OF_HYPOTHESIS = 60
pytestmark = pytest.mark.timeout(1800)
"""The fixture plays all schedules before the first test: minutes, and more of them on a busy machine."""


@pytest.fixture(scope="module")
def explored() -> Explored:
    return explore(SCHEDULES)


def test_schedules_lose_no_update(explored: Explored) -> None:
    assert explored.as_it_is is None


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
@given(random=st.randoms(use_true_random=False))
def test_schedules_by_hypothesis_lose_no_update(random: Random) -> None:
    """Hypothesis makes the decisions, and can shrink them to a short counterexample."""
    with small_and_silent():
        world = schedule_in_memory(random, steps=STEPS_OF_HYPOTHESIS)
        assert world.lost() == []
        assert world.too_fast() == []


@pytest.mark.parametrize("guard", MUTATIONS)
def test_a_broken_guard_is_found(guard: str, explored: Explored) -> None:
    """Without any one of the guards, some schedule loses an update: this tests the search itself."""
    assert explored.broken[guard] is not None


@pytest.mark.parametrize("seed", range(12))
def test_schedules_on_dynamodb_lose_no_update(stack: LocalRun, seed: int) -> None:
    """Fewer and shorter schedules, with the service's store and DynamoDB."""
    assert stack
    play_on_dynamodb(seed)


def play_on_dynamodb(seed: int) -> None:
    """Play a schedule with the service's store, on the DynamoDB that the environment names."""
    with ScratchTables() as tables, small_and_silent():
        world = World(Random(seed), tables.store(), tables.write)  # noqa: S311 - not a secret
        world.run(STEPS_ON_DYNAMODB)
        assert world.lost() == []
        assert world.too_fast() == []

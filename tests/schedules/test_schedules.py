"""No schedule of concurrent events loses an update; and the search for one finds what breaking a guard would lose."""

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.local.run import LocalRun
from tests.schedules.explore import Explored, explore, schedule_in_memory, small_and_silent
from tests.schedules.mutations import MUTATIONS
from tests.schedules.tables import ScratchTables
from tests.schedules.world import World

pytestmark = pytest.mark.timeout(600)
"""Of the fixture that explores: one guard takes some thousand schedules to find."""
SCHEDULES = 2_000
STEPS_ON_DYNAMODB = 60
STEPS_OF_HYPOTHESIS = 60
pytestmark = pytest.mark.timeout(600)  # all schedules are searched before the first test, on a busy machine in minutes


@pytest.fixture(scope="module")
def explored() -> Explored:
    return explore(SCHEDULES)


def test_no_schedule_loses_an_update(explored: Explored) -> None:
    assert explored.as_it_is is None


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
@given(random=st.randoms(use_true_random=False))
def test_no_schedule_that_hypothesis_thinks_of_loses_an_update(random: Random) -> None:
    """The same, with decisions that hypothesis makes and can shrink to a short counterexample."""
    with small_and_silent():
        assert schedule_in_memory(random, steps=STEPS_OF_HYPOTHESIS).lost() == []


@pytest.mark.parametrize("guard", MUTATIONS)
def test_a_broken_guard_is_found(guard: str, explored: Explored) -> None:
    """What checks the check: without any one of the guards, some schedule loses an update."""
    assert explored.broken[guard] is not None


@pytest.mark.parametrize("seed", range(12))
def test_no_schedule_on_dynamodb_loses_an_update(stack: LocalRun, seed: int) -> None:
    """Fewer and shorter, over the real store."""
    assert stack
    play_on_dynamodb(seed)


def play_on_dynamodb(seed: int) -> None:
    """A schedule over the real store, on whatever DynamoDB the environment names."""
    with ScratchTables() as tables, small_and_silent():
        world = World(Random(seed), tables.store(), tables.write)  # noqa: S311 - a schedule, no secret
        world.run(STEPS_ON_DYNAMODB)
        assert world.lost() == []

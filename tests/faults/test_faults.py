"""No fault loses a push, and no push is repeated after APNs has accepted it and the answer is known."""

from collections.abc import Iterator

import pytest

from infra.local.certificates import DevelopmentChain
from infra.local.run import LocalRun
from tests.faults.scenarios import REPEATS, SCENARIOS, play
from tests.support.simulated_apns import ApnsForTests


@pytest.fixture(scope="module")
def apns(chain: DevelopmentChain) -> Iterator[ApnsForTests]:
    simulated, simulator = ApnsForTests.start(chain)
    with simulator:
        yield simulated


@pytest.mark.parametrize("fault", SCENARIOS)
def test_no_push_is_lost_through(fault: str, stack: LocalRun, apns: ApnsForTests) -> None:
    assert stack
    result = play(fault, apns)
    assert result.due > 0
    assert result.lost == 0
    assert result.repeated <= REPEATS.get(fault, 0)

"""One simulator for all tests of this folder, as good as new for each."""

from collections.abc import Iterator

import pytest

from infra.local.certificates import DevelopmentChain
from tests.support.simulated_apns import SimulatedApns


@pytest.fixture(scope="session")
def _apns(chain: DevelopmentChain) -> Iterator[SimulatedApns]:
    apns, simulator = SimulatedApns.start(chain)
    with simulator:
        yield apns


@pytest.fixture
def apns(_apns: SimulatedApns) -> SimulatedApns:
    _apns.recovers()
    _apns.forgets()
    return _apns

"""One APNs stand-in per session for the unit tests, reset before each test."""

from collections.abc import Iterator

import pytest

from infra.local.certificates import DevelopmentChain
from tests.support.simulated_apns import ApnsForTests


@pytest.fixture(scope="session")
def _apns(chain: DevelopmentChain) -> Iterator[ApnsForTests]:
    apns, stand_in = ApnsForTests.start(chain)
    with stand_in:
        yield apns


@pytest.fixture
def apns(_apns: ApnsForTests) -> ApnsForTests:
    _apns.recovers()
    _apns.forgets()
    return _apns

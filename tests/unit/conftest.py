"""Fixtures of the unit tests: an APNs stand-in, reset before each test, and another team's certificates."""

from collections.abc import Iterator

import pytest

from infra.local.certificates import DevelopmentChain, make_development_chain
from tests.support import samples
from tests.support.simulated_apns import ApnsForTests


@pytest.fixture(scope="session", autouse=True)
def _no_system_roots(chain: DevelopmentChain) -> Iterator[None]:
    """Trust no server, instead of the servers of the system's roots, which take 25 ms to read for each TLS context."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(chain.intermediate))
        yield


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> DevelopmentChain:
    """Certificates of another team's pass type, from another intermediate with the same name: another generation."""
    return make_development_chain(
        tmp_path_factory.mktemp("other"), pass_type_identifier=samples.OTHER_TYPE, team_identifier="OTHERTEAM1"
    )


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

"""Fixtures for the tests of passes: a signer, and the certificates of another team."""

import pytest

from chalicelib.passes.signing import Signer
from infra.local.certificates import DevelopmentChain, make_development_chain
from tests.support import samples


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> DevelopmentChain:
    """Certificates of another team's pass type, from another intermediate with the same name: another generation."""
    return make_development_chain(
        tmp_path_factory.mktemp("other"), pass_type_identifier=samples.OTHER_TYPE, team_identifier="OTHERTEAM1"
    )


@pytest.fixture(scope="session")
def signer(chain: DevelopmentChain) -> Signer:
    return samples.signer_of(chain)

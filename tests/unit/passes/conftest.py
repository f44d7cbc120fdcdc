"""Fixtures for the tests of passes: a signer."""

import pytest

from chalicelib.passes.signing import Signer
from infra.local.certificates import DevelopmentChain
from tests.support import samples


@pytest.fixture(scope="session")
def signer(chain: DevelopmentChain) -> Signer:
    return samples.signer_of(chain)

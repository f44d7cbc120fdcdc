"""Fixtures of the tests of the tooling: a cloud, and a portal that issues certificates for any key."""

from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from infra.local.certificates import Portal
from tests.support.cloud import Cloud, cloud_without_stacks


@pytest.fixture(scope="session")
def portal() -> Portal:
    return Portal.open()


@pytest.fixture(scope="session")
def rsa_key() -> rsa.RSAPrivateKey:
    """A key for which certificates are issued."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with cloud_without_stacks() as made:
        yield made

"""Fixtures for the tests of `cert` commands: keys, portals, and a stage name without secrets."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from infra.local.certificates import Portal
from infra.local.run import LocalRun
from tests.stack.infra.operate.certificates.cert_commands import CertCommands


@pytest.fixture(scope="session")
def portal() -> Portal:
    return Portal.open()


@pytest.fixture(scope="session")
def another_portal() -> Portal:
    """A portal of another generation, whose intermediate has the same name."""
    return Portal.open()


@pytest.fixture(scope="session")
def keys() -> tuple[rsa.RSAPrivateKey, rsa.RSAPrivateKey]:
    one, two = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
    return one, two


@pytest.fixture
def cert(
    stack: LocalRun,
    tmp_path: Path,
    portal: Portal,
    keys: tuple[rsa.RSAPrivateKey, rsa.RSAPrivateKey],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[CertCommands]:
    assert stack
    monkeypatch.chdir(tmp_path)
    commands = CertCommands(f"t-{secrets.token_hex(4)}", tmp_path, portal, keys[0])
    yield commands
    for name in commands.stored():
        boto3.client("secretsmanager").delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)

"""Development certificates: openssl accepts the chain, and every certificate says that it is not Apple's."""

import shutil
import stat
import subprocess
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from infra.local.certificates import NOT_APPLE, DevelopmentChain, Portal, keep_development_chain


def openssl(*arguments: str | Path) -> str:
    return subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=True).stdout


def test_openssl_accepts_the_chain(chain: DevelopmentChain) -> None:
    verified = openssl(
        *("verify", "-x509_strict", "-CAfile", chain.root, "-untrusted", chain.intermediate),
        chain.pass_type_certificate,
    )
    assert verified.endswith(": OK\n")
    assert openssl("verify", "-x509_strict", "-CAfile", chain.root, chain.apns_server_certificate).endswith(": OK\n")


def test_every_certificate_says_that_it_is_not_apples(chain: DevelopmentChain) -> None:
    for certificate in (chain.root, chain.intermediate, chain.pass_type_certificate, chain.apns_server_certificate):
        names = openssl("x509", "-in", certificate, "-noout", "-subject", "-issuer").splitlines()
        assert len(names) == 2
        assert all(NOT_APPLE in name for name in names)


def test_files_are_private(chain: DevelopmentChain) -> None:
    for path in asdict(chain).values():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.fixture
def folder(tmp_path: Path, chain: DevelopmentChain) -> Path:
    """A folder with certificates."""
    return shutil.copytree(chain.root.parent, tmp_path / "copy")


def kept(folder: Path) -> DevelopmentChain:
    return keep_development_chain(folder, pass_type_identifier="pass.a.b", team_identifier="DEVTEAM001")


def contents(chain: DevelopmentChain) -> list[bytes]:
    return [path.read_bytes() for path in asdict(chain).values()]


def test_certificates_are_kept_until_one_is_missing(folder: Path, chain: DevelopmentChain) -> None:
    assert contents(kept(folder)) == contents(chain)
    kept(folder).intermediate.unlink()
    assert kept(folder).root.read_bytes() != chain.root.read_bytes()


def test_certificates_that_end_soon_are_replaced(folder: Path) -> None:
    chain, portal = kept(folder), Portal.load(folder)
    ending = portal.issue(
        portal.root.key.public_key(),
        pass_type_identifier="pass.a.b",
        team_identifier="DEVTEAM001",
        lifetime=timedelta(days=29),
    )
    chain.pass_type_certificate.write_bytes(ending.public_bytes(serialization.Encoding.PEM))
    kept(folder)
    assert chain.pass_type_certificate.read_bytes() != ending.public_bytes(serialization.Encoding.PEM)

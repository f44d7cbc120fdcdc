"""Development certificates: openssl accepts the chain, and every certificate says that it is not Apple's."""

import stat
import subprocess
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

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


def test_certificates_are_kept_until_one_is_missing(tmp_path: Path) -> None:
    kept = [
        keep_development_chain(tmp_path, pass_type_identifier="pass.a.b", team_identifier="DEVTEAM001")
        for _ in range(2)
    ]
    first = kept[1].root.read_bytes()
    assert kept[0] == kept[1]
    kept[1].intermediate.unlink()
    renewed = keep_development_chain(tmp_path, pass_type_identifier="pass.a.b", team_identifier="DEVTEAM001")
    assert renewed.root.read_bytes() != first


def test_certificates_that_end_soon_are_replaced(tmp_path: Path) -> None:
    chain = keep_development_chain(tmp_path, pass_type_identifier="pass.a.b", team_identifier="DEVTEAM001")
    portal = Portal.load(tmp_path)
    ending = portal.issue(
        portal.root.key.public_key(),
        pass_type_identifier="pass.a.b",
        team_identifier="DEVTEAM001",
        lifetime=timedelta(days=29),
    )
    chain.pass_type_certificate.write_bytes(ending.public_bytes(serialization.Encoding.PEM))
    keep_development_chain(tmp_path, pass_type_identifier="pass.a.b", team_identifier="DEVTEAM001")
    assert chain.pass_type_certificate.read_bytes() != ending.public_bytes(serialization.Encoding.PEM)

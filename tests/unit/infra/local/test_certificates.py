"""Development certificates: openssl accepts the chain, and every certificate says that it is not Apple's."""

import stat
import subprocess
from dataclasses import asdict
from pathlib import Path

from infra.local.certificates import NOT_APPLE, DevelopmentChain


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

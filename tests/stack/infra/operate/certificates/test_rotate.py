"""Tests of `cert rotate`: the credentials that may replace those of a stage."""

from datetime import timedelta

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import NoEncryption
from cryptography.x509 import load_pem_x509_certificate

from infra.local.certificates import KEY_ID, LIFETIME, DevelopmentChain, Portal
from tests.stack.infra.operate.certificates.cert_commands import PASS_TYPE, TEAM, CertCommands, pem_of


def test_rotate_requires_existing_credentials(cert: CertCommands) -> None:
    message = cert.error_of("rotate", PASS_TYPE, cert.cer(), cert.key_file(), cert.wwdr())
    assert "there is nothing to replace" in message


def test_rotate_requires_same_pass_type_and_team_and_a_later_expiry(
    cert: CertCommands, keys: tuple[rsa.RSAPrivateKey, rsa.RSAPrivateKey], another_portal: Portal
) -> None:
    cert.import_issued()
    for certificate, message in (
        (cert.issued(team="OTHERTEAM1"), f"is of team OTHERTEAM1, but pass type {PASS_TYPE} belongs to team {TEAM}"),
        (cert.issued(lifetime=LIFETIME - timedelta(days=2)), "before the current one, which expires on"),
        (cert.issued(pass_type_identifier="pass.dev.other"), "belongs to pass type pass.dev.other"),
        (cert.issued(keys[1].public_key()), "the private key is not the certificate's"),
    ):
        assert message in cert.error_of("rotate", PASS_TYPE, cert.cer(certificate))
    next_generation = another_portal.issue(
        keys[1].public_key(), pass_type_identifier=PASS_TYPE, team_identifier=TEAM, lifetime=LIFETIME
    )
    files = [cert.cer(next_generation), cert.file("key.pem", pem_of(keys[1], NoEncryption()))]
    assert "right generation" in cert.error_of("rotate", PASS_TYPE, *files)
    cert.run_json("rotate", PASS_TYPE, *files, cert.wwdr(another_portal))
    assert load_pem_x509_certificate(cert.secret().certificate.encode()) == next_generation


def test_rotating_the_apns_key_keeps_the_certificate(cert: CertCommands, chain: DevelopmentChain) -> None:
    cert.import_issued()
    before = cert.secret()
    (stored,) = cert.run_json("rotate", PASS_TYPE, chain.provider_key)
    assert stored["pushes_with"] == f"token {KEY_ID}"
    assert (cert.secret().certificate, cert.secret().private_key) == (before.certificate, before.private_key)

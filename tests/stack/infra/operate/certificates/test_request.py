"""Tests of `cert request`, and of the certificate's way from there to its replacement."""

import json
import secrets
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509 import load_pem_x509_csr

from chalicelib.passes.signing import Signer
from infra.local.certificates import KEY_ID, DevelopmentChain
from tests.stack.infra.operate.certificates.cert_commands import (
    PASS_TYPE,
    TEAM,
    CertCommands,
    openssl,
)


def test_request_is_verified_by_openssl_and_its_key_is_not_on_disk(cert: CertCommands) -> None:
    assert cert.run_json("request", PASS_TYPE)["request"] == f"{PASS_TYPE}.csr"
    text = openssl("req", "-in", cert.folder / f"{PASS_TYPE}.csr", "-noout", "-verify", "-text")
    assert "verify OK" in text
    assert "Public-Key: (2048 bit)" in text
    assert f"CN = {PASS_TYPE}" in text
    assert [path.name for path in cert.folder.iterdir()] == [f"{PASS_TYPE}.csr"]
    ((name, content),) = cert.stored().items()
    assert name == f"passwire/{cert.stage}/pending/{PASS_TYPE}"
    assert json.loads(content)["private_key"].startswith("-----BEGIN PRIVATE KEY-----")


def test_repeated_request_is_identical_and_overwrites_nothing(cert: CertCommands) -> None:
    cert.run_json("request", PASS_TYPE)
    first = (cert.folder / f"{PASS_TYPE}.csr").read_bytes()
    cert.run_json("request", PASS_TYPE)
    cert.run_json("request", PASS_TYPE, "--output", "again.csr")
    assert (cert.folder / "again.csr").read_bytes() == first
    other = cert.file("other.csr", b"something else")
    assert "exists with other content; give another --output" in cert.error_of("request", PASS_TYPE, "--output", other)
    assert other.read_bytes() == b"something else"


def test_request_import_status_and_rotate_work_together(cert: CertCommands, chain: DevelopmentChain) -> None:
    def certified() -> Path:
        cert.run_json("request", PASS_TYPE, "--output", f"{secrets.token_hex(4)}.csr")
        newest = max(cert.folder.glob("*.csr"), key=lambda path: path.stat().st_mtime_ns)
        public_key = load_pem_x509_csr(newest.read_bytes()).public_key()
        assert isinstance(public_key, rsa.RSAPublicKey)
        return cert.cer(cert.issued(public_key))

    (stored,) = cert.run_json("import", PASS_TYPE, certified(), cert.wwdr(), chain.provider_key)
    assert (stored["team_identifier"], stored["pushes_with"]) == (TEAM, f"token {KEY_ID}")
    first = cert.secret()
    assert first.apns is not None
    assert (first.apns.team_identifier, first.apns.key_id) == (TEAM, KEY_ID)
    names = [f"passwire/{cert.stage}/{kind}/{PASS_TYPE}" for kind in ("apns-keys", "pass-types")]
    assert sorted(cert.stored()) == names, "the pending key is deleted"
    assert first.apns.private_key not in json.loads(cert.stored()[names[1]]).values()
    assert json.loads(cert.stored()[names[1]])["apns"] == {"team_identifier": TEAM, "key_id": KEY_ID}
    (seen,) = cert.run_json("status")
    assert seen == {**stored, "days_left": seen["days_left"]}
    (rotated,) = cert.run_json("rotate", PASS_TYPE, certified())
    assert rotated["certificate_ends_at"] >= stored["certificate_ends_at"]
    second = cert.secret()
    assert second.private_key != first.private_key
    assert (second.apns, second.intermediate) == (first.apns, first.intermediate), "what was not given is kept"
    Signer.from_pem(
        certificate=second.certificate, private_key=second.private_key, intermediate=second.intermediate
    ).sign(b"{}", at=datetime.now(UTC))


def test_invalid_pass_type_identifier_is_refused(cert: CertCommands) -> None:
    for name in ("com.acme.boarding", "pass.", "pass.com.acme/boarding", "pass.com.äcme"):
        done = cert.run("request", name)
        assert done.exit_code == 2
        assert f"{name!r} is not a valid" in " ".join(done.output.split())

"""Tests of signatures, verified by openssl, and of certificates and keys that do not belong together."""

import io
import subprocess
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key, pkcs7
from cryptography.x509 import load_pem_x509_certificate
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.errors import ConfigurationError
from chalicelib.passes.personalization import PersonalizationToken
from chalicelib.passes.signing import Signer
from infra.local.certificates import DevelopmentChain
from tests.support import samples

NOW = datetime.now(UTC)


@pytest.mark.parametrize("tool", ["smime", "cms"])
@pytest.mark.parametrize("style", samples.STYLES)
def test_openssl_verifies_passes_of_every_style(
    style: str, tool: str, signer: Signer, chain: DevelopmentChain, tmp_path: Path
) -> None:
    with zipfile.ZipFile(io.BytesIO(samples.build(samples.files_of(style), signer))) as members:
        members.extractall(tmp_path, ["manifest.json", "signature"])
    command = ["openssl", tool, "-verify", "-inform", "DER", "-in", "signature", "-content", "manifest.json", "-binary"]
    command += ["-CAfile", str(chain.root), "-purpose", "any", "-out", "/dev/null"]
    verified = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert verified.returncode == 0, verified.stderr
    (tmp_path / "manifest.json").write_bytes(b"{}")
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode != 0


def test_signature_contains_sha256_the_signing_time_the_certificate_and_its_issuer(signer: Signer) -> None:
    signature = signer.sign(b"{}", at=NOW)
    command = ["openssl", "cms", "-cmsout", "-print", "-inform", "DER", "-noout"]
    printed = subprocess.run(command, input=signature, capture_output=True, check=True).stdout.decode()
    assert "signingTime (1.2.840.113549.1.9.5)" in printed
    assert "sha256 (2.16.840.1.101.3.4.2.1)" in printed
    assert "eContent: <ABSENT>" in printed
    names = [c.subject.rfc4514_string() for c in pkcs7.load_der_pkcs7_certificates(signature)]
    assert len(names) == 2
    assert any(samples.PASS_TYPE_IDENTIFIER in name for name in names)
    assert any("WWDR" in name for name in names)


@pytest.fixture(scope="module")
def signed_by_the_builder(chain: DevelopmentChain) -> Callable[[bytes], tuple[bytes, datetime]]:
    """Return a signature by `cryptography`'s builder, and the second in which it was made."""
    certificate = load_pem_x509_certificate(chain.pass_type_certificate.read_bytes())
    key = load_pem_private_key(chain.pass_type_key.read_bytes(), None)
    assert isinstance(key, RSAPrivateKey)
    options = [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary, pkcs7.PKCS7Options.NoCapabilities]
    issuer = load_pem_x509_certificate(chain.intermediate.read_bytes())

    def sign(content: bytes) -> tuple[bytes, datetime]:
        builder = pkcs7.PKCS7SignatureBuilder().set_data(content).add_signer(certificate, key, SHA256())
        while True:
            before = datetime.now(UTC).replace(microsecond=0)
            signature = builder.add_certificate(issuer).sign(Encoding.DER, options)
            if datetime.now(UTC).replace(microsecond=0) == before:
                return signature, before

    return sign


@given(content=st.binary(max_size=2000))
def test_signature_equals_the_builders_byte_for_byte(
    signed_by_the_builder: Callable[[bytes], tuple[bytes, datetime]], signer: Signer, content: bytes
) -> None:
    expected, at = signed_by_the_builder(content)
    assert signer.sign(content, at=at) == expected


def test_signing_time_does_not_depend_on_the_time_zone(signer: Signer) -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert signer.sign(b"{}", at=NOW) == signer.sign(b"{}", at=elsewhere)
    assert signer.sign(b"{}", at=NOW) != signer.sign(b"{}", at=NOW + timedelta(seconds=1))


def pem_of(chain: DevelopmentChain, **changes: str) -> dict[str, str]:
    return {
        "certificate": chain.pass_type_certificate.read_text(),
        "private_key": chain.pass_type_key.read_text(),
        "intermediate": chain.intermediate.read_text(),
        **changes,
    }


def test_issuer_is_found_among_intermediates_of_the_same_name(chain: DevelopmentChain, other: DevelopmentChain) -> None:
    mine, another = chain.intermediate.read_text(), other.intermediate.read_text()
    for bundle in (mine + another, another + mine):
        signature = Signer.from_pem(**pem_of(chain, intermediate=bundle)).sign(b"{}", at=NOW)
        serials = {certificate.serial_number for certificate in pkcs7.load_der_pkcs7_certificates(signature)}
        assert load_pem_x509_certificate(mine.encode()).serial_number in serials
        assert len(serials) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda other: {"intermediate": other.intermediate.read_text()},
            "import the WWDR certificate of the right gen",
        ),
        (lambda other: {"private_key": other.pass_type_key.read_text()}, "private key is not the certificate's"),
        (lambda other: {"private_key": other.provider_key.read_text()}, "private key is not the certificate's"),
        (lambda other: {"certificate": other.apns_server_certificate.read_text()}, "is not one of Apple's; import"),
        (lambda _: {"certificate": "not PEM"}, "is not a PEM certificate"),
        (lambda _: {"intermediate": ""}, "is not a PEM certificate"),
        (lambda _: {"private_key": "not PEM"}, "is not an unencrypted PEM key"),
    ],
)
def test_parts_that_do_not_belong_together_are_refused_without_showing_the_key(
    change: Callable[[DevelopmentChain], dict[str, str]], message: str, chain: DevelopmentChain, other: DevelopmentChain
) -> None:
    pem = pem_of(chain, **change(other))
    with pytest.raises(ConfigurationError, match=message) as refused:
        Signer.from_pem(**pem)
    assert not any(line in str(refused.value) for line in pem["private_key"].splitlines()[1:-1])


@pytest.mark.parametrize("at", [NOW - timedelta(days=2), NOW + timedelta(days=400)])
def test_certificate_signs_nothing_outside_of_its_validity(signer: Signer, at: datetime) -> None:
    with pytest.raises(ConfigurationError, match="renew it in Apple's developer portal"):
        signer.sign(b"{}", at=at)


def test_key_of_a_signer_is_not_shown(signer: Signer) -> None:
    assert "object at" not in repr(signer)
    assert "Key" not in repr(signer)


def test_openssl_verifies_a_signed_personalization_token(
    signer: Signer, chain: DevelopmentChain, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("dG9rZW4=")
    (tmp_path / "signature").write_bytes(signer.sign_token(PersonalizationToken("dG9rZW4="), at=NOW))
    subprocess.run(
        [
            *("openssl", "cms", "-verify", "-inform", "DER", "-in", tmp_path / "signature", "-binary"),
            *("-content", tmp_path / "token", "-CAfile", chain.root, "-purpose", "any", "-out", "/dev/null"),
        ],
        check=True,
        capture_output=True,
    )

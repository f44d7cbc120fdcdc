"""The verification of a pass by the simulated phone, with passes that were changed in one place."""

import io
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from infra.local.certificates import DevelopmentChain, Portal
from infra.local.phone import InstalledPass
from infra.local.run import PASS_TYPE_IDENTIFIER, TEAM_IDENTIFIER
from infra.local.verification import PassError, verify_pass
from tests.support.samples import build, files_of, signer_of

Files = dict[str, bytes]


@pytest.fixture(scope="module")
def archive(chain: DevelopmentChain) -> bytes:
    return build(files_of("generic"), signer_of(chain))


@pytest.fixture
def files(archive: bytes) -> Files:
    with zipfile.ZipFile(io.BytesIO(archive)) as members:
        return {name: members.read(name) for name in members.namelist()}


def test_signed_pass_is_accepted(files: Files) -> None:
    verify_pass(files)


def replace_manifest(files: Files) -> None:
    files["manifest.json"] += b" "


def replace_image(files: Files) -> None:
    files["icon.png"] += b" "


def add_file(files: Files) -> None:
    files["extra.png"] = b"x"


def remove_file(files: Files) -> None:
    del files["icon.png"]


def remove_signature(files: Files) -> None:
    del files["signature"]


def break_signature(files: Files) -> None:
    files["signature"] = b"unsigned"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (replace_manifest, "the signature of the manifest is invalid"),
        (replace_image, r"does not match the files of the pass: icon\.png$"),
        (add_file, r"does not match the files of the pass: extra\.png$"),
        (remove_file, r"does not match the files of the pass: icon\.png$"),
        (remove_signature, "the pass has no signature"),
        (break_signature, "the signature of the manifest is invalid"),
    ],
)
def test_changed_pass_is_refused(files: Files, change: Callable[[Files], None], error: str) -> None:
    change(files)
    with pytest.raises(PassError, match=error):
        verify_pass(files)


@pytest.mark.parametrize(
    ("pass_type_identifier", "team_identifier", "error"),
    [
        ("pass.other", TEAM_IDENTIFIER, f"not that of the passTypeIdentifier {PASS_TYPE_IDENTIFIER}"),
        (PASS_TYPE_IDENTIFIER, "OTHERTEAM1", f"not that of the teamIdentifier {TEAM_IDENTIFIER}"),
    ],
)
def test_pass_signed_by_another_certificate_is_refused(
    tmp_path: Path, chain: DevelopmentChain, pass_type_identifier: str, team_identifier: str, error: str
) -> None:
    """The other certificate is of the same key and the same issuer."""
    own = x509.load_pem_x509_certificate(chain.pass_type_certificate.read_bytes()).public_key()
    assert isinstance(own, rsa.RSAPublicKey)
    issued = Portal.load(chain.root.parent).issue(
        own, pass_type_identifier=pass_type_identifier, team_identifier=team_identifier
    )
    other = tmp_path / "other.pem"
    other.write_bytes(issued.public_bytes(serialization.Encoding.PEM))
    signer = signer_of(replace(chain, pass_type_certificate=other))
    with pytest.raises(PassError, match=error):
        InstalledPass.open(build(files_of("generic"), signer), language="en", last_modified=None)


def test_phone_refuses_an_unsigned_pass() -> None:
    with pytest.raises(PassError, match="signature of the manifest is invalid"):
        InstalledPass.open(build(files_of("generic")), language="en", last_modified=None)


def test_phone_opens_a_signed_pass(archive: bytes) -> None:
    assert InstalledPass.open(archive, language="en", last_modified=None).serial_number == "S-1"

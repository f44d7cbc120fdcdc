"""Verifies a `.pkpass` as a phone does when it opens one, with openssl and without the code that signs passes.

Apple, "Building a Pass": the manifest lists the SHA-1 digest of every file, and the signature is a detached PKCS#7
signature of the manifest by the certificate of the pass type. A phone also trusts only Apple's root; this does not.
"""

import hashlib
import json
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import NameOID

from chalicelib.core.errors import PasswireError

MANIFEST, SIGNATURE = "manifest.json", "signature"


class PassError(PasswireError):
    """A phone does not accept the pass; the message names the file and the reason."""


def verify_pass(files: Mapping[str, bytes]) -> None:
    """Verify the files of a pass, by their paths in the archive.

    Raises:
        PassError: a file is missing, not in the manifest or changed; or the signature is invalid, not by the
            certificate of the pass type and team in pass.json, or without the intermediate that issued it.
    """
    verify_manifest(files)
    signer = _signer(files[MANIFEST], files[SIGNATURE])
    _verify_issuer(signer, files[SIGNATURE])
    content = json.loads(files["pass.json"])
    for attribute, key in (
        (NameOID.USER_ID, "passTypeIdentifier"),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "teamIdentifier"),
    ):
        if [name.value for name in signer.subject.get_attributes_for_oid(attribute)] != [content.get(key)]:
            raise PassError(f"the certificate of the signature is not that of the {key} {content.get(key)}")


def verify_manifest(files: Mapping[str, bytes]) -> None:
    """Verify that the manifest lists the digest of every file, without verifying its signature.

    Raises:
        PassError: a file is missing, not in the manifest or changed.
    """
    for name in ("pass.json", MANIFEST, SIGNATURE):
        if name not in files:
            raise PassError(f"the pass has no {name}")
    manifest = json.loads(files[MANIFEST])
    digests = {
        name: hashlib.sha1(content).hexdigest()  # noqa: S324 - Apple's choice
        for name, content in files.items()
        if name not in (MANIFEST, SIGNATURE)
    }
    if different := sorted(name for name in manifest.keys() | digests if manifest.get(name) != digests.get(name)):
        raise PassError(f"the manifest does not match the files of the pass: {', '.join(different)}")


def _signer(manifest: bytes, signature: bytes) -> x509.Certificate:
    """Verify the signature; returns the certificate whose key made it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / MANIFEST).write_bytes(manifest)
        (folder / SIGNATURE).write_bytes(signature)
        command = ["openssl", "smime", "-verify", "-inform", "DER", "-in", SIGNATURE, "-content", MANIFEST, "-binary"]
        command += ["-noverify", "-signer", "signer.pem", "-out", "verified"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise PassError(f"the signature of the manifest is invalid: {done.stderr.strip()}")
        return x509.load_pem_x509_certificate((folder / "signer.pem").read_bytes())


def _verify_issuer(signer: x509.Certificate, signature: bytes) -> None:
    for certificate in pkcs7.load_der_pkcs7_certificates(signature):
        try:
            signer.verify_directly_issued_by(certificate)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return
    raise PassError("the signature does not contain the intermediate that issued its certificate")

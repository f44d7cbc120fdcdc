"""What is in the files that a team has: certificates and keys, found by their content whatever the files are called.

Taken are certificates as DER (Apple's `.cer`) or PEM, `.p12` of any age, keys as PEM, and APNs keys (`.p8`).
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)
from cryptography.x509 import Certificate, load_der_x509_certificate, load_pem_x509_certificate

from infra.certificates import CertificateError

MAX_BYTES = 1 << 20
PEM_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.+?-----END \1-----", re.DOTALL)
PFX_VERSION = b"\x02\x01\x03"
"""A `.p12` begins with it (RFC 7292, section 4), after the header of a sequence."""
PFX_HEADER_BYTES = 10
APNS_KEY_NAME = re.compile(r"AuthKey_([A-Z0-9]{10})")
"""How Apple names the file of an APNs key, with its id."""

Password = Callable[[str], str]
"""Gives the password of the file that has this name; raises CertificateError where nobody can say."""


@dataclass(frozen=True, slots=True)
class ApnsKey:
    """An APNs authentication key, PEM; its id is Apple's."""

    key_id: str
    private_key: str = field(repr=False)


@dataclass(slots=True)
class Material:
    """All that was found."""

    certificates: list[Certificate] = field(default_factory=list)
    keys: list[RSAPrivateKey] = field(default_factory=list, repr=False)
    apns_keys: list[ApnsKey] = field(default_factory=list)


def read(paths: Iterable[Path], *, password: Password, apns_key_id: str | None = None) -> Material:
    """Read files.

    Args:
        paths: of any kind, in any order.
        password: is asked for where a file is encrypted.
        apns_key_id: of an APNs key whose file has lost its name.

    Raises:
        CertificateError: a file holds nothing of use, or the password is wrong.
        OSError: a file cannot be read.
    """
    found = Material()
    for path in paths:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES)
        blocks = list(PEM_BLOCK.finditer(data))
        for block in blocks:
            _read_pem(block[0], block[1], path, found, password=password, apns_key_id=apns_key_id)
        if not blocks:
            _read_der(data, path, found, password=password)
    return found


def _read_pem(
    block: bytes, label: bytes, path: Path, found: Material, *, password: Password, apns_key_id: str | None
) -> None:
    if label == b"CERTIFICATE":
        try:
            found.certificates.append(load_pem_x509_certificate(block))
        except ValueError:
            raise CertificateError(f"{path.name}: a certificate in it is damaged; download it again") from None
        return
    if not label.endswith(b"PRIVATE KEY"):
        raise CertificateError(
            f"{path.name}: holds a {label.decode().lower()}; give the certificate that Apple's portal made, its key, "
            "or an APNs key"
        )
    key = _key(block, path, password)
    if isinstance(key, RSAPrivateKey):
        found.keys.append(key)
    elif isinstance(key, EllipticCurvePrivateKey):
        named = APNS_KEY_NAME.search(path.name)
        key_id = apns_key_id or (named[1] if named else None)
        if key_id is None:
            raise CertificateError(
                f"{path.name}: the id of this APNs key is unknown; Apple names the file AuthKey_<id>.p8: give it that "
                "name, or the id with --apns-key-id"
            )
        text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        found.apns_keys.append(ApnsKey(key_id, text))
    else:
        raise CertificateError(f"{path.name}: is a key of a kind that Apple does not use; pass types have RSA keys")


def _key(block: bytes, path: Path, password: Password) -> object:
    encrypted = b"ENCRYPTED" in block
    try:
        return load_pem_private_key(block, password(path.name).encode() if encrypted else None)
    except (ValueError, TypeError):
        raise CertificateError(
            f"{path.name}: the password is wrong, or the key is damaged"
            if encrypted
            else f"{path.name}: the key in it is damaged; export it again"
        ) from None


def _read_der(data: bytes, path: Path, found: Material, *, password: Password) -> None:
    if PFX_VERSION in data[:PFX_HEADER_BYTES]:
        _read_p12(data, path, found, password)
        return
    try:
        found.certificates.append(load_der_x509_certificate(data))
    except ValueError:
        raise CertificateError(
            f"{path.name}: is neither a certificate (.cer, .pem), nor a .p12, nor a key; give the file as Apple's "
            "portal or the keychain made it"
        ) from None


def _read_p12(data: bytes, path: Path, found: Material, password: Password) -> None:
    opened = _open_p12(data, None) or _open_p12(data, b"") or _open_p12(data, password(path.name).encode())
    if opened is None:
        raise CertificateError(f"{path.name}: the password is wrong, or the file is damaged")
    key, certificate, others = opened
    if key is not None and not isinstance(key, RSAPrivateKey):
        raise CertificateError(f"{path.name}: its key is no RSA key; pass types have RSA keys")
    found.keys += [key] if key else []
    found.certificates += [certificate] if certificate else []
    found.certificates += others


def _open_p12(data: bytes, password: bytes | None) -> tuple[object, Certificate | None, list[Certificate]] | None:
    try:
        return pkcs12.load_key_and_certificates(data, password)
    except ValueError:
        return None

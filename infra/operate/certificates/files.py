"""Reads certificates and keys from files, recognized by their content, not by the names of the files.

Certificates (Apple's `.cer`) and keys may be DER, PEM or bare base64, with other text around them; a `.p12` may use old
ciphers; APNs keys are `.p8`.
"""

import base64
import binascii
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_pem_private_key,
    pkcs12,
)
from cryptography.x509 import (
    Certificate,
    DuplicateExtension,
    InvalidVersion,
    load_der_x509_certificate,
    load_der_x509_csr,
)

from infra.core.files import STANDARD, STANDARD_INPUT, opened
from infra.operate.certificates import CertificateError

MAX_BYTES = 1 << 20
PEM_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 #]+)-----(.+?)-----END \1-----", re.DOTALL)
CERTIFICATES = (b"CERTIFICATE", b"X509 CERTIFICATE", b"TRUSTED CERTIFICATE")
PARAMETERS = b" PARAMETERS"
"""End of the labels of the PEM blocks that OpenSSL writes before a key; the key contains the same information."""
CHAINS = (b"PKCS7", b"PKCS #7 SIGNED DATA", b"CMS")
PFX_VERSION = b"\x02\x01\x03"
"""First bytes of a `.p12` after the sequence header (RFC 7292, section 4)."""
SIGNED_DATA = bytes.fromhex("0609 2a864886f70d010702")
"""Object identifier of PKCS #7 signed data (RFC 2315, section 14): its first bytes after the sequence header."""
HEADER_BYTES = 6
SEQUENCE, INDEFINITE = 0x30, 0x80
BYTE_ORDER_MARKS = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig"))
"""Windows editors and PowerShell write them at the start of text files."""
BASE64 = re.compile(rb"[A-Za-z0-9+/\s]{100,}={0,2}\s*")
UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm, DuplicateExtension, InvalidVersion)
"""Errors that `cryptography` raises for damaged input, some only when a part is accessed."""
APNS_KEY_NAME = re.compile(r"AuthKey_([A-Z0-9]{10})")
"""Name that Apple gives to the file of an APNs key; contains the key's id."""

Password = Callable[[str], str]
"""Takes the name of a file and returns its password; raises CertificateError if none is available."""


@dataclass(frozen=True, slots=True)
class ApnsKey:
    """An APNs authentication key.

    Args:
        key_id: the 10-character id that Apple assigned.
        private_key: PEM.
    """

    key_id: str
    private_key: str = field(repr=False)


@dataclass(slots=True)
class Material:
    """Certificates and keys that were found in files."""

    certificates: list[Certificate] = field(default_factory=list)
    keys: list[RSAPrivateKey] = field(default_factory=list, repr=False)
    apns_keys: list[ApnsKey] = field(default_factory=list)


def read(paths: Iterable[Path], *, password: Password, apns_key_id: str | None = None) -> Material:
    """Read files.

    Args:
        paths: the files, of any kind and in any order; `-` is standard input.
        password: called for the password of an encrypted file.
        apns_key_id: id of the APNs key, if its file is not named as Apple named it.

    Raises:
        CertificateError: a file contains neither a certificate nor a key, or the password is wrong.
        OSError: a file cannot be read.
    """
    found = Material()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about old ciphers and sloppy encodings, which the user cannot change
        for path in paths:
            with opened(path) as file:
                data = _text_as_utf8(file.read(MAX_BYTES))
            reader = _FileReader(STANDARD_INPUT if str(path) == STANDARD else path.name, found, password, apns_key_id)
            blocks = list(PEM_BLOCK.finditer(data))
            for block in blocks:
                reader.pem(block[1], block[0], block[2])
            if not blocks:
                reader.der(data)
    return found


@dataclass(frozen=True, slots=True)
class _FileReader:
    """Reads one file.

    Args:
        name: name of the file, which begins every error message.
        found: receives the certificates and keys.
        password: as in `read`.
        apns_key_id: as in `read`.
    """

    name: str
    found: Material
    password: Password
    apns_key_id: str | None

    def pem(self, label: bytes, block: bytes, content: bytes) -> None:
        """Read one PEM block.

        Args:
            label: the label of the block, such as `CERTIFICATE`.
            block: the whole block.
            content: the text between its first and its last line.
        """
        if label in CERTIFICATES:
            try:
                der = next(_objects(base64.b64decode(b"".join(content.split()), validate=True)), b"")
            except binascii.Error:
                der = b""
            if SIGNED_DATA in der[: HEADER_BYTES + len(SIGNED_DATA)]:  # Windows writes chains under this label
                raise self._error(IS_CHAIN)
            self._certificate(der)
        elif label in CHAINS:
            raise self._error(IS_CHAIN)
        elif label.endswith(b"PRIVATE KEY"):
            lines = b"\n".join(line.strip() for line in block.splitlines())
            self._key(lines, load_pem_private_key, encrypted=b"ENCRYPTED" in block)
        elif not label.endswith(PARAMETERS):
            raise self._error(
                f"contains a {label.decode().lower()}; give the certificate that Apple's portal issued, its key, or an "
                "APNs key"
            )

    def der(self, data: bytes) -> None:
        """Read a file that is not PEM: binary, or base64 without header and footer lines."""
        data = data.lstrip()
        if not any(_objects(data)) and BASE64.fullmatch(data):
            data = base64.b64decode(b"".join(data.split()) + b"==")
        if PFX_VERSION in data[: HEADER_BYTES + len(PFX_VERSION)]:
            self._p12(next(_objects(data), data))
            return
        objects = list(_objects(data))
        if not objects:
            raise self._error(UNKNOWN_FORMAT)
        for der in objects:
            self._object(der)

    def _object(self, der: bytes) -> None:
        if SIGNED_DATA in der[: HEADER_BYTES + len(SIGNED_DATA)]:
            raise self._error(IS_CHAIN)
        try:
            load_der_x509_certificate(der)
        except UNREADABLE:
            pass
        else:
            self._certificate(der)
            return
        try:
            load_der_private_key(der, None)
        except TypeError:  # raised for an encrypted key
            self._key(der, load_der_private_key, encrypted=True)
        except UNREADABLE:
            raise self._error(IS_REQUEST if _is_request(der) else UNKNOWN_FORMAT) from None
        else:
            self._key(der, load_der_private_key, encrypted=False)

    def _certificate(self, der: bytes) -> None:
        try:
            certificate = load_der_x509_certificate(der)
            _ = certificate.public_key(), certificate.extensions, certificate.subject, certificate.issuer
            _ = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        except UNREADABLE:
            raise self._error("contains a damaged certificate; download it again") from None
        self.found.certificates.append(certificate)

    def _key(self, data: bytes, load: Callable[[bytes, bytes | None], object], *, encrypted: bool) -> None:
        try:
            key = load(data, self.password(self.name).encode() if encrypted else None)
        except UNREADABLE:
            raise self._error(
                "the password is wrong, or the key is damaged"
                if encrypted
                else "contains a damaged key; export it again"
            ) from None
        if isinstance(key, RSAPrivateKey):
            self.found.keys.append(key)
        elif isinstance(key, EllipticCurvePrivateKey):
            named = APNS_KEY_NAME.search(self.name)
            key_id = self.apns_key_id or (named[1] if named else None)
            if key_id is None:
                raise self._error(
                    "the id of this APNs key is unknown; rename the file to AuthKey_<id>.p8 as Apple named it, or give "
                    "the id with --apns-key-id. If it is the key of a pass type certificate, make a new request with "
                    "`cert request`: that needs an RSA key"
                )
            text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
            self.found.apns_keys.append(ApnsKey(key_id, text))
        else:
            raise self._error("unsupported kind of key; pass type certificates have RSA keys")

    def _p12(self, data: bytes) -> None:
        opened = _open_p12(data, None) or _open_p12(data, b"") or _open_p12(data, self._password())
        if opened is None:
            raise self._error("the password is wrong, or the file is damaged")
        key, certificate, others = opened
        if key is not None and not isinstance(key, RSAPrivateKey):
            raise self._error(
                "not an RSA key, which a pass type certificate needs; make a new request with `cert request`, or "
                "export the certificate that has an RSA key"
            )
        self.found.keys += [key] if key else []
        for one in [*([certificate] if certificate else []), *others]:
            self._certificate(one.public_bytes(Encoding.DER))

    def _password(self) -> bytes:
        return self.password(self.name).encode()

    def _error(self, problem: str) -> CertificateError:
        return CertificateError(f"{self.name}: {problem}")


IS_CHAIN = (
    "a chain of certificates (PKCS #7, .p7b), which contains no key; give the pass type certificate from Apple's "
    "portal (.cer) with its key, or both as a .p12"
)
IS_REQUEST = "contains a certificate request; give the certificate that Apple's portal issued for it"
UNKNOWN_FORMAT = (
    "neither a certificate (.cer, .pem), nor a .p12, nor a key; give the file as Apple's portal or the keychain "
    "created it"
)


def _text_as_utf8(data: bytes) -> bytes:
    for mark, encoding in BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return data.decode(encoding, errors="ignore").encode()
    return data


def _objects(data: bytes) -> Iterator[bytes]:
    """Yield the DER sequences at the beginning of some bytes, and ignore what follows them."""
    while (data := data.lstrip()) and data[0] == SEQUENCE and len(data) > 1:
        length_bytes = data[1] & 0x7F if data[1] & 0x80 else 0  # X.690, 8.1.3
        header = 2 + length_bytes
        size = int.from_bytes(data[2:header], "big") if length_bytes else data[1]
        if data[1] == INDEFINITE or header + size > len(data):
            return
        yield data[: header + size]
        data = data[header + size :]


def _is_request(der: bytes) -> bool:
    try:
        load_der_x509_csr(der)
    except UNREADABLE:
        return False
    return True


def _open_p12(data: bytes, password: bytes | None) -> tuple[object, Certificate | None, list[Certificate]] | None:
    try:
        return pkcs12.load_key_and_certificates(data, password)
    except UNREADABLE:
        return None

"""Tests of reading certificates and keys from files of every form."""

import base64
import contextlib
import subprocess
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.hazmat.primitives.serialization.pkcs7 import serialize_certificates
from cryptography.x509 import Certificate, CertificateSigningRequestBuilder, Name
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.errors import ConfigurationError
from chalicelib.passes.signing import Signer
from infra.local.certificates import Portal
from infra.operate.certificates import CertificateError
from infra.operate.certificates.files import Material, read

SECRET = "secret"
PASS_TYPE = "pass.com.acme.boarding"
NONE, LOCKED = NoEncryption(), BestAvailableEncryption(SECRET.encode())


@dataclass(frozen=True)
class Owned:
    """A team's certificate and key, and a folder for its files."""

    certificate: Certificate
    intermediate: Certificate
    key: rsa.RSAPrivateKey
    folder: Path

    def reads(self, content: bytes | str, name: str = "file", *, password: str | None = SECRET) -> Material:
        """Read a file with this content; a Python warning fails the test."""
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

        def give_password(_: str) -> str:
            if password is None:
                raise CertificateError("a password was requested")
            return password

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return read([path], password=give_password)

    def error_of(self, content: bytes | str, name: str = "file") -> str:
        """Read a file that is refused; return the message."""
        with pytest.raises(CertificateError) as refused:
            self.reads(content, name)
        assert str(refused.value).startswith(f"{name}: ")
        assert "\n" not in str(refused.value)
        return str(refused.value)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    def key_bytes(
        self,
        how: KeySerializationEncryption = NONE,
        form: PrivateFormat = PrivateFormat.PKCS8,
        encoding: Encoding = Encoding.PEM,
    ) -> bytes:
        return self.key.private_bytes(encoding, form, how)

    def p12(self, *how: str) -> bytes:
        """Return a .p12 made by openssl."""
        (self.folder / "key.pem").write_bytes(self.key_bytes())
        (self.folder / "pass.pem").write_text(self.pem)
        command = ["openssl", "pkcs12", "-export", "-inkey", "key.pem", "-in", "pass.pem", "-out", "made.p12", *how]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True)
        return (self.folder / "made.p12").read_bytes()


@pytest.fixture(scope="module")
def owned(portal: Portal, rsa_key: rsa.RSAPrivateKey, tmp_path_factory: pytest.TempPathFactory) -> Owned:
    certificate = portal.issue(rsa_key.public_key(), pass_type_identifier=PASS_TYPE, team_identifier="ABCDE12345")
    return Owned(certificate, portal.intermediate.certificate, rsa_key, tmp_path_factory.mktemp("files"))


CERTIFICATES: dict[str, Callable[[Owned], bytes | str]] = {
    "DER": lambda o: o.der,
    "DER with a newline behind it": lambda o: o.der + b"\n",
    "DER with anything behind it": lambda o: o.der + b"\r\n\0\0 the end",
    "DER with blank lines before it": lambda o: b"\r\n\n" + o.der,
    "PEM": lambda o: o.pem,
    "PEM with CRLF": lambda o: o.pem.replace("\n", "\r\n"),
    "PEM with CR": lambda o: o.pem.replace("\n", "\r"),
    "PEM with a mark": lambda o: f"\ufeff{o.pem}",
    "PEM as PowerShell writes it": lambda o: o.pem.encode("utf-16"),
    "PEM that is indented": lambda o: "".join(f"    {line}  \n" for line in o.pem.splitlines()),
    "PEM in one line": lambda o: "".join(o.pem.splitlines()).replace("E-----M", "E-----\nM"),
    "PEM in other text": lambda o: f"Bag Attributes\n    friendlyName: Ada\nsubject=CN = x\n{o.pem}\nand so on\n",
    "PEM of another label": lambda o: o.pem.replace("CERTIFICATE", "X509 CERTIFICATE"),
    "PEM of OpenSSL's own": lambda o: o.pem.replace("CERTIFICATE", "TRUSTED CERTIFICATE"),
    "base64": lambda o: base64.b64encode(o.der),
    "base64 in lines": lambda o: base64.encodebytes(o.der),
    "base64 without padding": lambda o: base64.b64encode(o.der).rstrip(b"="),
}


@pytest.mark.parametrize("form", CERTIFICATES)
def test_certificate_is_read_from_every_form(form: str, owned: Owned) -> None:
    assert owned.reads(CERTIFICATES[form](owned)).certificates == [owned.certificate]


def test_all_certificates_of_a_file_are_read(owned: Owned) -> None:
    both = [owned.certificate, owned.intermediate]
    assert owned.reads(b"".join(one.public_bytes(Encoding.DER) + b"\n" for one in both)).certificates == both
    assert owned.reads(b"".join(one.public_bytes(Encoding.PEM) for one in both)).certificates == both


TRADITIONAL = PrivateFormat.TraditionalOpenSSL
KEYS: dict[str, Callable[[Owned], bytes]] = {
    "PKCS #8": lambda o: o.key_bytes(),
    "PKCS #8, encrypted": lambda o: o.key_bytes(LOCKED),
    "PKCS #8, indented": lambda o: b"".join(b"  " + line + b"\r\n" for line in o.key_bytes().splitlines()),
    "PKCS #1": lambda o: o.key_bytes(form=TRADITIONAL),
    "PKCS #1, encrypted": lambda o: o.key_bytes(LOCKED, TRADITIONAL),
    "DER": lambda o: o.key_bytes(encoding=Encoding.DER),
    "DER, PKCS #1": lambda o: o.key_bytes(form=TRADITIONAL, encoding=Encoding.DER) + b"\n",
    "DER, encrypted": lambda o: o.key_bytes(LOCKED, encoding=Encoding.DER),
}


@pytest.mark.parametrize("form", KEYS)
def test_key_is_read_from_every_form(form: str, owned: Owned) -> None:
    (found,) = owned.reads(KEYS[form](owned)).keys
    assert found.private_numbers() == owned.key.private_numbers()


P12: dict[str, tuple[str, ...]] = {
    "current ciphers": ("-passout", f"pass:{SECRET}"),
    "ciphers of old keychains": ("-legacy", "-passout", f"pass:{SECRET}"),
    "RC2": ("-legacy", "-certpbe", "PBE-SHA1-RC2-40", "-keypbe", "PBE-SHA1-3DES", "-passout", f"pass:{SECRET}"),
    "without MAC": ("-nomac", "-passout", f"pass:{SECRET}"),
    "without encryption": ("-keypbe", "NONE", "-certpbe", "NONE", "-passout", f"pass:{SECRET}"),
    "without either": ("-keypbe", "NONE", "-certpbe", "NONE", "-nomac", "-passout", "pass:"),
    "with an empty password": ("-passout", "pass:"),
}


@pytest.mark.parametrize("form", P12)
@pytest.mark.parametrize("behind", [b"", b"\n"])
def test_p12_is_read_from_every_form_without_warnings(form: str, behind: bytes, owned: Owned) -> None:
    password = SECRET if SECRET in "".join(P12[form]) else None
    found = owned.reads(owned.p12(*P12[form]) + behind, password=password)
    assert found.certificates == [owned.certificate]
    assert [key.private_numbers() for key in found.keys] == [owned.key.private_numbers()]


def ec_p12(_: Owned) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return pkcs12.serialize_key_and_certificates(b"x", key, None, None, LOCKED)


def ec_pem(_: Owned) -> bytes:
    command = ["openssl", "ecparam", "-name", "prime256v1", "-genkey"]
    return subprocess.run(command, check=True, capture_output=True).stdout


def request(owned: Owned) -> bytes:
    made = CertificateSigningRequestBuilder().subject_name(Name([])).sign(owned.key, SHA256())
    return made.public_bytes(Encoding.DER)


def chain(owned: Owned, encoding: Encoding) -> bytes:
    return serialize_certificates([owned.certificate, owned.intermediate], encoding)


REFUSED: dict[str, tuple[Callable[[Owned], bytes | str], str]] = {
    "a chain, PEM": (
        lambda o: chain(o, Encoding.PEM),
        "a chain of certificates (PKCS #7, .p7b), which contains no key",
    ),
    "a chain, DER": (lambda o: chain(o, Encoding.DER), "a chain of certificates"),
    "a chain, base64": (lambda o: base64.encodebytes(chain(o, Encoding.DER)), "a chain of certificates"),
    "a chain under Windows' label": (
        lambda o: chain(o, Encoding.PEM).replace(b"PKCS7", b"CERTIFICATE"),
        "a chain of certificates",
    ),
    "a chain as PowerShell writes it": (
        lambda o: chain(o, Encoding.PEM).decode().encode("utf-16"),
        "a chain of certificates",
    ),
    "a p12 of an elliptic curve": (ec_p12, "not an RSA key, which a pass type certificate needs"),
    "a key of an elliptic curve": (ec_pem, "that needs an RSA key"),
    "a request": (request, "contains a certificate request; give the certificate"),
    "half a certificate": (lambda o: o.der[:300], "neither a certificate"),
    "a PEM certificate cut in base64": (lambda o: o.pem[:200] + o.pem[-40:], "contains a damaged certificate"),
    "text": (lambda _: "0 not a certificate", "neither a certificate"),
    "nothing": (lambda _: "", "neither a certificate"),
    "zeros": (lambda _: b"\0" * 900, "neither a certificate"),
    "a sequence of nothing": (lambda _: b"\x30\x00", "neither a certificate"),
    "a public key": (
        lambda _: "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        "contains a public key; give the certificate",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_useless_file_is_refused_in_one_sentence(name: str, owned: Owned) -> None:
    content, message = REFUSED[name]
    assert message in owned.error_of(content(owned))


def test_wrong_password_is_refused_in_one_sentence_for_keys_of_every_form(owned: Owned) -> None:
    for form in ("PKCS #8, encrypted", "PKCS #1, encrypted", "DER, encrypted"):
        with pytest.raises(CertificateError, match="the password is wrong, or the key is damaged"):
            owned.reads(KEYS[form](owned), password="wrong")


@given(data=st.data())
def test_damaged_certificate_raises_only_our_errors(data: st.DataObject, owned: Owned) -> None:
    """Some damage affects only one part of a certificate, and shows when that part is first accessed."""
    der = bytearray(owned.der)
    for _ in range(data.draw(st.integers(1, 3))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    pem = f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(bytes(der)).decode()}-----END CERTIFICATE-----\n"
    with contextlib.suppress(CertificateError):
        owned.reads(bytes(der))
    with contextlib.suppress(ConfigurationError):
        Signer.from_pem(
            certificate=pem,
            private_key=owned.key_bytes().decode(),
            intermediate=owned.intermediate.public_bytes(Encoding.PEM).decode(),
        ).days_left(owned.certificate.not_valid_before_utc)

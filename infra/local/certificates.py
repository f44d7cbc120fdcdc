"""Development certificates in the form of Apple's, which sign passes and authenticate pushes to the APNs stand-in only.

Every subject says that it is not Apple's. A local run makes keys and certificates in its folder and keeps them, so that
it can issue further ones for other pass types.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from infra.core.private_files import open_private
from infra.operate.certificates.nfc import NFC_EXTENSION, NFC_NAME

NOT_APPLE = "Passwire development, not Apple"
LIFETIME = timedelta(days=397)
BACKDATE = timedelta(hours=1)
"""How far in the past a certificate begins, for clocks that are behind."""
RENEWAL = timedelta(days=30)
"""How long before their end the certificates of a folder are replaced."""
KEY_ID = "DEVKEY0001"
ASN1_NULL = b"\x05\x00"
AUTHORITIES = ("root", "intermediate")

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey


@dataclass(frozen=True, slots=True)
class DevelopmentChain:
    """The paths of the certificates and keys, all PEM.

    Args:
        root: the root to trust for all of them.
        intermediate: the counterpart of Apple's WWDR certificate, signed by `root`.
        pass_type_certificate: signs passes and authenticates pushes; signed by `intermediate`.
        pass_type_key: its key.
        apns_server_certificate: for localhost and 127.0.0.1; signed by `root`.
        apns_server_key: its key.
        provider_key: an ES256 key as Apple's `.p8` files hold it, whose id is `KEY_ID`.
        provider_public_key: verifies provider tokens in the APNs stand-in.
    """

    root: Path
    intermediate: Path
    pass_type_certificate: Path
    pass_type_key: Path
    apns_server_certificate: Path
    apns_server_key: Path
    provider_key: Path
    provider_public_key: Path


@dataclass(frozen=True, slots=True)
class _Issuer:
    certificate: x509.Certificate
    key: PrivateKey

    @classmethod
    def load(cls, certificate: Path, key: Path) -> Self:
        loaded = serialization.load_pem_private_key(key.read_bytes(), password=None)
        if not isinstance(loaded, PrivateKey):
            raise TypeError(f"{key} is not an RSA or EC key")
        return cls(x509.load_pem_x509_certificate(certificate.read_bytes()), loaded)


@dataclass(frozen=True, slots=True)
class Portal:
    """A counterpart of Apple's developer portal: issues pass type certificates for any key.

    Args:
        root: its root.
        intermediate: the counterpart of Apple's WWDR certificate.
    """

    root: _Issuer
    intermediate: _Issuer

    @classmethod
    def open(cls, *, lifetime: timedelta = LIFETIME) -> Self:
        """Make a portal with new keys; the intermediates of all portals have the same name."""
        root = _certificate_authority("Root CA", issuer=None)
        return cls(root, _certificate_authority("WWDR stand-in", issuer=root, unit="G4", lifetime=lifetime))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the portal that issued the certificates of a folder (`make_development_chain`)."""
        return cls(*(_Issuer.load(folder / f"{name}.pem", folder / f"{name}.key.pem") for name in AUTHORITIES))

    def issue(
        self,
        public_key: PublicKey,
        *,
        pass_type_identifier: str,
        team_identifier: str,
        lifetime: timedelta = LIFETIME,
        nfc: bool = False,
    ) -> x509.Certificate:
        """Issue a pass type certificate, valid since an hour ago; with `nfc` one for passes with NFC."""
        return _issue(
            x509.Name(
                [
                    x509.NameAttribute(NameOID.USER_ID, pass_type_identifier),
                    x509.NameAttribute(
                        NameOID.COMMON_NAME, f"{NFC_NAME if nfc else 'Pass Type ID:'} {pass_type_identifier}"
                    ),
                    x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, team_identifier),
                    x509.NameAttribute(NameOID.ORGANIZATION_NAME, NOT_APPLE),
                    x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
                ]
            ),
            public_key,
            issuer=self.intermediate,
            usage=ExtendedKeyUsageOID.CLIENT_AUTH,
            lifetime=lifetime,
            extensions=[x509.UnrecognizedExtension(NFC_EXTENSION, ASN1_NULL)] if nfc else [],
        )


def keep_development_chain(folder: Path, *, pass_type_identifier: str, team_identifier: str) -> DevelopmentChain:
    """Return the certificates of `folder`; they are made if one is missing, or ends within `RENEWAL`."""
    chain = _paths(folder)
    if not _usable(chain):
        return make_development_chain(
            folder, pass_type_identifier=pass_type_identifier, team_identifier=team_identifier
        )
    return chain


def make_development_chain(folder: Path, *, pass_type_identifier: str, team_identifier: str) -> DevelopmentChain:
    """Make all keys and certificates in `folder`, which is created if missing; existing files are replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    portal = Portal.open()
    pass_type_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pass_type = portal.issue(
        pass_type_key.public_key(),
        pass_type_identifier=pass_type_identifier,
        team_identifier=team_identifier,
        nfc=True,
    )
    server_key = ec.generate_private_key(ec.SECP256R1())
    server = _issue(
        _name("APNs stand-in"),
        server_key.public_key(),
        issuer=portal.root,
        usage=ExtendedKeyUsageOID.SERVER_AUTH,
        localhost=True,
    )
    provider_key = ec.generate_private_key(ec.SECP256R1())
    chain = _paths(folder)
    _write(chain.root, _pem(portal.root.certificate))
    _write(chain.intermediate, _pem(portal.intermediate.certificate))
    _write(folder / "root.key.pem", key_pem(portal.root.key))
    _write(folder / "intermediate.key.pem", key_pem(portal.intermediate.key))
    _write(chain.pass_type_certificate, _pem(pass_type))
    _write(chain.pass_type_key, key_pem(pass_type_key))
    _write(chain.apns_server_certificate, _pem(server))
    _write(chain.apns_server_key, key_pem(server_key))
    _write(chain.provider_key, key_pem(provider_key))
    _write(
        chain.provider_public_key,
        provider_key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
    )
    return chain


def _paths(folder: Path) -> DevelopmentChain:
    return DevelopmentChain(
        root=folder / "root.pem",
        intermediate=folder / "intermediate.pem",
        pass_type_certificate=folder / "pass_type.pem",
        pass_type_key=folder / "pass_type.key.pem",
        apns_server_certificate=folder / "apns_server.pem",
        apns_server_key=folder / "apns_server.key.pem",
        provider_key=folder / f"AuthKey_{KEY_ID}.p8",
        provider_public_key=folder / "provider.pub.pem",
    )


def _usable(chain: DevelopmentChain) -> bool:
    certificates = (chain.root, chain.intermediate, chain.pass_type_certificate, chain.apns_server_certificate)
    keys = (chain.root.with_suffix(".key.pem"), chain.intermediate.with_suffix(".key.pem"))
    if not all(path.is_file() for path in (*asdict(chain).values(), *keys)):
        return False
    ends = (x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc for path in certificates)
    return min(ends) > datetime.now(UTC) + RENEWAL


def _certificate_authority(
    name: str, *, issuer: _Issuer | None, unit: str | None = None, lifetime: timedelta = LIFETIME
) -> _Issuer:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = _name(name, unit=unit)
    certificate = (
        _builder(subject, key.public_key(), issuer=issuer, lifetime=lifetime)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0 if issuer else 1), critical=True)
        .add_extension(_key_usage(certificates=True), critical=True)
        .sign(issuer.key if issuer else key, hashes.SHA256())
    )
    return _Issuer(certificate, key)


def _issue(
    subject: x509.Name,
    public_key: PublicKey,
    *,
    issuer: _Issuer,
    usage: x509.ObjectIdentifier,
    lifetime: timedelta = LIFETIME,
    localhost: bool = False,
    extensions: Sequence[x509.ExtensionType] = (),
) -> x509.Certificate:
    builder = (
        _builder(subject, public_key, issuer=issuer, lifetime=lifetime)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    )
    if localhost:
        names = [x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(issuer.key, hashes.SHA256())


def _builder(
    subject: x509.Name, public_key: PublicKey, *, issuer: _Issuer | None, lifetime: timedelta
) -> x509.CertificateBuilder:
    start = datetime.now(UTC) - BACKDATE
    issuer_key = issuer.key.public_key() if issuer else public_key
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )


def _key_usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificates,
        crl_sign=certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str, *, unit: str | None = None) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, f"{common_name} ({NOT_APPLE})")]
    if unit:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit))
    attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, NOT_APPLE))
    return x509.Name(attributes)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def key_pem(key: PrivateKey) -> bytes:
    """Return a private key as PEM, PKCS#8, not encrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes) -> Path:
    """Write a private file. It is created private, since a key must not be readable until a later chmod."""
    path.unlink(missing_ok=True)
    with open_private(path, "xb") as file:
        file.write(content)
    return path

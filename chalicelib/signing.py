"""Signing with a pass type certificate: detached PKCS#7 (RFC 5652) by `cryptography`, as Wallet checks it.

Wallet wants the signing time as a signed attribute and the WWDR intermediate that issued the certificate in the
signature (Apple, "Building a Pass"). `cryptography` is imported at the first use: functions that sign nothing do not
pay for it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Self

from chalicelib.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.x509 import Certificate


@dataclass(frozen=True, slots=True)
class Signer:
    """A certificate with its key and issuer, checked to fit together.

    Args:
        pass_type_identifier: the certificate's UID, whose passes it signs.
        team_identifier: the certificate's organizational unit.
        not_valid_before: with time zone.
        not_valid_after: with time zone.
    """

    pass_type_identifier: str
    team_identifier: str
    not_valid_before: datetime
    not_valid_after: datetime
    _sign: Callable[[bytes], bytes] = field(repr=False)

    @classmethod
    def from_pem(cls, *, certificate: str, private_key: str, intermediate: str) -> Self:
        """Parse and check, once for the life of a sandbox: parsing an RSA key costs as much as a hundred signatures.

        Args:
            certificate: of the pass type.
            private_key: its key, not encrypted.
            intermediate: Apple's WWDR certificate that issued it, or several generations: the one that did is taken.

        Raises:
            ConfigurationError: something is not PEM, or does not fit the rest; the message says what to do.
        """
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
        from cryptography.x509 import load_pem_x509_certificate, load_pem_x509_certificates
        from cryptography.x509.oid import NameOID

        try:
            own = load_pem_x509_certificate(certificate.encode())
            issuers = load_pem_x509_certificates(intermediate.encode())
        except ValueError:
            raise ConfigurationError("pass type certificate: it or its intermediate is not a PEM certificate") from None
        uid, unit = (_subject(own, oid) for oid in (NameOID.USER_ID, NameOID.ORGANIZATIONAL_UNIT_NAME))
        if uid is None or unit is None:
            raise ConfigurationError("pass type certificate: its subject has no UID and OU; it is none of Apple's kind")
        try:
            # The key is our own secret and is compared with the certificate below; validating it costs 27 ms.
            key = load_pem_private_key(private_key.encode(), password=None, unsafe_skip_rsa_key_validation=True)
        except (ValueError, TypeError):
            raise ConfigurationError(f"pass type {uid}: its private key is not an unencrypted PEM key") from None
        if not isinstance(key, RSAPrivateKey) or key.public_key() != own.public_key():
            raise ConfigurationError(f"pass type {uid}: the private key is not the certificate's; import both again")
        issuer = next((candidate for candidate in issuers if _issued(candidate, own)), None)
        if issuer is None:
            there = " and ".join(candidate.subject.rfc4514_string() for candidate in issuers)
            raise ConfigurationError(
                f"pass type {uid}: issued by {own.issuer.rfc4514_string()}, but the intermediate is {there}; "
                "import the WWDR certificate of the right generation"
            )
        return cls(
            pass_type_identifier=uid,
            team_identifier=unit,
            not_valid_before=own.not_valid_before_utc,
            not_valid_after=own.not_valid_after_utc,
            _sign=_pkcs7(own, key, issuer),
        )

    def sign(self, content: bytes, *, at: datetime) -> bytes:
        """A detached signature, DER, with the signing time and the intermediate in it.

        Args:
            content: a pass's manifest.json, or a personalization token.
            at: now, to refuse a signature that every phone would.

        Raises:
            ConfigurationError: the certificate is not valid at that time.
        """
        if not self.not_valid_before <= at <= self.not_valid_after:
            raise ConfigurationError(
                f"pass type {self.pass_type_identifier}: its certificate is valid from {self.not_valid_before:%Y-%m-%d}"
                f" to {self.not_valid_after:%Y-%m-%d}; renew it in Apple's developer portal and import it"
            )
        return self._sign(content)


def _pkcs7(certificate: "Certificate", private_key: "RSAPrivateKey", issuer: "Certificate") -> Callable[[bytes], bytes]:
    """Everything about a signature that is the same for every pass, done once."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.hazmat.primitives.serialization.pkcs7 import PKCS7Options, PKCS7SignatureBuilder

    builder = PKCS7SignatureBuilder().add_signer(certificate, private_key, SHA256())
    options = [PKCS7Options.DetachedSignature, PKCS7Options.Binary, PKCS7Options.NoCapabilities]

    def sign(content: bytes) -> bytes:
        return builder.set_data(content).add_certificate(issuer).sign(Encoding.DER, options)

    return sign


def _issued(issuer: "Certificate", certificate: "Certificate") -> bool:
    """Generations of WWDR share names, so the signature decides."""
    from cryptography.exceptions import InvalidSignature

    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _subject(certificate: "Certificate", oid: object) -> str | None:
    return next((str(attribute.value) for attribute in certificate.subject if attribute.oid == oid), None)

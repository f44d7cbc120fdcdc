"""Signing with a pass type certificate: detached PKCS#7 (RFC 5652) by `cryptography`, as Wallet checks it.

Wallet wants the signing time as a signed attribute and the WWDR intermediate that issued the certificate in the
signature (Apple, "Building a Pass"). `cryptography` is imported at the first use: functions that sign nothing do not
pay for it.

Theory of operation
-------------------
Of two signatures with one certificate, three values differ, each of a length that never changes: the signing time, the
digest of what is signed, and the RSA signature over these. So `cryptography`'s builder makes one signature when the
certificate is loaded, and it serves as the mould: what is left for a pass is a digest, a date and one RSA operation,
whose results are put in their places. The bytes are the very ones that the builder would make again, for a tenth of a
signature's time more. The mould is proved when it is made: its own signature must verify over the attributes found.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Self

from chalicelib.core.errors import ConfigurationError
from chalicelib.passes.personalization import PersonalizationToken

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.x509 import Certificate

_SET, _IMPLICIT_SET = b"\x31", b"\xa0"
"""The signed attributes are hashed under the first tag and stand in the signature under the second."""
_ATTRIBUTES_HEADER = 2
_FIRST_ATTRIBUTE = bytes.fromhex("3018 0609 2a864886f70d010903")
"""A SEQUENCE that begins with the object identifier of contentType."""
_SIGNING_TIME = bytes.fromhex("0609 2a864886f70d010905 310f 170d")
"""The object identifier of signingTime, and a SET of one UTCTime, which serves until 2049."""
_UTC_TIME_LENGTH, _DIGEST_LENGTH = 13, 32


@dataclass(frozen=True, slots=True)
class Validity:
    """When a certificate is valid, with time zone."""

    begins_at: datetime
    ends_at: datetime

    @classmethod
    def of(cls, certificate: "Certificate") -> Self:
        return cls(certificate.not_valid_before_utc, certificate.not_valid_after_utc)


@dataclass(frozen=True, slots=True)
class Signer:
    """A certificate with its key and issuer, checked to fit together.

    Args:
        pass_type_identifier: the certificate's UID, whose passes it signs.
        team_identifier: the certificate's organizational unit.
        certificate: when the certificate is valid.
        intermediate: when the WWDR certificate is valid that issued it.
    """

    pass_type_identifier: str
    team_identifier: str
    certificate: "Validity"
    intermediate: "Validity"
    _mould: "_SignatureTemplate" = field(repr=False)

    @classmethod
    def from_pem(cls, *, certificate: str, private_key: str, intermediate: str) -> Self:
        """Parse and check, once for the life of a sandbox: parsing an RSA key costs as much as a hundred signatures.

        Args:
            certificate: of the pass type.
            private_key: its key, not encrypted.
            intermediate: Apple's WWDR certificate that issued it, or several generations: the one that did is taken.

        Raises:
            ConfigurationError: something is damaged, not PEM, or does not fit the rest; the message says what to do.
        """
        try:
            return cls._parsed(certificate=certificate, private_key=private_key, intermediate=intermediate)
        except ConfigurationError:
            raise
        except Exception as error:  # noqa: BLE001 - a damaged certificate fails in whichever part is read first
            raise ConfigurationError(
                f"pass type certificate: it, its key or its intermediate is damaged ({type(error).__name__}); "
                "import them again"
            ) from None

    @classmethod
    def _parsed(cls, *, certificate: str, private_key: str, intermediate: str) -> Self:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
        from cryptography.x509 import load_pem_x509_certificate, load_pem_x509_certificates
        from cryptography.x509.oid import NameOID

        try:
            own = load_pem_x509_certificate(certificate.encode())
            issuers = load_pem_x509_certificates(intermediate.encode())
            public_key = own.public_key()
        except (ValueError, UnsupportedAlgorithm):
            raise ConfigurationError("pass type certificate: it or its intermediate is not a PEM certificate") from None
        uid, unit = (_subject(own, oid) for oid in (NameOID.USER_ID, NameOID.ORGANIZATIONAL_UNIT_NAME))
        if uid is None or unit is None:
            raise ConfigurationError("pass type certificate: its subject has no UID and OU; it is none of Apple's kind")
        try:
            # The key is our own secret and is compared with the certificate below; validating it costs 27 ms.
            key = load_pem_private_key(private_key.encode(), password=None, unsafe_skip_rsa_key_validation=True)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise ConfigurationError(f"pass type {uid}: its private key is not an unencrypted PEM key") from None
        if not isinstance(key, RSAPrivateKey) or key.public_key() != public_key:
            raise ConfigurationError(f"pass type {uid}: the private key is not the certificate's; import both again")
        issuer = next((candidate for candidate in issuers if issued(candidate, own)), None)
        if issuer is None:
            there = " and ".join(candidate.subject.rfc4514_string() for candidate in issuers)
            raise ConfigurationError(
                f"pass type {uid}: issued by {own.issuer.rfc4514_string()}, but the intermediate is {there}; "
                "import the WWDR certificate of the right generation"
            )
        return cls(
            pass_type_identifier=uid,
            team_identifier=unit,
            certificate=Validity.of(own),
            intermediate=Validity.of(issuer),
            _mould=_SignatureTemplate.of(own, key, issuer),
        )

    def sign_token(self, token: PersonalizationToken, *, at: datetime) -> bytes:
        """Signs a personalization token, which comes from outside, as `sign` signs a manifest.

        The type of `token` is what keeps a stranger from having a manifest signed (`domain/personalization.py`).

        Args:
            token: the token of a sign-up.
            at: now, the signing time, with time zone.

        Returns:
            The detached signature of the token's ASCII bytes, DER.

        Raises:
            ConfigurationError: the certificate or its intermediate is not valid at that time.
        """
        return self.sign(token.value.encode("ascii"), at=at)

    def sign(self, content: bytes, *, at: datetime) -> bytes:
        """A detached signature, DER, with the signing time and the intermediate in it.

        Args:
            content: a pass's manifest.json that was made here. Nothing from outside: see `sign_token`.
            at: now, the signing time, with time zone.

        Raises:
            ConfigurationError: the certificate or its intermediate is not valid at that time.
        """
        for name, validity, remedy in (
            ("certificate", self.certificate, "renew it in Apple's developer portal"),
            ("WWDR intermediate", self.intermediate, "get a certificate of today's in Apple's developer portal"),
        ):
            if not validity.begins_at <= at <= validity.ends_at:
                raise ConfigurationError(
                    f"pass type {self.pass_type_identifier}: its {name} is valid from {validity.begins_at:%Y-%m-%d} to "
                    f"{validity.ends_at:%Y-%m-%d}; {remedy}, and run: python -m infra cert rotate"
                )
        return self._mould.fill(content, at)

    def validate_pass_type(self, pass_type_identifier: str) -> None:
        """Hold that this is the signer of a pass type.

        Raises:
            ConfigurationError: it is that of another.
        """
        if self.pass_type_identifier != pass_type_identifier:
            raise ConfigurationError(
                f"pass type {pass_type_identifier}: its certificate is that of {self.pass_type_identifier}; "
                "import the right one"
            )

    @property
    def expires_at(self) -> datetime:
        """When nothing can be signed any more: an intermediate ends too, and phones refuse what it vouches for."""
        return min(self.certificate.ends_at, self.intermediate.ends_at)

    def days_left(self, at: datetime) -> int:
        """Whole days from then to the end; negative after it."""
        return (self.expires_at - at).days


@dataclass(frozen=True, slots=True)
class _SignatureTemplate:
    """A signature to put other values into (RFC 5652, sections 5.3, 5.4 and 11).

    Args:
        before: all bytes before the signed attributes.
        attributes: the signed attributes, as they are hashed: tagged as a SET.
        between: what stands between them and the RSA signature, which ends it all.
        time: where the signing time begins in the attributes.
        digest: where the content's digest begins in the attributes.
        sign: the RSA signature of some bytes.
    """

    before: bytes
    attributes: bytes
    between: bytes
    time: int
    digest: int
    sign: Callable[[bytes], bytes]

    @classmethod
    def of(cls, certificate: "Certificate", private_key: "RSAPrivateKey", issuer: "Certificate") -> Self:
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import Encoding
        from cryptography.hazmat.primitives.serialization.pkcs7 import PKCS7Options, PKCS7SignatureBuilder

        builder = PKCS7SignatureBuilder().set_data(b"").add_signer(certificate, private_key, SHA256())
        options = [PKCS7Options.DetachedSignature, PKCS7Options.Binary, PKCS7Options.NoCapabilities]
        made = builder.add_certificate(issuer).sign(Encoding.DER, options)
        start = made.index(_FIRST_ATTRIBUTE) - _ATTRIBUTES_HEADER
        end = start + _ATTRIBUTES_HEADER + made[start + 1]
        signature = len(made) - private_key.key_size // 8
        attributes = _SET + made[start + 1 : end]
        private_key.public_key().verify(made[signature:], attributes, PKCS1v15(), SHA256())
        return cls(
            before=made[:start],
            attributes=attributes,
            between=made[end:signature],
            time=attributes.index(_SIGNING_TIME) + len(_SIGNING_TIME),
            digest=attributes.index(sha256(b"").digest()),
            sign=partial(private_key.sign, padding=PKCS1v15(), algorithm=SHA256()),
        )

    def fill(self, content: bytes, at: datetime) -> bytes:
        attributes = bytearray(self.attributes)
        attributes[self.time : self.time + _UTC_TIME_LENGTH] = f"{at.astimezone(UTC):%y%m%d%H%M%SZ}".encode()
        attributes[self.digest : self.digest + _DIGEST_LENGTH] = sha256(content).digest()
        signature = self.sign(bytes(attributes))
        return b"".join((self.before, _IMPLICIT_SET, attributes[1:], self.between, signature))


def issued(issuer: "Certificate", certificate: "Certificate") -> bool:
    """Generations of WWDR share names, so the signature decides."""
    from cryptography.exceptions import InvalidSignature

    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _subject(certificate: "Certificate", oid: object) -> str | None:
    return next((str(attribute.value) for attribute in certificate.subject if attribute.oid == oid), None)

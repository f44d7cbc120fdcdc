"""Signing with a pass type certificate: detached PKCS#7 (RFC 5652) by `cryptography`, as Wallet verifies it.

Wallet requires the signing time as a signed attribute, and the WWDR intermediate that issued the certificate in the
signature (Apple, "Building a Pass"). `cryptography` is imported at the first use, because most functions sign nothing.

Theory of operation
-------------------
Two signatures with the same certificate differ in three values, each of a constant length: the signing time, the digest
of the content, and the RSA signature over both. So `cryptography`'s builder creates one signature when the certificate
is loaded, and this signature serves as a template. Signing a pass takes a digest, a date and one RSA operation, whose
results replace those in the template. The bytes are the same as the builder's, and everything besides the RSA operation
takes a tenth of its time. A new template is validated: its signature must verify over the attributes found in it.
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
"""The signed attributes are hashed with the first tag, and are in the signature with the second."""
_ATTRIBUTES_HEADER = 2
_FIRST_ATTRIBUTE = bytes.fromhex("3018 0609 2a864886f70d010903")
"""A SEQUENCE that begins with the object identifier of contentType."""
_SIGNING_TIME = bytes.fromhex("0609 2a864886f70d010905 310f 170d")
"""The object identifier of signingTime, and a SET of one UTCTime, a type that ends with the year 2049."""
_UTC_TIME_LENGTH, _DIGEST_LENGTH = 13, 32


@dataclass(frozen=True, slots=True)
class Validity:
    """Period in which a certificate is valid; both ends have a time zone."""

    begins_at: datetime
    ends_at: datetime

    @classmethod
    def of(cls, certificate: "Certificate") -> Self:
        """Return the validity of a certificate."""
        return cls(certificate.not_valid_before_utc, certificate.not_valid_after_utc)


@dataclass(frozen=True, slots=True)
class Signer:
    """A pass type certificate with its private key and the intermediate that issued it; created by `from_pem`.

    Args:
        pass_type_identifier: the certificate's UID: the pass type that it signs.
        team_identifier: the certificate's organizational unit.
        certificate: validity of the certificate.
        intermediate: validity of the WWDR certificate that issued it.
    """

    pass_type_identifier: str
    team_identifier: str
    certificate: "Validity"
    intermediate: "Validity"
    _signature_template: "_SignatureTemplate" = field(repr=False)

    @classmethod
    def from_pem(cls, *, certificate: str, private_key: str, intermediate: str) -> Self:
        """Parse and validate PEM texts. Do it once per execution environment: parsing an RSA key takes as long as a
        hundred signatures.

        Args:
            certificate: the pass type certificate.
            private_key: its private key, not encrypted.
            intermediate: the WWDR certificate that issued it; it may be one of several in the text.

        Raises:
            ConfigurationError: a text is damaged or not PEM, or the three do not belong together; the message says
                what to do.
        """
        try:
            return cls._parsed(certificate=certificate, private_key=private_key, intermediate=intermediate)
        except ConfigurationError:
            raise
        except Exception as error:  # noqa: BLE001 - the type of the error depends on the damaged part
            raise ConfigurationError(
                "pass type certificate: the certificate, its private key or its intermediate is damaged "
                f"({type(error).__name__}); import them again"
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
            raise ConfigurationError(
                "pass type certificate: it or its intermediate is not a PEM certificate; import both again"
            ) from None
        uid, unit = (_subject(own, oid) for oid in (NameOID.USER_ID, NameOID.ORGANIZATIONAL_UNIT_NAME))
        if uid is None or unit is None:
            raise ConfigurationError(
                "pass type certificate: its subject has no UID and OU, so it is not one of Apple's; "
                "import the right certificate"
            )
        try:
            # Validating the key takes 27 ms. It is the stage's own, and its public half is compared below.
            key = load_pem_private_key(private_key.encode(), password=None, unsafe_skip_rsa_key_validation=True)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise ConfigurationError(
                f"pass type {uid}: its private key is not an unencrypted PEM key; import it without a password"
            ) from None
        if not isinstance(key, RSAPrivateKey) or key.public_key() != public_key:
            raise ConfigurationError(f"pass type {uid}: the private key is not the certificate's; import both again")
        issuer = next((candidate for candidate in issuers if is_issuer_of(candidate, own)), None)
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
            _signature_template=_SignatureTemplate.of(own, key, issuer),
        )

    def sign_token(self, token: PersonalizationToken, *, at: datetime) -> bytes:
        """Sign a personalization token, which comes from outside, in the same form as a manifest.

        The type of `token` ensures that a manifest cannot be signed this way (`passes/personalization.py`).

        Args:
            token: the token of a sign-up.
            at: the current time, with time zone: the signing time.

        Returns:
            The detached signature of the token's ASCII bytes, DER.

        Raises:
            ConfigurationError: the certificate or its intermediate is not valid at that time.
        """
        return self.sign(token.value.encode("ascii"), at=at)

    def sign(self, content: bytes, *, at: datetime) -> bytes:
        """Return a detached signature, DER, that contains the signing time and the intermediate.

        Args:
            content: the manifest.json of a pass that was built here; never content from outside, see `sign_token`.
            at: the current time, with time zone: the signing time.

        Raises:
            ConfigurationError: the certificate or its intermediate is not valid at that time.
        """
        for name, validity, remedy in (
            ("certificate", self.certificate, "renew it in Apple's developer portal"),
            ("WWDR intermediate", self.intermediate, "create a new certificate in Apple's developer portal"),
        ):
            if not validity.begins_at <= at <= validity.ends_at:
                raise ConfigurationError(
                    f"pass type {self.pass_type_identifier}: its {name} is valid from {validity.begins_at:%Y-%m-%d} to "
                    f"{validity.ends_at:%Y-%m-%d}; {remedy} and import it"
                )
        return self._signature_template.fill(content, at)

    def validate_pass_type(self, pass_type_identifier: str) -> None:
        """Validate that this signer belongs to a pass type.

        Raises:
            ConfigurationError: it belongs to another pass type.
        """
        if self.pass_type_identifier != pass_type_identifier:
            raise ConfigurationError(
                f"pass type {pass_type_identifier}: its certificate belongs to pass type {self.pass_type_identifier}; "
                "import the right one"
            )

    @property
    def expires_at(self) -> datetime:
        """Time after which nothing can be signed: when the first of the certificate and its intermediate expires."""
        return min(self.certificate.ends_at, self.intermediate.ends_at)

    def days_left(self, at: datetime) -> int:
        """Return the number of whole days from `at` until `expires_at`; negative after it."""
        return (self.expires_at - at).days


@dataclass(frozen=True, slots=True)
class _SignatureTemplate:
    """A signature whose variable parts are replaced for each content (RFC 5652, sections 5.3, 5.4 and 11).

    Args:
        before: the bytes before the signed attributes.
        attributes: the signed attributes as they are hashed, with the tag of a SET.
        between: the bytes between the attributes and the RSA signature, which is the last part.
        time: offset of the signing time in `attributes`.
        digest: offset of the content's digest in `attributes`.
        sign: computes the RSA signature of bytes.
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


def is_issuer_of(issuer: "Certificate", certificate: "Certificate") -> bool:
    """Tell whether `issuer` issued `certificate`, by its signature: several generations of WWDR have the same name."""
    from cryptography.exceptions import InvalidSignature

    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _subject(certificate: "Certificate", oid: object) -> str | None:
    return next((str(attribute.value) for attribute in certificate.subject if attribute.oid == oid), None)

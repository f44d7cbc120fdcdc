"""Selects a pass type's credentials from the contents of files, and validates that they match."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Self, TypeVar

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import (
    BasicConstraints,
    Certificate,
    ExtensionNotFound,
    load_pem_x509_certificate,
    load_pem_x509_certificates,
)
from cryptography.x509.oid import NameOID

from chalicelib.apns.credentials import ProviderToken
from chalicelib.aws.secrets import PassTypeSecret, ProviderKey
from chalicelib.passes.signing import Signer, is_issuer_of
from infra.operate.certificates import CertificateError
from infra.operate.certificates.files import Material

Found = TypeVar("Found")

APPLES_INTERMEDIATE = Path(__file__).with_name("AppleWWDRCAG4.pem")


@dataclass(frozen=True, slots=True)
class Fitting:
    """Credentials that match each other.

    Args:
        secret: as stored in Secrets Manager.
        signer: made from the secret.
    """

    secret: PassTypeSecret = field(repr=False)
    signer: Signer

    @classmethod
    def of(cls, secret: PassTypeSecret) -> Self:
        """Validate a secret.

        Raises:
            ConfigurationError: the certificate, its key and its intermediate do not match.
        """
        signer = Signer.from_pem(
            certificate=secret.certificate, private_key=secret.private_key, intermediate=secret.intermediate
        )
        return cls(secret, signer)


def fit(
    pass_type_identifier: str,
    material: Material,
    *,
    kept_keys: Sequence[RSAPrivateKey],
    current: PassTypeSecret | None,
    now: datetime,
) -> Fitting:
    """Select the credentials of a pass type.

    Args:
        pass_type_identifier: the pass type that the certificate must belong to.
        material: contents of the files.
        kept_keys: keys that may belong to the certificate, used if the files contain no key.
        current: the stored secret, used for everything that the files do not contain.
        now: the moment at which the certificates must be valid.

    Raises:
        CertificateError: something is missing, ambiguous, or of another pass type.
        ConfigurationError: the credentials do not match, or are not valid now.
    """
    own = [certificate for certificate in material.certificates if not _is_authority(certificate)]
    certificate = _only(own, "pass type certificates", [_name(found) for found in own])
    if certificate is None:
        if current is None:
            raise CertificateError("the files contain no pass type certificate; give the .cer from Apple's portal")
        certificate = load_pem_x509_certificate(current.certificate.encode())
    for certified in certificate.subject.get_attributes_for_oid(NameOID.USER_ID):
        if certified.value != pass_type_identifier:
            raise CertificateError(
                f"the certificate belongs to pass type {certified.value!s}, not to {pass_type_identifier}; "
                f"give the certificate of {pass_type_identifier}"
            )
    fitting = Fitting.of(
        PassTypeSecret(
            certificate=_pem(certificate),
            private_key=_private_key(certificate, material.keys or kept_keys),
            intermediate=_intermediate(certificate, material, current),
        )
    )
    fitting.signer.validate_pass_type(pass_type_identifier)
    fitting.signer.sign(b"", at=now)
    apns = _apns(material, fitting.signer.team_identifier) or (current.apns if current else None)
    secret = fitting.secret
    return Fitting(PassTypeSecret(secret.certificate, secret.private_key, secret.intermediate, apns), fitting.signer)


def _private_key(certificate: Certificate, keys: Sequence[RSAPrivateKey]) -> str:
    """Return the key that matches the certificate; if none does, the first one, which validation then reports."""
    if not keys:
        raise CertificateError(
            "the certificate's private key is missing; give it, or a .p12 that contains both, or use "
            "`cert request`, which keeps the key until its certificate is imported"
        )
    return pem_of(next((key for key in keys if key.public_key() == certificate.public_key()), keys[0]))


def _intermediate(certificate: Certificate, material: Material, current: PassTypeSecret | None) -> str:
    """Return the certificate's issuer; if it is missing, the given intermediates, which validation then reports."""
    given = [found for found in material.certificates if _is_authority(found)]
    if not given and current:
        given = load_pem_x509_certificates(current.intermediate.encode())
    apples = load_pem_x509_certificates(APPLES_INTERMEDIATE.read_bytes())
    issuer = next((candidate for candidate in (*given, *apples) if is_issuer_of(candidate, certificate)), None)
    return "".join(_pem(found) for found in ([issuer] if issuer else given or apples))


def _apns(material: Material, team_identifier: str) -> ProviderKey | None:
    found = _only(material.apns_keys, "APNs keys", [key.key_id for key in material.apns_keys])
    if found is None:
        return None
    ProviderToken(team_identifier=team_identifier, key_id=found.key_id, private_key=found.private_key)
    return ProviderKey(team_identifier, found.key_id, found.private_key)


def _only(found: Sequence[Found], plural: str, names: Sequence[str]) -> Found | None:
    distinct = [item for number, item in enumerate(found) if item not in found[:number]]
    if len(distinct) > 1:
        raise CertificateError(f"the files contain several {plural}: {', '.join(names)}; give one at a time")
    return distinct[0] if distinct else None


def _is_authority(certificate: Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(BasicConstraints).value.ca
    except ExtensionNotFound:
        return False


def _name(certificate: Certificate) -> str:
    return certificate.subject.rfc4514_string()


def _pem(certificate: Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def pem_of(key: RSAPrivateKey) -> str:
    """Encode a key as secrets contain it: PEM, PKCS #8, not encrypted."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

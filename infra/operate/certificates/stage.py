"""Requests, imports, lists and replaces the certificates of a stage.

A key that `request` generates is stored in Secrets Manager, never on a disk. Any team member who gets the certificate
can import it, and AWS logs every read of the key.
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509 import CertificateSigningRequestBuilder, Name, NameAttribute, load_pem_x509_certificate
from cryptography.x509.oid import NameOID

from chalicelib.aws.secrets import PassTypeSecret, Secrets
from chalicelib.core.errors import ConfigurationError
from infra.core.program import command
from infra.operate.certificates import CertificateError
from infra.operate.certificates.files import Material
from infra.operate.certificates.fitting import Fitting, fit, pem_of
from infra.operate.certificates.nfc import can_sign_nfc
from infra.stage.secrets import drop_pending_key, ensure_pending_key, pending_key, put_pass_type

PASS_TYPE = re.compile(r"pass\.[A-Za-z0-9.-]{1,250}")
KEY_BITS = 2048
"""Required by Apple's developer portal."""


@dataclass(frozen=True, slots=True)
class Status:
    """Status of one pass type's certificates.

    Args:
        pass_type_identifier: the pass type.
        team_identifier: Apple's id of the team.
        certificate_ends_at: expiry of the certificate, with time zone.
        intermediate_ends_at: expiry of the intermediate, with time zone.
        days_left: days until the earlier expiry; negative after it.
        pushes_with: `certificate`, or `token` and the id of the APNs key.
        nfc: whether the certificate can sign passes with `nfc` or personalization (`nfc.py`).
        problem: why the certificates are unusable, in which case all of the above but the pass type is None; else None.
    """

    pass_type_identifier: str
    team_identifier: str | None = None
    certificate_ends_at: datetime | None = None
    intermediate_ends_at: datetime | None = None
    days_left: int | None = None
    pushes_with: str | None = None
    nfc: bool | None = None
    problem: str | None = None

    @classmethod
    def of(cls, fitting: Fitting, now: datetime) -> "Status":
        """Describe credentials that match each other, expired or not."""
        signer, apns = fitting.signer, fitting.secret.apns
        return cls(
            pass_type_identifier=signer.pass_type_identifier,
            team_identifier=signer.team_identifier,
            certificate_ends_at=signer.certificate.ends_at,
            intermediate_ends_at=signer.intermediate.ends_at,
            days_left=signer.days_left(now),
            pushes_with=f"token {apns.key_id}" if apns else "certificate",
            nfc=can_sign_nfc(load_pem_x509_certificate(fitting.secret.certificate.encode())),
        )


class StageCertificates:
    """The certificates of one stage."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._secrets = Secrets(stage=stage)

    def request(self, pass_type_identifier: str) -> bytes:
        """Return a certificate signing request for Apple's portal, PEM; the same one until it is imported.

        Raises:
            CertificateError: the pass type identifier is invalid.
            ClientError, BotoCoreError: AWS refused the request.
        """
        key = _key(ensure_pending_key(self._stage, check_pass_type(pass_type_identifier), _new_key))
        subject = Name([NameAttribute(NameOID.COMMON_NAME, pass_type_identifier[:64])])
        return CertificateSigningRequestBuilder().subject_name(subject).sign(key, SHA256()).public_bytes(Encoding.PEM)

    def add(self, pass_type_identifier: str, material: Material, *, now: datetime) -> Status:
        """Store a pass type's first credentials, or replace unusable ones.

        Raises:
            CertificateError: the pass type has usable credentials already, or something is missing.
            ConfigurationError: the credentials do not match, or are not valid now.
            SecretsError, ClientError, BotoCoreError: AWS refused the request.
        """
        (existing,) = self.status([check_pass_type(pass_type_identifier)], now=now)
        if existing.problem is None:
            raise CertificateError(
                f"pass type {pass_type_identifier} already has a certificate in stage {self._stage}; to replace it, "
                f"run: {command('cert rotate', pass_type_identifier, 'FILE', '--stage', self._stage)}"
            )
        return self._put(self._fit(pass_type_identifier, material, current=None, now=now), now)

    def replace(self, pass_type_identifier: str, material: Material, *, now: datetime) -> Status:
        """Replace those credentials of a pass type that the files contain; the others are kept.

        Raises:
            CertificateError: the pass type has no credentials, or the new ones are of another team or expire earlier.
            ConfigurationError: the credentials do not match, or are not valid now.
            SecretsError, ClientError, BotoCoreError: AWS refused the request.
        """
        try:
            current = Fitting.of(self._secrets.pass_type_with_apns(check_pass_type(pass_type_identifier)))
        except ConfigurationError as error:
            importing = command("cert import", pass_type_identifier, "FILE", "--stage", self._stage)
            raise CertificateError(f"there is nothing to replace: {error}; run: {importing}") from None
        fitting = self._fit(pass_type_identifier, material, current=current.secret, now=now)
        old, new = current.signer, fitting.signer
        if new.team_identifier != old.team_identifier:
            raise CertificateError(
                f"the certificate is of team {new.team_identifier}, but pass type {pass_type_identifier} belongs to "
                f"team {old.team_identifier}, and phones do not replace a pass with one of another team; give a "
                f"certificate of team {old.team_identifier}"
            )
        if new.expires_at < old.expires_at:
            raise CertificateError(
                f"the certificate expires on {new.expires_at:%Y-%m-%d}, before the current one, which expires on "
                f"{old.expires_at:%Y-%m-%d}; give a newer one"
            )
        return self._put(fitting, now)

    def status(self, pass_type_identifiers: Sequence[str], *, now: datetime) -> list[Status]:
        """Return the status of these pass types; of all pass types of the stage if the sequence is empty.

        Raises:
            SecretsError: AWS refused the request.
        """
        return [self._status(name, now) for name in pass_type_identifiers or self._secrets.pass_types()]

    def _status(self, pass_type_identifier: str, now: datetime) -> Status:
        try:
            fitting = Fitting.of(self._secrets.pass_type_with_apns(pass_type_identifier))
            fitting.signer.validate_pass_type(pass_type_identifier)
        except ConfigurationError as error:
            return Status(pass_type_identifier, problem=str(error))
        return Status.of(fitting, now)

    def _fit(
        self, pass_type_identifier: str, material: Material, *, current: PassTypeSecret | None, now: datetime
    ) -> Fitting:
        kept = [pending_key(self._stage, pass_type_identifier), current.private_key if current else None]
        return fit(
            pass_type_identifier,
            material,
            kept_keys=[_key(text) for text in kept if text],
            current=current,
            now=now,
        )

    def _put(self, fitting: Fitting, now: datetime) -> Status:
        """Store credentials, and delete the pending key if it is theirs."""
        name = fitting.signer.pass_type_identifier
        put_pass_type(self._stage, name, asdict(fitting.secret))
        if pending_key(self._stage, name) == fitting.secret.private_key:
            drop_pending_key(self._stage, name)
        return Status.of(fitting, now)


def check_pass_type(pass_type_identifier: str) -> str:
    """Return a pass type identifier if it is valid.

    Raises:
        CertificateError: it is not.
    """
    if not PASS_TYPE.fullmatch(pass_type_identifier):
        raise CertificateError(
            f"{pass_type_identifier!r} is not a valid pass type identifier; write it like pass.com.acme.boarding"
        )
    return pass_type_identifier


def _new_key() -> str:
    return pem_of(rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS))


def _key(text: str) -> rsa.RSAPrivateKey:
    key = load_pem_private_key(text.encode(), None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise CertificateError("the key in Secrets Manager is not an RSA key; import the certificate with its RSA key")
    return key

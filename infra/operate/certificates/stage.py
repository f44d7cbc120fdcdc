"""A stage's certificates: asked for, imported, looked at, replaced.

A key that `request` makes goes straight into Secrets Manager and waits there, so that it never lies on anybody's disk,
whoever of the team gets the certificate can import it, and AWS logs who read it.
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509 import CertificateSigningRequestBuilder, Name, NameAttribute
from cryptography.x509.oid import NameOID

from chalicelib.aws.secrets import PassTypeSecret, Secrets
from chalicelib.core.errors import ConfigurationError
from infra.operate.certificates import CertificateError
from infra.operate.certificates.files import Material
from infra.operate.certificates.fitting import Fitting, fit, pem_of
from infra.stage.secrets import drop_pending_key, ensure_pending_key, pending_key, put_pass_type

PASS_TYPE = re.compile(r"pass\.[A-Za-z0-9.-]{1,250}")
KEY_BITS = 2048
"""What Apple's portal asks for."""


@dataclass(frozen=True, slots=True)
class Status:
    """One pass type's certificates.

    Args:
        pass_type_identifier: whose they are.
        team_identifier: Apple's id of the team.
        certificate_ends_at: with time zone.
        intermediate_ends_at: with time zone.
        days_left: until the first of both ends; negative after it.
        pushes_with: `certificate`, or `token` and the id of the APNs key.
        problem: why they cannot be used; None where they can. Without any of the above then.
    """

    pass_type_identifier: str
    team_identifier: str | None = None
    certificate_ends_at: datetime | None = None
    intermediate_ends_at: datetime | None = None
    days_left: int | None = None
    pushes_with: str | None = None
    problem: str | None = None

    @classmethod
    def of(cls, fitting: Fitting, now: datetime) -> "Status":
        """Of credentials that fit together, ended or not."""
        signer, apns = fitting.signer, fitting.secret.apns
        return cls(
            pass_type_identifier=signer.pass_type_identifier,
            team_identifier=signer.team_identifier,
            certificate_ends_at=signer.certificate.ends_at,
            intermediate_ends_at=signer.intermediate.ends_at,
            days_left=signer.days_left(now),
            pushes_with=f"token {apns.key_id}" if apns else "certificate",
        )


class StageCertificates:
    """The certificates of one stage."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._secrets = Secrets(stage=stage)

    def request(self, pass_type_identifier: str) -> bytes:
        """A certificate signing request for Apple's portal, PEM; asked again, it is the same one.

        Raises:
            CertificateError: this is no pass type identifier.
            ClientError, BotoCoreError: AWS refused.
        """
        key = _key(ensure_pending_key(self._stage, _checked(pass_type_identifier), _new_key))
        subject = Name([NameAttribute(NameOID.COMMON_NAME, pass_type_identifier[:64])])
        return CertificateSigningRequestBuilder().subject_name(subject).sign(key, SHA256()).public_bytes(Encoding.PEM)

    def add(self, pass_type_identifier: str, material: Material, *, now: datetime) -> Status:
        """Store a pass type's first credentials; broken ones are no obstacle.

        Raises:
            CertificateError: there are some, or something is missing.
            ConfigurationError: something does not fit the rest, or is not valid now.
            SecretsError, ClientError, BotoCoreError: AWS refused.
        """
        (there,) = self.status([_checked(pass_type_identifier)], now=now)
        if there.problem is None:
            raise CertificateError(
                f"pass type {pass_type_identifier} has a certificate in stage {self._stage} already; to replace it, "
                "run: python -m infra cert rotate"
            )
        return self._put(self._fit(pass_type_identifier, material, current=None, now=now), now)

    def replace(self, pass_type_identifier: str, material: Material, *, now: datetime) -> Status:
        """Replace what the files hold of a pass type's credentials; the rest stays.

        Raises:
            CertificateError: there is nothing to replace, the team is another, or the new ones end earlier.
            ConfigurationError: something does not fit the rest, or is not valid now.
            SecretsError, ClientError, BotoCoreError: AWS refused.
        """
        try:
            current = Fitting.of(self._secrets.pass_type_with_apns(_checked(pass_type_identifier)))
        except ConfigurationError as error:
            raise CertificateError(f"there is nothing to replace: {error}; run: python -m infra cert import") from None
        fitting = self._fit(pass_type_identifier, material, current=current.secret, now=now)
        old, new = current.signer, fitting.signer
        if new.team_identifier != old.team_identifier:
            raise CertificateError(
                f"the certificate is of team {new.team_identifier}, and pass type {pass_type_identifier} is team "
                f"{old.team_identifier}'s; phones would take its passes for strangers"
            )
        if new.expires_at < old.expires_at:
            raise CertificateError(
                f"the certificate ends on {new.expires_at:%Y-%m-%d}, before the one that is there, which ends on "
                f"{old.expires_at:%Y-%m-%d}; give the newer one"
            )
        return self._put(fitting, now)

    def status(self, pass_type_identifiers: Sequence[str], *, now: datetime) -> list[Status]:
        """Of these pass types, or of all of the stage.

        Raises:
            SecretsError: AWS refused.
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
        """The pending key has found its certificate, where it is this one, and waits no more."""
        name = fitting.signer.pass_type_identifier
        put_pass_type(self._stage, name, asdict(fitting.secret))
        if pending_key(self._stage, name) == fitting.secret.private_key:
            drop_pending_key(self._stage, name)
        return Status.of(fitting, now)


def _checked(pass_type_identifier: str) -> str:
    if not PASS_TYPE.fullmatch(pass_type_identifier):
        raise CertificateError(
            f"{pass_type_identifier!r} is no pass type identifier; Apple's are like pass.com.acme.boarding"
        )
    return pass_type_identifier


def _new_key() -> str:
    return pem_of(rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS))


def _key(text: str) -> rsa.RSAPrivateKey:
    key = load_pem_private_key(text.encode(), None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise CertificateError("the key that is kept in Secrets Manager is no RSA key")
    return key

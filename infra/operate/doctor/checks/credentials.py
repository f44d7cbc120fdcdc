"""What passes are signed with and pushes are proved by: certificates, keys, teams, and what APNs says to them."""

import io
import socket
import ssl
import tempfile
import time
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from cryptography.x509 import load_pem_x509_certificate, load_pem_x509_certificates
from cryptography.x509.oid import NameOID

from chalicelib import roots
from chalicelib.apns.client import Outcome, Push
from chalicelib.apns.reasons import OutcomeKind
from chalicelib.aws.secrets import PassTypeSecret
from chalicelib.container import push_client
from chalicelib.core.errors import ConfigurationError
from chalicelib.core.identifiers import PassId, PushToken
from chalicelib.flows.check_certificates import WARNING_DAYS
from chalicelib.passes.signing import Signer, issued
from infra.deploy.push_host import PARAMETER, PRODUCTION, push_host_problem
from infra.operate.doctor.context import DoctorContext
from infra.operate.doctor.findings import DoctorFinding, fault, warning

IMPORT = "import the right one: python -m infra cert import"
SOON = timedelta(days=WARNING_DAYS)
APPLE = "Apple Inc."
NOBODY = PushToken("f" * 64)
"""A push token in the form of Apple's that no phone has: APNs calls it bad, after it has looked at who asks."""
PROBE_SECONDS = 10.0
HTTPS = 443
REFUSALS = {
    "InvalidProviderToken": "the .p8 key, its key id or the team is wrong, or the key was revoked",
    "ExpiredProviderToken": "this machine's clock is wrong",
    "TooManyProviderTokenUpdates": "another program pushes with tokens of its own from this key: give it another key",
    "CertificateRefused": "APNs takes this certificate no more: renew it in Apple's developer portal",
    "BadCertificateEnvironment": "the certificate is one for development: make one for the pass type",
    "TopicDisallowed": "the key's team does not own this pass type: push with the pass type's own certificate",
    "BadTopic": "Apple does not know this pass type: look at its spelling",
    "Unreachable": "let this machine reach APNs; whether the functions do is for Lambda's network to say",
    "UntrustedServer": "something between here and APNs answers in its place: exempt APNs from inspection",
}
"""What to do, by the reason that APNs gave, or that stands for its silence (`Outcome.reason`)."""


def certificates(doctor: DoctorContext) -> Iterator[DoctorFinding]:
    """Every pass type has a certificate that Apple issued, with its key, for it, and not only for days."""
    if not doctor.pass_types:
        yield fault("no pass type has a certificate", IMPORT)
    used = {pass_id.pass_type_identifier for pass_id, _ in doctor.sampled_passes}
    for missing in sorted(used - set(doctor.pass_types)):
        yield fault(f"pass type {missing}: there are passes of it, but no certificate", IMPORT)
    for name in doctor.pass_types:
        try:
            secret = doctor.pass_type_secret(name)
            signer = Signer.from_pem(
                certificate=secret.certificate, private_key=secret.private_key, intermediate=secret.intermediate
            )
        except ConfigurationError as error:
            yield fault(str(error), IMPORT)
            continue
        if signer.pass_type_identifier != name:
            yield fault(f"pass type {name}: its certificate is that of {signer.pass_type_identifier}", IMPORT)
        yield from _dates(name, signer)
        yield from _issuer(name, secret, root=doctor.settings("push").apns_ca)
        if secret.apns is not None and secret.apns.team_identifier != signer.team_identifier:
            yield fault(
                f"pass type {name}: belongs to team {signer.team_identifier}, but pushes are signed by team "
                f"{secret.apns.team_identifier}, to which APNs answers TopicDisallowed",
                "import a .p8 key of the pass type's team, or none, to push with the certificate",
            )


def apns(doctor: DoctorContext) -> Iterator[DoctorFinding]:
    """APNs is reached, and takes the credential of every pass type: it finds fault with the token alone."""
    settings = doctor.settings("push")
    elsewhere = list(_push_hosts(doctor))
    yield from elsewhere
    if elsewhere:
        return  # credentials are not for other hosts to see
    for name in doctor.pass_types:
        client = push_client(doctor.pass_type_secret(name), settings)
        deadline = time.monotonic() + PROBE_SECONDS
        for outcome in client.push([Push(NOBODY, name)], deadline=deadline):
            if outcome.reason != "BadDeviceToken":
                yield _refused(name, settings.apns_url, outcome)
        client.close()


def _push_hosts(doctor: DoctorContext) -> Iterator[DoctorFinding]:
    """The functions that push do so to Apple's production host."""
    for role in ("push", "push_worker"):
        if problem := push_host_problem(doctor.settings(role).apns_url, local=doctor.is_local):
            yield fault(
                f"function {role} does not push to Apple's production host: {problem}",
                f"python -m infra deploy --stage {doctor.stage.name} --set {PARAMETER}={PRODUCTION}",
            )


def apns_roots(doctor: DoctorContext) -> Iterator[DoctorFinding]:
    """The functions trust APNs by the roots in their zip, which are older than this machine's where no one deploys."""
    settings = doctor.settings("push")
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(io.BytesIO(doctor.code("push"))) as archive:
            names = [name for name in archive.namelist() if name.startswith(f"{roots.FOLDER.name}/")]
            if not names:
                return  # as `chalice deploy` packages it: the functions use the roots of Lambda's own system
            archive.extractall(folder, names)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(capath=str(Path(folder) / roots.FOLDER.name), cadata=settings.apns_ca or None)
        host, port = urlsplit(settings.apns_url).hostname or "", urlsplit(settings.apns_url).port or HTTPS
        try:
            with (
                socket.create_connection((host, port), timeout=PROBE_SECONDS) as connection,
                context.wrap_socket(connection, server_hostname=host),
            ):
                return
        except ssl.SSLCertVerificationError as error:
            yield fault(
                f"the functions do not trust {host}: {error.verify_message}",
                "update certifi (make lock) and deploy again; where a proxy inspects this machine's connections, "
                "exempt APNs from it",
            )
        except OSError:
            return  # the check `apns` says that it cannot be reached


def authentication_keys(doctor: DoctorContext) -> Iterator[DoctorFinding]:
    """The keys are there that tell phones' tokens from forged ones."""
    try:
        doctor.authentication_keys.issue(PassId("pass.of.nobody", "0"), own=None)
    except ConfigurationError as error:
        yield fault(
            str(error),
            "if it never was there, deploy: it is made. If it was, bring it back from your copy: without it no phone "
            "is let in, and no installed pass can be given another token",
        )


def _dates(name: str, signer: Signer) -> Iterator[DoctorFinding]:
    now = datetime.now(UTC)
    renew = "renew it in Apple's developer portal, then: python -m infra cert rotate"
    if now < signer.certificate.begins_at:
        yield fault(
            f"pass type {name}: its certificate is valid from {signer.certificate.begins_at:%Y-%m-%d} on", "wait"
        )
    elif now > signer.certificate.ends_at:
        yield fault(f"pass type {name}: its certificate expired on {signer.certificate.ends_at:%Y-%m-%d}", renew)
    elif now > signer.certificate.ends_at - SOON:
        days = (signer.certificate.ends_at - now).days
        yield warning(f"pass type {name}: its certificate expires in {days} days", renew)


def _issuer(name: str, secret: PassTypeSecret, *, root: str) -> Iterator[DoctorFinding]:
    """The chain: phones trust Apple's root alone, and the stand-in for APNs has a root of its own.

    Args:
        root: PEM of what is trusted in place of Apple's; empty on AWS.
    """
    own = load_pem_x509_certificate(secret.certificate.encode())
    intermediate = next(
        issuer for issuer in load_pem_x509_certificates(secret.intermediate.encode()) if issued(issuer, own)
    )
    if datetime.now(UTC) > intermediate.not_valid_after_utc:
        yield fault(
            f"pass type {name}: the WWDR certificate that issued its own expired on "
            f"{intermediate.not_valid_after_utc:%Y-%m-%d}",
            "get a certificate from Apple's current generation and import it",
        )
    if root:
        trusted = issued(load_pem_x509_certificate(root.encode()), intermediate)
    else:
        organizations = intermediate.issuer.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        trusted = any(organization.value == APPLE for organization in organizations)
    if not trusted:
        yield fault(
            f"pass type {name}: its certificates lead to {intermediate.issuer.rfc4514_string()}, which phones do not "
            "trust",
            "import the certificate that Apple issued, with Apple's WWDR certificate",
        )


def _refused(name: str, url: str, outcome: Outcome) -> DoctorFinding:
    reason = outcome.reason or "delivered to nobody"
    status = f"{outcome.status} " if outcome.status is not None else ""
    default = (
        "wait, then look again: APNs is not well"
        if outcome.kind is OutcomeKind.LATER
        else 'look the reason up in Apple\'s "Handling notification responses from APNs"'
    )
    return fault(f"pass type {name}: APNs at {url} answers {status}{reason}", REFUSALS.get(reason, default))

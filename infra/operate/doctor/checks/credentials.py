"""Checks of certificates, keys and teams, and of APNs' response to them."""

import contextlib
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
from chalicelib.apns.outcomes import Outcome, Push
from chalicelib.apns.reasons import OutcomeKind
from chalicelib.aws.secrets import PassTypeSecret
from chalicelib.aws.templates import Templates
from chalicelib.container import push_client
from chalicelib.core.attributes import plain_item
from chalicelib.core.errors import ConfigurationError
from chalicelib.core.identifiers import PassId, PushToken
from chalicelib.flows.check_certificates import WARNING_DAYS
from chalicelib.passes.signing import Signer, is_issuer_of
from infra.deploy.push_host import PARAMETER, PRODUCTION, push_host_problem
from infra.operate.certificates.nfc import REMEDY, can_sign_nfc, find_refused_passes
from infra.operate.doctor.context import DoctorContext
from infra.operate.doctor.findings import DoctorFinding, fault, warning

SOON = timedelta(days=WARNING_DAYS)
APPLE = "Apple Inc."
UNASSIGNED = PushToken("f" * 64)
"""A well-formed push token that no device has: APNs checks the credentials first, and then answers BadDeviceToken."""
PROBE_SECONDS = 10.0
HTTPS = 443
REFUSALS = {
    "InvalidProviderToken": "the .p8 key, its key id or the team is wrong, or the key was revoked",
    "ExpiredProviderToken": "this machine's clock is wrong",
    "TooManyProviderTokenUpdates": "another program creates tokens from this key: give it another key",
    "CertificateRefused": "APNs no longer accepts this certificate: renew it in Apple's developer portal",
    "BadCertificateEnvironment": "this is a development certificate: create one for the pass type",
    "TopicDisallowed": "the key's team does not own this pass type: push with the pass type's own certificate",
    "BadTopic": "Apple does not know this pass type: check its spelling",
    "Unreachable": "allow this machine to connect to APNs; the functions' network may differ from this machine's",
    "UntrustedServer": "a proxy between this machine and APNs answers in its place: exempt APNs from inspection",
}
"""Remedy by APNs' reason, or by the client's own reason if APNs did not answer (`Outcome.reason`)."""


def certificates(doctor: DoctorContext) -> Iterator[DoctorFinding]:
    """Check that every pass type has a certificate of its own from Apple, with its key, valid for long enough."""
    if not doctor.pass_types:
        yield fault("no pass type has a certificate", doctor.import_certificate())
    used = {pass_id.pass_type_identifier for pass_id, _ in doctor.sampled_passes}
    for missing in sorted(used - set(doctor.pass_types)):
        yield fault(f"pass type {missing}: has passes, but no certificate", doctor.import_certificate(missing))
    for name in doctor.pass_types:
        try:
            secret = doctor.pass_type_secret(name)
            signer = Signer.from_pem(
                certificate=secret.certificate, private_key=secret.private_key, intermediate=secret.intermediate
            )
        except ConfigurationError as error:
            yield fault(str(error), doctor.import_certificate(name))
            continue
        if signer.pass_type_identifier != name:
            yield fault(
                f"pass type {name}: its certificate belongs to {signer.pass_type_identifier}",
                doctor.rotate_certificate(name),
            )
        yield from _dates(doctor, name, signer)
        yield from _issuer(doctor, name, secret, root=doctor.settings("push").apns_ca)
        if secret.apns is not None and secret.apns.team_identifier != signer.team_identifier:
            yield fault(
                f"pass type {name}: belongs to team {signer.team_identifier}, but pushes are signed by team "
                f"{secret.apns.team_identifier}, which APNs refuses with TopicDisallowed",
                f"with a .p8 key of the pass type's team: {doctor.rotate_certificate(name)}",
            )
    yield from _refused_passes(doctor)


def apns(doctor: DoctorContext) -> Iterator[DoctorFinding]:
    """Check that APNs accepts the credentials of every pass type: it must refuse only the unassigned push token."""
    settings = doctor.settings("push")
    wrong_hosts = list(_push_hosts(doctor))
    yield from wrong_hosts
    if wrong_hosts:
        return  # never send credentials to another host
    for name in doctor.pass_types:
        client = push_client(doctor.pass_type_secret(name), settings)
        deadline = time.monotonic() + PROBE_SECONDS
        for outcome in client.push([Push(UNASSIGNED, name)], deadline=deadline):
            if outcome.reason != "BadDeviceToken":
                yield _refused(name, settings.apns_url, outcome)
        client.close()


def _push_hosts(doctor: DoctorContext) -> Iterator[DoctorFinding]:
    """Check that the functions that push use Apple's production host."""
    for role in ("push", "push_worker"):
        if problem := push_host_problem(doctor.settings(role).apns_url, local=doctor.is_local):
            yield fault(
                f"function {role}: does not push to Apple's production host: {problem}",
                doctor.command("deploy", "--set", f"{PARAMETER}={PRODUCTION}"),
                cause=f"push host: {problem}",
            )


def apns_roots(doctor: DoctorContext) -> Iterator[DoctorFinding]:
    """Check that the root certificates in the functions' zip, which age between deployments, verify APNs."""
    settings = doctor.settings("push")
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(io.BytesIO(doctor.code("push"))) as archive:
            names = [name for name in archive.namelist() if name.startswith(f"{roots.FOLDER.name}/")]
            if not names:
                return  # packaged by `chalice deploy`: the functions use the roots of Lambda's operating system
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
                f"update certifi (make lock), then: {doctor.redeploy}; if a proxy inspects this machine's connections, "
                "exempt APNs from inspection",
            )
        except OSError:
            return  # the check `apns` reports an unreachable host


def authentication_keys(doctor: DoctorContext) -> Iterator[DoctorFinding]:
    """Check that the stage can issue authentication tokens."""
    try:
        doctor.authentication_keys.issue(PassId("pass.com.example.doctor", "0"), item_token=None)
    except ConfigurationError as error:
        yield fault(
            str(error),
            f"if the secret never existed, create it: {doctor.redeploy}. If it was lost, restore it from your copy: "
            "without it no phone can authenticate, and installed passes cannot be given another token",
        )


def _refused_passes(doctor: DoctorContext) -> Iterator[DoctorFinding]:
    """Check that no pass needs an NFC certificate that its pass type does not have."""
    can_sign: dict[str, bool] = {}
    for name in doctor.pass_types:
        with contextlib.suppress(ConfigurationError, ValueError):  # reported as an unusable certificate
            certificate = load_pem_x509_certificate(doctor.pass_type_secret(name).certificate.encode())
            can_sign[name] = can_sign_nfc(certificate)
    templates = Templates(bucket=doctor.stage.templates_bucket)
    for each in find_refused_passes(map(plain_item, doctor.sample), templates, can_sign):
        yield fault(str(each), REMEDY)


def _dates(doctor: DoctorContext, name: str, signer: Signer) -> Iterator[DoctorFinding]:
    now = datetime.now(UTC)
    renew = f"renew it in Apple's developer portal, then: {doctor.rotate_certificate(name)}"
    alarm = "CertificateExpiry"
    if now < signer.certificate.begins_at:
        yield fault(
            f"pass type {name}: its certificate is not valid before {signer.certificate.begins_at:%Y-%m-%d}",
            f"wait until then, or give one that is valid now: {doctor.rotate_certificate(name)}",
        )
    elif now > signer.certificate.ends_at:
        yield fault(
            f"pass type {name}: its certificate expired on {signer.certificate.ends_at:%Y-%m-%d}", renew, alarm=alarm
        )
    elif now > signer.certificate.ends_at - SOON:
        days = (signer.certificate.ends_at - now).days
        yield warning(f"pass type {name}: its certificate expires in {days} days", renew, alarm=alarm)


def _issuer(doctor: DoctorContext, name: str, secret: PassTypeSecret, *, root: str) -> Iterator[DoctorFinding]:
    """Check that the certificate's chain leads to a root that phones trust.

    Args:
        doctor: the stage.
        name: the pass type.
        secret: its credentials.
        root: PEM of the root that the simulated phone trusts; empty on AWS, where phones trust Apple's root.
    """
    own = load_pem_x509_certificate(secret.certificate.encode())
    intermediate = next(
        issuer for issuer in load_pem_x509_certificates(secret.intermediate.encode()) if is_issuer_of(issuer, own)
    )
    if datetime.now(UTC) > intermediate.not_valid_after_utc:
        yield fault(
            f"pass type {name}: the WWDR certificate that issued its own expired on "
            f"{intermediate.not_valid_after_utc:%Y-%m-%d}",
            f"get one that Apple's current intermediate issues, then: {doctor.rotate_certificate(name)}",
        )
    if root:
        trusted = is_issuer_of(load_pem_x509_certificate(root.encode()), intermediate)
    else:
        organizations = intermediate.issuer.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        trusted = any(organization.value == APPLE for organization in organizations)
    if not trusted:
        yield fault(
            f"pass type {name}: its chain ends at {intermediate.issuer.rfc4514_string()}, which phones do not trust",
            f"give the one that Apple issued: {doctor.rotate_certificate(name)}",
        )


def _refused(name: str, url: str, outcome: Outcome) -> DoctorFinding:
    reason = outcome.reason or "success for an unassigned push token"
    status = f"{outcome.status} " if outcome.status is not None else ""
    default = (
        "wait, then run the doctor again: APNs has a temporary problem"
        if outcome.kind is OutcomeKind.LATER
        else 'see this reason in Apple\'s "Handling notification responses from APNs"'
    )
    return fault(f"pass type {name}: APNs at {url} answers {status}{reason}", REFUSALS.get(reason, default))

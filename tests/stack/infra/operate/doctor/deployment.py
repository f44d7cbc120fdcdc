"""A deployed stage in which tests cause faults, and the changes that faults of several checks make."""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import Certificate, CertificateBuilder, random_serial_number

from infra.local import certificates
from infra.local.processes import free_port
from infra.local.run import PASS_TYPE_IDENTIFIER, TEAM_IDENTIFIER, LocalRun
from infra.operate.doctor.checks import CHECKS
from infra.operate.doctor.context import DoctorContext
from infra.operate.doctor.findings import DoctorFinding
from infra.operate.doctor.run import run_checks
from infra.stage.stage import Stage
from tests.support.eventually import eventually
from tests.support.second_stage import STAGE, credentials

PRIVATE_KEY = "private_key"
UNREACHED = f"https://127.0.0.1:{free_port()}"


@dataclass
class Deployment:
    """A deployed stage in which tests cause faults.

    Args:
        stage: the stage as it is.
        local: the local run that the stage belongs to.
        folder: contains the files of the stage's certificates, below `certificates`.
        seen_stage: the stage as the doctor is made to see it.
        clock: the doctor's clock.
    """

    stage: Stage
    local: LocalRun
    folder: Path
    seen_stage: Stage
    clock: Callable[[], float] = time.time

    def examine(self, *names: str) -> list[DoctorFinding]:
        """Run the checks of these names, or all."""
        checks = [check for check in CHECKS if check.name in names or not names]
        doctor = DoctorContext(self.seen_stage, clock=self.clock)
        results = run_checks(doctor, checks=checks, on_progress=lambda _: None)
        return [finding for result in results for finding in result.findings]

    def secret(self) -> dict[str, Any]:
        """Return the valid secret of the pass type."""
        return credentials(self.folder)

    def other_secret(self, name: str) -> dict[str, Any]:
        """Return a secret with the certificates of another authority."""
        folder = self.folder / name
        certificates.make_development_chain(
            folder, pass_type_identifier=PASS_TYPE_IDENTIFIER, team_identifier=TEAM_IDENTIFIER
        )
        return credentials(folder)

    def secret_of_lifetime(self, lifetime: timedelta, *, begins_in: timedelta = timedelta(0)) -> dict[str, Any]:
        """Return a secret with a certificate of another authority that begins and ends at these times from now."""
        portal, key = certificates.Portal.open(), rsa.generate_private_key(public_exponent=65537, key_size=2048)
        own = portal.issue(
            key.public_key(),
            pass_type_identifier=PASS_TYPE_IDENTIFIER,
            team_identifier=TEAM_IDENTIFIER,
            lifetime=lifetime,
        )
        if begins_in:
            own = postponed(own, begins_in, portal)
        pem, intermediate = Encoding.PEM, portal.intermediate.certificate
        return {
            **self.secret(),
            "certificate": own.public_bytes(pem).decode(),
            PRIVATE_KEY: key.private_bytes(pem, PrivateFormat.PKCS8, NoEncryption()).decode(),
            "intermediate": intermediate.public_bytes(pem).decode(),
        }


def postponed(certificate: Certificate, delay: timedelta, portal: certificates.Portal) -> Certificate:
    """Return a copy of a portal's certificate with later dates."""
    builder = (
        CertificateBuilder()
        .subject_name(certificate.subject)
        .issuer_name(certificate.issuer)
        .public_key(certificate.public_key())
        .serial_number(random_serial_number())
        .not_valid_before(certificate.not_valid_before_utc + delay)
        .not_valid_after(certificate.not_valid_after_utc + delay)
    )
    for extension in certificate.extensions:
        builder = builder.add_extension(extension.value, critical=extension.critical)
    return builder.sign(portal.intermediate.key, SHA256())


Break = Callable[[Deployment], AbstractContextManager[None]]
"""Causes a fault for the duration of a context."""
Fault = tuple[str, Break, str]
"""The name of the check that finds a fault, how it is caused, and part of what the check finds."""


@contextmanager
def keys(deployment: Deployment, text: str) -> Iterator[None]:
    assert deployment
    client, name = boto3.client("secretsmanager"), f"passwire/{STAGE}/authentication-keys"
    before = client.get_secret_value(SecretId=name)["SecretString"]
    client.put_secret_value(SecretId=name, SecretString=text)
    try:
        yield
    finally:
        client.put_secret_value(SecretId=name, SecretString=before)


@contextmanager
def variables(
    deployment: Deployment, role: str, change: Callable[[dict[str, str], Deployment], dict[str, str]]
) -> Iterator[None]:
    client, name = boto3.client("lambda"), deployment.stage.functions[role]
    before = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    client.update_function_configuration(FunctionName=name, Environment={"Variables": change(dict(before), deployment)})
    try:
        yield
    finally:
        client.update_function_configuration(FunctionName=name, Environment={"Variables": before})


def without(name: str) -> Callable[[dict[str, str], Deployment], dict[str, str]]:
    return lambda before, _: {key: value for key, value in before.items() if key != name}


def with_(name: str, value: str) -> Callable[[dict[str, str], Deployment], dict[str, str]]:
    return lambda before, _: {**before, name: value}


@contextmanager
def item(deployment: Deployment, **attributes: Any) -> Iterator[None]:  # noqa: ANN401 - a pipeline may write any value
    table = boto3.resource("dynamodb").Table(deployment.stage.tables["passes"])
    key = {"pass_id": f"{PASS_TYPE_IDENTIFIER}/{secrets.token_hex(4)}"} | {
        name: value for name, value in attributes.items() if name == "pass_id"
    }
    table.put_item(Item={"template": deployment.local.template, **attributes, **key})
    try:
        yield
    finally:
        table.delete_item(Key=key)


@contextmanager
def refused_item(deployment: Deployment, **attributes: Any) -> Iterator[None]:  # noqa: ANN401 - a pipeline may write any value
    """Write an item that the push function moves to the dead-letter queue, and delete it after that.

    The push function does not report an item that was deleted before it could read it.
    """
    with item(deployment, **attributes):
        yield
        eventually(lambda: _letters(deployment), "the message in the dead-letter queue")
    boto3.client("sqs").purge_queue(QueueUrl=deployment.stage.queues["dead_letter"])


def _letters(deployment: Deployment) -> int:
    name = "ApproximateNumberOfMessages"
    found = boto3.client("sqs").get_queue_attributes(
        QueueUrl=deployment.stage.queues["dead_letter"], AttributeNames=[name]
    )
    return int(found["Attributes"][name])

"""Faults of certificates, of the connection to APNs, and of authentication keys."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import boto3

from infra.local.run import PASS_TYPE_IDENTIFIER
from infra.stage.secrets import put_pass_type
from tests.stack.infra.operate.doctor.deployment import (
    PRIVATE_KEY,
    UNREACHED,
    Deployment,
    Fault,
    item,
    keys,
    variables,
    with_,
)
from tests.support.second_stage import STAGE


@contextmanager
def secret(
    deployment: Deployment, change: Callable[[Deployment], dict[str, Any]], *, name: str = PASS_TYPE_IDENTIFIER
) -> Iterator[None]:
    put_pass_type(STAGE, name, change(deployment))
    try:
        yield
    finally:
        if name == PASS_TYPE_IDENTIFIER:
            put_pass_type(STAGE, name, deployment.secret())
        else:
            boto3.client("secretsmanager").delete_secret(
                SecretId=f"passwire/{STAGE}/pass-types/{name}", ForceDeleteWithoutRecovery=True
            )


@contextmanager
def ordinary_certificate(deployment: Deployment) -> Iterator[None]:
    """Give the pass type a certificate that cannot sign passes with NFC, and write such a pass."""
    with secret(deployment, lambda d: d.secret_of_lifetime(timedelta(days=300))), item(deployment, template="rewards"):
        yield


def changed(**changes: Any) -> Callable[[Deployment], dict[str, Any]]:  # noqa: ANN401 - a secret's content
    return lambda deployment: {**deployment.secret(), **changes}


def other_team(deployment: Deployment) -> dict[str, Any]:
    good = deployment.secret()
    return {**good, "apns": {**good["apns"], "team_identifier": "OTHERTEAM1"}}


def other_provider_key(deployment: Deployment) -> dict[str, Any]:
    return {**deployment.secret(), "apns": deployment.other_secret("key")["apns"]}


FAULTS: dict[str, Fault] = {
    "passes without a certificate": (
        "certificates",
        partial(item, pass_id="pass.example.other/1"),
        "pass type pass.example.other: has passes, but no certificate",
    ),
    "another type's certificate": (
        "certificates",
        partial(secret, change=changed(), name="pass.example.renamed"),
        f"pass type pass.example.renamed: its certificate belongs to {PASS_TYPE_IDENTIFIER}",
    ),
    "another certificate's key": (
        "certificates",
        partial(
            secret,
            change=lambda deployment: {**deployment.secret(), PRIVATE_KEY: deployment.other_secret("a")[PRIVATE_KEY]},
        ),
        "the private key is not the certificate's",
    ),
    "another generation's intermediate": (
        "certificates",
        partial(
            secret,
            change=lambda deployment: {
                **deployment.secret(),
                "intermediate": deployment.other_secret("b")["intermediate"],
            },
        ),
        "import the WWDR certificate of the right generation",
    ),
    "not Apple's": (
        "certificates",
        partial(secret, change=lambda deployment: deployment.other_secret("c")),
        "do not trust",
    ),
    "expired": (
        "certificates",
        partial(secret, change=lambda deployment: deployment.secret_of_lifetime(timedelta(minutes=30))),
        "its certificate expired on",
    ),
    "soon expired": (
        "certificates",
        partial(secret, change=lambda deployment: deployment.secret_of_lifetime(timedelta(days=8, hours=3))),
        "its certificate expires in 8 days",
    ),
    "not valid yet": (
        "certificates",
        partial(
            secret,
            change=lambda deployment: deployment.secret_of_lifetime(timedelta(days=300), begins_in=timedelta(days=2)),
        ),
        "its certificate is not valid before",
    ),
    "another team's push key": ("certificates", partial(secret, change=other_team), "signed by team OTHERTEAM1"),
    "half a secret": (
        "certificates",
        partial(secret, change=lambda _: {"certificate": "x"}),
        "'private_key' is missing",
    ),
    "a pass that needs an NFC certificate": (
        "certificates",
        ordinary_certificate,
        "of template rewards: its nfc needs an NFC certificate",
    ),
    "a push key that APNs does not know": (
        "apns",
        partial(secret, change=other_provider_key),
        "403 InvalidProviderToken",
    ),
    "APNs out of reach": (
        "apns",
        partial(variables, role="push", change=with_("PASSWIRE_APNS_URL", UNREACHED)),
        f"APNs at {UNREACHED} answers Unreachable",
    ),
    "Apple's development environment": (
        "apns",
        partial(
            variables,
            role="push_worker",
            change=with_("PASSWIRE_APNS_URL", "https://api.sandbox.push.apple.com:443"),  # prose: Apple's host
        ),
        "function push_worker: does not push to Apple's production host: 'https://api.sandbox",  # prose: Apple's host
    ),
    "another server in place of APNs": (
        "apns",
        partial(variables, role="push", change=with_("PASSWIRE_APNS_CA", "")),
        "answers UntrustedServer",
    ),
    "roots that do not lead to APNs": (
        "apns-roots",
        partial(variables, role="push", change=with_("PASSWIRE_APNS_CA", "")),
        "the functions do not trust",
    ),
    "broken authentication keys": ("authentication-keys", partial(keys, text="{}"), "must be"),
}

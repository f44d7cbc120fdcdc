"""Putting a stage's secrets where its functions read them (`chalicelib/secrets.py` says in which form)."""

import base64
import contextlib
import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any

import boto3

KEY_BYTES = 32


def ensure_authentication_keys(stage: str) -> None:
    """Make the first key that authentication tokens are derived from; one that is there stays."""
    client = boto3.client("secretsmanager")
    first = {"keys": [{"id": "1", "key": base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}]}
    with contextlib.suppress(client.exceptions.ResourceExistsException):
        client.create_secret(Name=f"passwire/{stage}/authentication-keys", SecretString=json.dumps(first))


def put_pass_type(stage: str, pass_type_identifier: str, content: Mapping[str, Any]) -> None:
    """Store a pass type's credentials; those that are there are replaced.

    Args:
        stage: whose.
        pass_type_identifier: whose.
        content: `certificate`, `private_key`, `intermediate` as PEM, and `apns` where there is an APNs key: a map of
            `team_identifier`, `key_id`, `private_key`. It goes into a secret that the API function cannot read.
    """
    apns_name = f"passwire/{stage}/apns-keys/{pass_type_identifier}"
    apns = content.get("apns")
    if apns:
        _put(apns_name, apns)  # before the secret that says that there is one
    public = {key: apns[key] for key in ("team_identifier", "key_id")} if apns else None
    _put(f"passwire/{stage}/pass-types/{pass_type_identifier}", {**content, "apns": public})
    if not apns:
        client = boto3.client("secretsmanager")
        with contextlib.suppress(client.exceptions.ResourceNotFoundException):
            client.delete_secret(SecretId=apns_name, ForceDeleteWithoutRecovery=True)


def _put(name: str, content: Mapping[str, Any]) -> None:
    client, text = boto3.client("secretsmanager"), json.dumps(content)
    try:
        client.create_secret(Name=name, SecretString=text)
    except client.exceptions.ResourceExistsException:
        client.put_secret_value(SecretId=name, SecretString=text)


def pending_key(stage: str, pass_type_identifier: str) -> str | None:
    """The key whose certificate is not there yet, PEM."""
    client = boto3.client("secretsmanager")
    try:
        secret = client.get_secret_value(SecretId=_pending(stage, pass_type_identifier))
    except client.exceptions.ResourceNotFoundException:
        return None
    return str(json.loads(secret["SecretString"])["private_key"])


def ensure_pending_key(stage: str, pass_type_identifier: str, make: Callable[[], str]) -> str:
    """Make a key that waits for its certificate; one that waits already stays, also where two people ask at once."""
    client = boto3.client("secretsmanager")
    while (key := pending_key(stage, pass_type_identifier)) is None:
        with contextlib.suppress(client.exceptions.ResourceExistsException):
            client.create_secret(
                Name=_pending(stage, pass_type_identifier), SecretString=json.dumps({"private_key": make()})
            )
    return key


def drop_pending_key(stage: str, pass_type_identifier: str) -> None:
    """Its certificate is there, and both are stored together."""
    boto3.client("secretsmanager").delete_secret(
        SecretId=_pending(stage, pass_type_identifier), ForceDeleteWithoutRecovery=True
    )


def _pending(stage: str, pass_type_identifier: str) -> str:
    return f"passwire/{stage}/pending/{pass_type_identifier}"

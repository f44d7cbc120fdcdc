"""Putting a stage's secrets where its functions read them (`chalicelib/secrets.py` says in which form)."""

import base64
import contextlib
import json
import secrets
from collections.abc import Mapping
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
    """Store a pass type's credentials; those that are there are replaced."""
    client = boto3.client("secretsmanager")
    name, text = f"passwire/{stage}/pass-types/{pass_type_identifier}", json.dumps(content)
    try:
        client.create_secret(Name=name, SecretString=text)
    except client.exceptions.ResourceExistsException:
        client.put_secret_value(SecretId=name, SecretString=text)

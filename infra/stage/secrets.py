"""Writes a stage's secrets to Secrets Manager; `chalicelib/core/secret_forms.py` has their names and their form.

A stage's secrets can be written before it is deployed, so that these functions take the stage's name.
"""

import contextlib
import json
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

from chalicelib.core.authentication import AuthenticationKey, AuthenticationKeys
from chalicelib.core.secret_forms import SecretNames, authentication_keys_content, pass_type_contents
from infra.stage import aws
from infra.stage.errors import StageError

KEY_BYTES = 32
NAME_SECONDS = 60.0
"""How long the name of a secret that was deleted without recovery may be taken (AWS, "DeleteSecret": asynchronous)."""
POLL_SECONDS = 2.0


def check_authentication_keys(stage: str) -> None:
    """Refuse a stage whose authentication keys were deleted and can still be restored.

    Installed passes are refused without the keys that their tokens were derived from.

    Args:
        stage: the name of the stage.

    Raises:
        StageError: the keys are in their recovery window.
    """
    client = aws.client("secretsmanager")
    name = SecretNames(stage).authentication_keys
    try:
        secret = client.describe_secret(SecretId=name)
    except client.exceptions.ResourceNotFoundException:
        return
    if secret.get("DeletedDate"):
        raise StageError(
            f"secret {name} was deleted and can still be restored: the tokens of this stage's installed passes were "
            f"derived from it. Run: aws secretsmanager restore-secret --secret-id {name} (or, if no phone has a pass "
            f"of this stage: aws secretsmanager delete-secret --secret-id {name} "
            "--force-delete-without-recovery), then run the command again"
        )


def ensure_authentication_keys(stage: str, *, on_progress: Callable[[str], None] = lambda _: None) -> None:
    """Create the first authentication key of a stage; an existing one is kept.

    Args:
        stage: the name of the stage.
        on_progress: takes a line when the command waits for the name of deleted keys.

    Raises:
        StageError: a deleted secret of that name can still be restored, or its name stays taken.
    """
    client = aws.client("secretsmanager")
    name = SecretNames(stage).authentication_keys
    first = AuthenticationKeys((AuthenticationKey("1", secrets.token_bytes(KEY_BYTES)),))
    until = time.monotonic() + NAME_SECONDS
    waiting = False
    while True:
        try:
            with contextlib.suppress(client.exceptions.ResourceExistsException):
                client.create_secret(Name=name, SecretString=json.dumps(authentication_keys_content(first)))
        except client.exceptions.InvalidRequestException as error:  # "scheduled for deletion"
            check_authentication_keys(stage)
            if time.monotonic() > until:
                raise StageError(
                    f"secret {name} was deleted and its name is still taken after {NAME_SECONDS:.0f} s; run the "
                    "command again in a few minutes"
                ) from error
            if not waiting:
                on_progress(f"waiting until the name of the deleted secret {name} is free again")
            waiting = True
            time.sleep(POLL_SECONDS)
        else:
            return


def put_pass_type(stage: str, pass_type_identifier: str, content: Mapping[str, Any]) -> None:
    """Store a pass type's credentials, replacing existing ones.

    Args:
        stage: the name of the stage.
        pass_type_identifier: such as `pass.com.acme.boarding`.
        content: `certificate`, `private_key`, `intermediate` as PEM, and `apns`: None, or a map of `team_identifier`,
            `key_id` and `private_key`, which goes into a secret of its own.
    """
    names = SecretNames(stage)
    pass_type, apns_key = pass_type_contents(content)
    if apns_key:
        _put(names.apns_key(pass_type_identifier), apns_key)  # before the secret that says that there is one
    _put(names.pass_type(pass_type_identifier), pass_type)
    if not apns_key:
        client = aws.client("secretsmanager")
        with contextlib.suppress(client.exceptions.ResourceNotFoundException):
            client.delete_secret(SecretId=names.apns_key(pass_type_identifier), ForceDeleteWithoutRecovery=True)


def has_pass_type(stage: str, pass_type_identifier: str) -> bool:
    """Return whether a stage has credentials of a pass type, without reading them."""
    client = aws.client("secretsmanager")
    try:
        client.describe_secret(SecretId=SecretNames(stage).pass_type(pass_type_identifier))
    except client.exceptions.ResourceNotFoundException:
        return False
    return True


def pending_key(stage: str, pass_type_identifier: str) -> str | None:
    """Return the private key whose certificate has not been imported yet, PEM, or None."""
    client = aws.client("secretsmanager")
    try:
        secret = client.get_secret_value(SecretId=SecretNames(stage).pending_key(pass_type_identifier))
    except client.exceptions.ResourceNotFoundException:
        return None
    return str(json.loads(secret["SecretString"])["private_key"])


def ensure_pending_key(stage: str, pass_type_identifier: str, make: Callable[[], str]) -> str:
    """Return the pending private key, PEM, and create it if it is missing.

    If two people run this at the same time, both get the same key.

    Args:
        stage: the name of the stage.
        pass_type_identifier: such as `pass.com.acme.boarding`.
        make: creates a key, PEM.
    """
    client = aws.client("secretsmanager")
    name = SecretNames(stage).pending_key(pass_type_identifier)
    while (key := pending_key(stage, pass_type_identifier)) is None:
        with contextlib.suppress(client.exceptions.ResourceExistsException):
            _create(name, json.dumps({"private_key": make()}))
    return key


def drop_pending_key(stage: str, pass_type_identifier: str) -> None:
    """Delete the pending private key, after it was stored together with its certificate."""
    name = SecretNames(stage).pending_key(pass_type_identifier)
    aws.client("secretsmanager").delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)


def delete_secrets(stage: str, *, on_progress: Callable[[str], None]) -> None:
    """Delete all secrets of a stage, without recovery.

    Args:
        stage: the name of the stage.
        on_progress: takes a line per secret.
    """
    client = aws.client("secretsmanager")
    prefix = SecretNames(stage).prefix
    for page in client.get_paginator("list_secrets").paginate(Filters=[{"Key": "name", "Values": [prefix]}]):
        for secret in page["SecretList"]:
            if secret["Name"].startswith(prefix):
                on_progress(f"deleting secret {secret['Name']}")
                client.delete_secret(SecretId=secret["ARN"], ForceDeleteWithoutRecovery=True)


def _put(name: str, content: Mapping[str, Any]) -> None:
    client, text = aws.client("secretsmanager"), json.dumps(content)
    try:
        _create(name, text)
    except client.exceptions.ResourceExistsException:
        client.put_secret_value(SecretId=name, SecretString=text)


def _create(name: str, text: str) -> None:
    """Create a secret; wait if a secret of this name was deleted just now, since its name is not free at once.

    Source: AWS, "DeleteSecret", ForceDeleteWithoutRecovery.
    """
    client = aws.client("secretsmanager")
    until = time.monotonic() + NAME_SECONDS
    while True:
        try:
            client.create_secret(Name=name, SecretString=text)
        except client.exceptions.InvalidRequestException:  # "scheduled for deletion"
            if time.monotonic() > until:
                raise
            time.sleep(POLL_SECONDS)
        else:
            return

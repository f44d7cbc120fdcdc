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


def ensure_authentication_keys(
    stage: str,
    *,
    on_progress: Callable[[str], None] = lambda _: None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Create the first authentication key of a stage; an existing one is kept.

    Args:
        stage: the name of the stage.
        on_progress: takes a line when the command waits for the name of deleted keys.
        sleep: waits some seconds before the next attempt.

    Raises:
        StageError: a deleted secret of that name can still be restored, or its name stays taken.
    """
    name = SecretNames(stage).authentication_keys
    first = AuthenticationKeys((AuthenticationKey("1", secrets.token_bytes(KEY_BYTES)),))
    _create(
        name,
        authentication_keys_content(first),
        on_progress=on_progress,
        check=lambda: check_authentication_keys(stage),
        sleep=sleep,
    )


def put_authentication_keys(stage: str, keys: AuthenticationKeys) -> None:
    """Store a stage's authentication keys, replacing existing ones.

    Secrets Manager keeps the content before as version `AWSPREVIOUS`.

    Args:
        stage: the name of the stage.
        keys: all keys, the newest last.
    """
    _put(SecretNames(stage).authentication_keys, authentication_keys_content(keys))


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
    name = SecretNames(stage).pending_key(pass_type_identifier)
    while (key := pending_key(stage, pass_type_identifier)) is None:
        _create(name, {"private_key": make()})
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
    if not _create(name, content):
        aws.client("secretsmanager").put_secret_value(SecretId=name, SecretString=json.dumps(content))


def _create(
    name: str,
    content: Mapping[str, Any],
    *,
    on_progress: Callable[[str], None] = lambda _: None,
    check: Callable[[], None] = lambda: None,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Create a secret, waiting while the name of a deleted one is still taken.

    Args:
        name: of the secret.
        content: of the secret, as JSON.
        on_progress: takes a line when the wait begins.
        check: raises StageError if waiting is useless.
        sleep: waits some seconds before the next attempt.

    Returns:
        False if a secret of that name exists; it is left as it is.

    Raises:
        StageError: the name is still taken after `NAME_SECONDS`.
    """
    client = aws.client("secretsmanager")
    until = time.monotonic() + NAME_SECONDS
    waiting = False
    while True:
        try:
            client.create_secret(Name=name, SecretString=json.dumps(content))
        except client.exceptions.ResourceExistsException:
            return False
        except client.exceptions.InvalidRequestException as error:  # "scheduled for deletion"
            check()
            if time.monotonic() > until:
                raise StageError(
                    f"secret {name} was deleted and its name is still taken after {NAME_SECONDS:.0f} s; run the "
                    "command again in a few minutes, or restore it: "
                    f"aws secretsmanager restore-secret --secret-id {name}"
                ) from error
            if not waiting:
                on_progress(f"waiting until the name of the deleted secret {name} is free again")
            waiting = True
            sleep(POLL_SECONDS)
        else:
            return True

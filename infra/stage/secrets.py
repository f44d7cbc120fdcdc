"""Putting a stage's secrets where its functions read them (`chalicelib/aws/secrets.py` says in which form)."""

import base64
import contextlib
import json
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

from infra.stage import aws
from infra.stage.errors import StageError

KEY_BYTES = 32
AUTHENTICATION_KEYS = "passwire/{stage}/authentication-keys"
NAME_SECONDS = 60.0
"""How long a secret's name may stay taken after it was deleted without recovery (AWS, "DeleteSecret": asynchronous)."""
POLL_SECONDS = 2.0


def check_authentication_keys(stage: str) -> None:
    """Refuse, before anything is made, a stage whose keys were deleted and can still be restored.

    Raises:
        StageError: they are in their recovery window. Without them no installed pass is let in any more.
    """
    client = aws.client("secretsmanager")
    name = AUTHENTICATION_KEYS.format(stage=stage)
    try:
        secret = client.describe_secret(SecretId=name)
    except client.exceptions.ResourceNotFoundException:
        return
    if secret.get("DeletedDate"):
        raise StageError(
            f"secret {name} was deleted and can still be restored: the phones that hold this stage's passes present "
            f"tokens made with it. Run: aws secretsmanager restore-secret --secret-id {name} (or, where no phone holds "
            f"a pass: aws secretsmanager delete-secret --secret-id {name} --force-delete-without-recovery), then run "
            "the command again"
        )


def ensure_authentication_keys(stage: str, *, on_progress: Callable[[str], None] = lambda _: None) -> None:
    """Make the first key that authentication tokens are derived from; one that is there stays.

    Args:
        stage: whose keys.
        on_progress: takes a line where the name of deleted keys is waited for.

    Raises:
        StageError: a deleted secret of that name can still be restored, or its name stays taken.
    """
    client = aws.client("secretsmanager")
    name = AUTHENTICATION_KEYS.format(stage=stage)
    first = {"keys": [{"id": "1", "key": base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}]}
    until = time.monotonic() + NAME_SECONDS
    waiting = False
    while True:
        try:
            with contextlib.suppress(client.exceptions.ResourceExistsException):
                client.create_secret(Name=name, SecretString=json.dumps(first))
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
        client = aws.client("secretsmanager")
        with contextlib.suppress(client.exceptions.ResourceNotFoundException):
            client.delete_secret(SecretId=apns_name, ForceDeleteWithoutRecovery=True)


def _put(name: str, content: Mapping[str, Any]) -> None:
    client, text = aws.client("secretsmanager"), json.dumps(content)
    try:
        client.create_secret(Name=name, SecretString=text)
    except client.exceptions.ResourceExistsException:
        client.put_secret_value(SecretId=name, SecretString=text)


def pending_key(stage: str, pass_type_identifier: str) -> str | None:
    """The key whose certificate is not there yet, PEM."""
    client = aws.client("secretsmanager")
    try:
        secret = client.get_secret_value(SecretId=_pending(stage, pass_type_identifier))
    except client.exceptions.ResourceNotFoundException:
        return None
    return str(json.loads(secret["SecretString"])["private_key"])


def ensure_pending_key(stage: str, pass_type_identifier: str, make: Callable[[], str]) -> str:
    """Make a key that waits for its certificate; one that waits already stays, also where two people ask at once."""
    client = aws.client("secretsmanager")
    while (key := pending_key(stage, pass_type_identifier)) is None:
        with contextlib.suppress(client.exceptions.ResourceExistsException):
            client.create_secret(
                Name=_pending(stage, pass_type_identifier), SecretString=json.dumps({"private_key": make()})
            )
    return key


def drop_pending_key(stage: str, pass_type_identifier: str) -> None:
    """Its certificate is there, and both are stored together."""
    aws.client("secretsmanager").delete_secret(
        SecretId=_pending(stage, pass_type_identifier), ForceDeleteWithoutRecovery=True
    )


def _pending(stage: str, pass_type_identifier: str) -> str:
    return f"passwire/{stage}/pending/{pass_type_identifier}"

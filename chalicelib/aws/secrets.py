"""Secrets Manager: the keys that authentication tokens are derived from, and each pass type's credentials.

What was read is kept for `KEEP_SECONDS`: a rotated certificate or an added key reaches a warm sandbox within that time.

`chalicelib/core/secret_forms.py` has the secrets' names and their form.
"""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.aws import session
from chalicelib.aws.clocks import Clocks, Moment
from chalicelib.core.authentication import AuthenticationKeys
from chalicelib.core.errors import ConfigurationError, TransientError
from chalicelib.core.secret_forms import (
    PassTypeSecret,
    ProviderKey,
    SecretNames,
    read_authentication_keys,
    read_pass_type,
    read_provider_key,
)

__all__ = ["KEEP_SECONDS", "PassTypeSecret", "ProviderKey", "Secrets", "SecretsError"]

KEEP_SECONDS = 300.0


class SecretsError(TransientError):
    """Secrets Manager did not answer."""


class Secrets:
    """The secrets of one stage.

    Args:
        stage: whose.
        clock: epoch seconds.
        timer: monotonic seconds.
    """

    def __init__(
        self, *, stage: str, clock: Callable[[], float] = time.time, timer: Callable[[], float] = time.monotonic
    ) -> None:
        self._secret_names = SecretNames(stage)
        self._clocks = Clocks(clock, timer)
        self._kept: dict[str, tuple[Moment, dict[str, Any]]] = {}

    def authentication_keys(self) -> AuthenticationKeys:
        """The keys that tokens are derived from, the newest last.

        Raises:
            ConfigurationError: the secret is missing or not in its form.
            SecretsError: Secrets Manager did not answer.
        """
        name = self._secret_names.authentication_keys
        return read_authentication_keys(name, self._read(name))

    def pass_types(self) -> list[str]:
        """The pass types that have credentials; AWS may need some minutes to name a new one.

        Raises:
            SecretsError: Secrets Manager did not answer.
        """
        prefix = self._secret_names.pass_type("")
        found: list[str] = []
        page: dict[str, str] = {}
        while True:
            try:
                answer = self._client.list_secrets(Filters=[{"Key": "name", "Values": [prefix]}], **page)
            except (BotoCoreError, ClientError) as error:
                raise SecretsError(f"Secrets Manager: secrets could not be listed: {type(error).__name__}") from error
            names = (str(secret["Name"]) for secret in answer["SecretList"])
            found += [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
            if "NextToken" not in answer:
                return sorted(found)
            page = {"NextToken": answer["NextToken"]}

    def pass_type(self, pass_type_identifier: str) -> PassTypeSecret:
        """What a pass type is signed with; its APNs key is not read.

        Raises:
            ConfigurationError: the secret is missing or not in its form.
            SecretsError: Secrets Manager did not answer.
        """
        name = self._secret_names.pass_type(pass_type_identifier)
        return read_pass_type(name, self._read(name))

    def pass_type_with_apns(self, pass_type_identifier: str) -> PassTypeSecret:
        """What a pass type is signed and pushed with.

        Raises:
            ConfigurationError: a secret is missing or not in its form.
            SecretsError: Secrets Manager did not answer.
        """
        secret = self.pass_type(pass_type_identifier)
        name = self._secret_names.pass_type(pass_type_identifier)
        apns = self._read(name).get("apns")
        if not apns:
            return secret
        if not isinstance(apns, dict):
            raise ConfigurationError(f"secret {name}: apns is not a JSON object; import the APNs key again")
        if "private_key" not in apns:  # a stage that was set up before keys were kept apart has it here
            name = self._secret_names.apns_key(pass_type_identifier)
            apns = self._read(name)
        return replace(secret, apns=read_provider_key(name, apns))

    @cached_property
    def _client(self) -> Any:  # noqa: ANN401
        return session.client("secretsmanager")

    def _read(self, name: str) -> dict[str, Any]:
        kept = self._kept.get(name)
        if kept is not None and self._clocks.seconds_since(kept[0]) < KEEP_SECONDS:
            return kept[1]
        try:
            text = self._client.get_secret_value(SecretId=name).get("SecretString", "")
        except self._client.exceptions.ResourceNotFoundException:
            raise ConfigurationError(f"secret {name} is missing in Secrets Manager") from None
        except (BotoCoreError, ClientError) as error:
            if kept is not None:
                return kept[1]  # an old credential serves better than none while Secrets Manager is away
            raise SecretsError(f"Secrets Manager: {name} could not be read: {type(error).__name__}") from error
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            raise ConfigurationError(f"secret {name}: is not JSON") from None
        if not isinstance(content, dict):
            raise ConfigurationError(f"secret {name}: is not a JSON object")
        self._kept[name] = (self._clocks.now(), content)
        return content

"""Reads Secrets Manager: the keys from which authentication tokens are derived, and the credentials of each pass type.

Secrets are cached for `KEEP_SECONDS`, so a rotated certificate or an added key reaches a warm execution environment
within that time.

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
    """The secrets of a stage.

    Args:
        stage: name of the stage.
        clock: epoch seconds.
        timer: monotonic seconds.
        client: botocore's client for Secrets Manager; None to make one at the first read.
    """

    def __init__(
        self,
        *,
        stage: str,
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.monotonic,
        client: Any = None,  # noqa: ANN401 - botocore's clients have no types
    ) -> None:
        self._given_client = client
        self._secret_names = SecretNames(stage)
        self._clocks = Clocks(clock, timer)
        self._cache: dict[str, tuple[Moment, dict[str, Any]]] = {}

    def authentication_keys(self) -> AuthenticationKeys:
        """Read the keys from which tokens are derived, the one for new passes last.

        Raises:
            ConfigurationError: the secret is missing or malformed.
            SecretsError: Secrets Manager did not answer.
        """
        name = self._secret_names.authentication_keys
        return read_authentication_keys(name, self._read(name)).in_use(now=self._clocks.clock())

    def pass_types(self) -> list[str]:
        """List the pass types that have credentials, sorted; AWS may take some minutes to list a new one.

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
                raise SecretsError(f"Secrets Manager: ListSecrets failed with {type(error).__name__}") from error
            names = (str(secret["Name"]) for secret in answer["SecretList"])
            found += [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
            if "NextToken" not in answer:
                return sorted(found)
            page = {"NextToken": answer["NextToken"]}

    def pass_type(self, pass_type_identifier: str) -> PassTypeSecret:
        """Read the credentials for signing passes of a type; its APNs key is not read.

        Raises:
            ConfigurationError: the secret is missing or malformed.
            SecretsError: Secrets Manager did not answer.
        """
        name = self._secret_names.pass_type(pass_type_identifier)
        return read_pass_type(name, self._read(name))

    def pass_type_with_apns(self, pass_type_identifier: str) -> PassTypeSecret:
        """Read the credentials for signing and pushing passes of a type.

        Raises:
            ConfigurationError: a secret is missing or malformed.
            SecretsError: Secrets Manager did not answer.
        """
        secret = self.pass_type(pass_type_identifier)
        name = self._secret_names.pass_type(pass_type_identifier)
        apns = self._read(name).get("apns")
        if not apns:
            return secret
        if not isinstance(apns, dict):
            raise ConfigurationError(f"secret {name}: apns is not a JSON object; import the APNs key again")
        if "private_key" not in apns:  # a stage that was set up before the key had its own secret contains it here
            name = self._secret_names.apns_key(pass_type_identifier)
            apns = self._read(name)
        return replace(secret, apns=read_provider_key(name, apns))

    @cached_property
    def _client(self) -> Any:  # noqa: ANN401
        return self._given_client if self._given_client is not None else session.client("secretsmanager")

    def _read(self, name: str) -> dict[str, Any]:
        cached = self._cache.get(name)
        if cached is not None and self._clocks.seconds_since(cached[0]) < KEEP_SECONDS:
            return cached[1]
        try:
            text = self._client.get_secret_value(SecretId=name).get("SecretString", "")
        except self._client.exceptions.ResourceNotFoundException:
            raise ConfigurationError(f"secret {name} is missing in Secrets Manager") from None
        except (BotoCoreError, ClientError) as error:
            if cached is not None:
                return cached[1]  # better an old credential than none while Secrets Manager is unavailable
            raise SecretsError(f"Secrets Manager: {name} could not be read: {type(error).__name__}") from error
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            raise ConfigurationError(f"secret {name} is not JSON; import or restore it again") from None
        if not isinstance(content, dict):
            raise ConfigurationError(f"secret {name} is not a JSON object; import or restore it again")
        self._cache[name] = (self._clocks.now(), content)
        return content

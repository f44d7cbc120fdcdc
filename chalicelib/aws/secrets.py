"""Reads Secrets Manager: the keys from which authentication tokens are derived, and the credentials of each pass type.

Secrets are cached for `KEEP_SECONDS`, so a rotated certificate or an added key reaches a warm execution environment
within that time.

The APNs key of a pass type is a separate secret, `apns-keys/<pass type>`: the API function signs passes and never
pushes, so it has no permission to read that secret. The pass type's secret only says that the key exists.
"""

import json
import time
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.aws import session
from chalicelib.aws.clocks import Clocks, Moment
from chalicelib.core.authentication import AuthenticationKey, AuthenticationKeys
from chalicelib.core.errors import ConfigurationError, TransientError

KEEP_SECONDS = 300.0


class SecretsError(TransientError):
    """Secrets Manager did not answer."""


@dataclass(frozen=True, slots=True)
class ProviderKey:
    """An APNs authentication key (.p8) of a team."""

    team_identifier: str
    key_id: str
    private_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PassTypeSecret:
    """Credentials of a pass type for signing and pushing; PEM texts.

    Args:
        certificate: the pass type certificate.
        private_key: its key, PKCS#8, not encrypted.
        intermediate: Apple's WWDR certificate that issued it.
        apns: provider key for pushing; None to push with the pass type certificate, or if only the credentials for
            signing were read (`Secrets.pass_type`).
    """

    certificate: str
    private_key: str = field(repr=False)
    intermediate: str
    apns: ProviderKey | None = None


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
        self._prefix = f"passwire/{stage}"
        self._clocks = Clocks(clock, timer)
        self._cache: dict[str, tuple[Moment, dict[str, Any]]] = {}

    def authentication_keys(self) -> AuthenticationKeys:
        """Read the keys from which tokens are derived, the newest last.

        Raises:
            ConfigurationError: the secret is missing or malformed.
            SecretsError: Secrets Manager did not answer.
        """
        name = f"{self._prefix}/authentication-keys"
        content = self._read(name)
        try:
            return AuthenticationKeys(
                tuple(AuthenticationKey(str(key["id"]), b64decode(key["key"])) for key in content["keys"])
            )
        except (LookupError, TypeError, ValueError) as error:
            raise ConfigurationError(f'secret {name}: must be {{"keys": [{{"id": ..., "key": base64}}]}}') from error

    def pass_types(self) -> list[str]:
        """List the pass types that have credentials, sorted; AWS may take some minutes to list a new one.

        Raises:
            SecretsError: Secrets Manager did not answer.
        """
        prefix = self._pass_type_name("")
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
        name = self._pass_type_name(pass_type_identifier)
        content = self._read(name)
        try:
            return PassTypeSecret(
                certificate=str(content["certificate"]),
                private_key=str(content["private_key"]),
                intermediate=str(content["intermediate"]),
            )
        except KeyError as error:
            raise ConfigurationError(f"secret {name}: {error} is missing; import the certificate again") from None
        except (TypeError, AttributeError):
            raise ConfigurationError(f"secret {name} is malformed; import the certificate again") from None

    def pass_type_with_apns(self, pass_type_identifier: str) -> PassTypeSecret:
        """Read the credentials for signing and pushing passes of a type.

        Raises:
            ConfigurationError: a secret is missing or malformed.
            SecretsError: Secrets Manager did not answer.
        """
        secret = self.pass_type(pass_type_identifier)
        name = self._pass_type_name(pass_type_identifier)
        apns = self._read(name).get("apns")
        if not apns:
            return secret
        if not isinstance(apns, dict):
            raise ConfigurationError(f"secret {name}: apns is not a JSON object; import the APNs key again")
        if "private_key" not in apns:  # stages that were set up before the key had its own secret contain it here
            name = f"{self._prefix}/apns-keys/{pass_type_identifier}"
            apns = self._read(name)
        try:
            key = ProviderKey(
                team_identifier=str(apns["team_identifier"]),
                key_id=str(apns["key_id"]),
                private_key=str(apns["private_key"]),
            )
        except KeyError as error:
            raise ConfigurationError(f"secret {name}: {error} is missing; import the APNs key again") from None
        return replace(secret, apns=key)

    def _pass_type_name(self, pass_type_identifier: str) -> str:
        return f"{self._prefix}/pass-types/{pass_type_identifier}"

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

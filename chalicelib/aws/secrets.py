"""Secrets Manager: the keys that authentication tokens are derived from, and each pass type's credentials.

What was read is kept for `KEEP_SECONDS`: a rotated certificate or an added key reaches a warm sandbox within that time.

A pass type's APNs key is a secret of its own, `apns-keys/<pass type>`, so that the API function, which signs passes and
never pushes, has no right to read it. The pass type's secret says only that there is one.
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
    """What one pass type is signed and pushed with; PEM texts.

    Args:
        certificate: the pass type certificate.
        private_key: its key, PKCS#8, not encrypted.
        intermediate: Apple's WWDR certificate that issued it.
        apns: a provider key to push with; None to push with the pass type certificate, or where only signing was
            asked for (`Secrets.pass_type`).
    """

    certificate: str
    private_key: str = field(repr=False)
    intermediate: str
    apns: ProviderKey | None = None


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
        self._prefix = f"passwire/{stage}"
        self._clocks = Clocks(clock, timer)
        self._kept: dict[str, tuple[Moment, dict[str, Any]]] = {}

    def authentication_keys(self) -> AuthenticationKeys:
        """The keys that tokens are derived from, the newest last.

        Raises:
            ConfigurationError: the secret is missing or not in its form.
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
        """The pass types that have credentials; AWS may need some minutes to name a new one.

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
            raise ConfigurationError(f"secret {name}: is not in its form; import the certificate again") from None

    def pass_type_with_apns(self, pass_type_identifier: str) -> PassTypeSecret:
        """What a pass type is signed and pushed with.

        Raises:
            ConfigurationError: a secret is missing or not in its form.
            SecretsError: Secrets Manager did not answer.
        """
        secret = self.pass_type(pass_type_identifier)
        name = self._pass_type_name(pass_type_identifier)
        apns = self._read(name).get("apns")
        if not apns:
            return secret
        if not isinstance(apns, dict):
            raise ConfigurationError(f"secret {name}: apns is not a JSON object; import the APNs key again")
        if "private_key" not in apns:  # a stage that was set up before keys were kept apart has it here
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

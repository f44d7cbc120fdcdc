"""A stage's secrets: their names in AWS Secrets Manager, and the JSON form of each.

| secret | content |
| --- | --- |
| `passwire/<stage>/authentication-keys` | `{"keys": [{"id": ..., "key": base64}]}`, the newest last; see below |
| `passwire/<stage>/pass-types/<pass type>` | `certificate`, `private_key`, `intermediate`: PEM; `apns`: see below |
| `passwire/<stage>/apns-keys/<pass type>` | `team_identifier`, `key_id`, `private_key`: PEM |
| `passwire/<stage>/pending/<pass type>` | `private_key`: PEM, whose certificate has not been imported yet |

A pass type's APNs key is a secret of its own, so that the API function, which signs passes and never pushes, needs no
right to read it. `apns` of the pass type says only that there is one: its `team_identifier` and `key_id`, or null.

An authentication key may have `issues_from`, the time from which new passes use it (epoch seconds), and `links`: false,
if its download links are revoked.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chalicelib.core.authentication import AuthenticationKey, AuthenticationKeys
from chalicelib.core.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class SecretNames:
    """The names of a stage's secrets.

    Args:
        stage: the name of the stage.
    """

    stage: str

    @property
    def prefix(self) -> str:
        """The prefix of every secret of the stage, and of no other stage."""
        return f"passwire/{self.stage}/"

    @property
    def authentication_keys(self) -> str:
        """The keys that authentication tokens are derived from."""
        return f"{self.prefix}authentication-keys"

    def pass_type(self, pass_type_identifier: str) -> str:
        """A pass type's certificate and key; the prefix of all of them for an empty identifier."""
        return f"{self.prefix}pass-types/{pass_type_identifier}"

    def apns_key(self, pass_type_identifier: str) -> str:
        """A pass type's APNs key."""
        return f"{self.prefix}apns-keys/{pass_type_identifier}"

    def pending_key(self, pass_type_identifier: str) -> str:
        """A pass type's private key whose certificate has not been imported yet."""
        return f"{self.prefix}pending/{pass_type_identifier}"


@dataclass(frozen=True, slots=True)
class ProviderKey:
    """An APNs authentication key (.p8) of a team."""

    team_identifier: str
    key_id: str
    private_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PassTypeSecret:
    """The credentials of one pass type; PEM texts.

    Args:
        certificate: the pass type certificate.
        private_key: its key, PKCS#8, not encrypted.
        intermediate: Apple's WWDR certificate that issued it.
        apns: the key to push with; None to push with the pass type certificate, or if only what signs was read.
    """

    certificate: str
    private_key: str = field(repr=False)
    intermediate: str
    apns: ProviderKey | None = None


def authentication_keys_content(keys: AuthenticationKeys) -> dict[str, Any]:
    """Return the content of the secret of authentication keys."""
    return {"keys": [_key_content(key) for key in keys.keys]}


def _key_content(key: AuthenticationKey) -> dict[str, Any]:
    content: dict[str, Any] = {"id": key.key_id, "key": b64encode(key.key).decode()}
    if key.issues_from:
        content["issues_from"] = key.issues_from
    if not key.links:
        content["links"] = False
    return content


def read_authentication_keys(name: str, content: Mapping[str, Any]) -> AuthenticationKeys:
    """Read the secret of authentication keys.

    Args:
        name: the secret's name, for messages.
        content: the secret's JSON object.

    Raises:
        ConfigurationError: it does not have its form.
    """
    try:
        return AuthenticationKeys(tuple(map(_read_key, content["keys"])))
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ConfigurationError(f'secret {name}: must be {{"keys": [{{"id": ..., "key": base64}}]}}') from error


def _read_key(content: Mapping[str, Any]) -> AuthenticationKey:
    return AuthenticationKey(
        str(content["id"]),
        b64decode(content["key"]),
        issues_from=float(content.get("issues_from", 0)),
        links=content.get("links") is not False,
    )


def pass_type_contents(content: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Split a pass type's credentials into the contents of its two secrets.

    Args:
        content: `certificate`, `private_key`, `intermediate`, and `apns`: None, or a map of `team_identifier`,
            `key_id`, `private_key`.

    Returns:
        The content of the pass type's secret, and that of its APNs key, None without one.
    """
    apns = content.get("apns")
    public = {key: apns[key] for key in ("team_identifier", "key_id")} if apns else None
    return {**content, "apns": public}, dict(apns) if apns else None


def read_pass_type(name: str, content: Mapping[str, Any]) -> PassTypeSecret:
    """Read a pass type's secret, without its APNs key.

    Raises:
        ConfigurationError: it does not have its form.
    """
    keys = ("certificate", "private_key", "intermediate")
    certificate, private_key, intermediate = _texts(name, content, keys, what="the certificate")
    return PassTypeSecret(certificate, private_key, intermediate)


def read_provider_key(name: str, content: Mapping[str, Any]) -> ProviderKey:
    """Read the secret of an APNs key.

    Raises:
        ConfigurationError: it does not have its form.
    """
    keys = ("team_identifier", "key_id", "private_key")
    team_identifier, key_id, private_key = _texts(name, content, keys, what="the APNs key")
    return ProviderKey(team_identifier, key_id, private_key)


def _texts(name: str, content: Mapping[str, Any], keys: Sequence[str], *, what: str) -> Iterator[str]:
    """Yield the values of a secret's keys; if one is missing, `what` is to be imported again."""
    try:
        yield from (str(content[key]) for key in keys)
    except KeyError as error:
        raise ConfigurationError(f"secret {name}: {error} is missing; import {what} again") from None

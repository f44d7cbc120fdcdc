"""Rotates and revokes a stage's authentication keys, from which the tokens of passes and the keys of links are derived.

A key that is added is accepted at once, but new passes and links use it only `DELAY_SECONDS` later: by then every
function has read it, so that no phone is refused. Installed passes keep the token of their key until it is revoked.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from chalicelib.aws.secrets import KEEP_SECONDS, Secrets
from chalicelib.core.authentication import AuthenticationKey, AuthenticationKeys
from chalicelib.core.errors import RefusedError
from infra.stage.secrets import KEY_BYTES, put_authentication_keys

DELAY_SECONDS = 2 * KEEP_SECONDS
"""Twice the time for which functions cache secrets, for the clocks of machines and the duration of a read."""
MAX_KEYS = 16
"""Each request derives a token from each key."""


class KeysError(RefusedError):
    """The keys cannot be changed as requested."""


@dataclass(frozen=True, slots=True)
class KeyStatus:
    """A key without its secret.

    Args:
        key_id: the first part of the tokens that were derived from it.
        issues_from: from when on new passes use it; None for a key without such a time, as the first one of a stage.
        issues: whether new passes use it now.
        links: whether its download links are valid.
    """

    key_id: str
    issues_from: datetime | None
    issues: bool
    links: bool


class StageKeys:
    """The authentication keys of a stage.

    Args:
        stage: the name of the stage.
        clock: returns epoch seconds.
    """

    def __init__(self, stage: str, *, clock: Callable[[], float]) -> None:
        self._stage = stage
        self._clock = clock

    def status(self) -> list[KeyStatus]:
        """List the keys, the one for new passes last.

        Raises:
            ConfigurationError: the stage has no keys.
        """
        keys = self._read()
        return [
            KeyStatus(
                key.key_id,
                datetime.fromtimestamp(key.issues_from, UTC) if key.issues_from else None,
                issues=key is keys.newest,
                links=key.links,
            )
            for key in keys.keys
        ]

    def rotate(self) -> KeyStatus:
        """Add a key, which new passes and links use after `DELAY_SECONDS`.

        Raises:
            KeysError: the stage has `MAX_KEYS` keys, or a key was added within this second.
        """
        keys, added = with_new_key(self._read(), secrets.token_bytes(KEY_BYTES), now=self._clock())
        put_authentication_keys(self._stage, keys)
        return next(status for status in self.status() if status.key_id == added.key_id)

    def revoke(self, key_id: str, *, only_links: bool) -> None:
        """Revoke a key: the passes and links that were issued with it are refused within `KEEP_SECONDS`.

        Args:
            key_id: of the key.
            only_links: revoke only its links; its passes stay valid.

        Raises:
            KeysError: there is no such key, or no other one for new passes or links.
        """
        put_authentication_keys(self._stage, without_key(self._read(), key_id, only_links=only_links))

    def _read(self) -> AuthenticationKeys:
        return Secrets(stage=self._stage, clock=self._clock).authentication_keys()


def with_new_key(
    keys: AuthenticationKeys, secret: bytes, *, now: float
) -> tuple[AuthenticationKeys, AuthenticationKey]:
    """Add a key, which is named after the time and issues after `DELAY_SECONDS`.

    Args:
        keys: of the stage.
        secret: of the new key.
        now: epoch seconds.

    Returns:
        All keys, and the new one.

    Raises:
        KeysError: there are `MAX_KEYS` keys, or a key was added within this second.
    """
    key_id = f"{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%S}"
    if len(keys.keys) >= MAX_KEYS:
        raise KeysError(f"the stage has {MAX_KEYS} authentication keys; revoke one whose passes are no longer used")
    if keys.get(key_id) is not None:
        raise KeysError(f"key {key_id} was added within this second; there is nothing left to rotate")
    added = AuthenticationKey(key_id, secret, issues_from=now + DELAY_SECONDS)
    return replace(keys, keys=(*keys.keys, added)), added


def without_key(keys: AuthenticationKeys, key_id: str, *, only_links: bool) -> AuthenticationKeys:
    """Remove a key, or only its links, from those of a stage. The remaining keys are in the order of their age.

    Raises:
        KeysError: there is no such key, or no other one for new passes or links.
    """
    key = keys.get(key_id)
    if key is None:
        known = ", ".join(other.key_id for other in keys.keys)
        raise KeysError(f"the stage has no authentication key {key_id}; it has {known}")
    others = tuple(other for other in keys.keys if other is not key)
    if not any(other.links for other in others):
        raise KeysError(f"key {key_id} is the only one for new passes and links; rotate first, then revoke it")
    kept = (*others, replace(key, links=False)) if only_links else others
    return AuthenticationKeys(tuple(sorted(kept, key=lambda kept_key: kept_key.issues_from)))

"""Authentication tokens: derived from the pass id, so that pipelines handle no secret and no token is stored.

A derived token is `<key id>.<base64url HMAC-SHA-256(key, pass_id)>`. An installed pass can never change its token
(Apple, "Pass": `authenticationToken`), so the token contains the id of its key: a new key is used for new passes, and
retiring an old key revokes the tokens that were derived from it.

For the same reason the token of a deleted pass is also valid for a later pass with the same id: a serial number must
never be given to another person. Pipelines have to follow this rule; only what issues passes by hand can check it.
"""

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field, replace
from typing import Self

from chalicelib.core.errors import ConfigurationError
from chalicelib.core.identifiers import AuthenticationToken, PassId

_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")
MIN_KEY_BYTES = 32
"""RFC 2104, section 3: a key shorter than the hash's output weakens the HMAC."""
_LINKS = b"download links"
"""Not a valid pass id, which contains a '/'. So the key for links is not the token of any pass."""


@dataclass(frozen=True, slots=True)
class AuthenticationKey:
    """A secret key from which tokens are derived. Each of these tokens contains the key's id.

    Args:
        key_id: the id.
        key: the secret bytes.
        issues_from: from when on new passes and links use the key, in epoch seconds; it is accepted before. A function
            that has cached the keys refuses a token of a key that it does not know.
        links: whether download links of this key are valid; False once its links were revoked.

    Raises:
        ConfigurationError: the id has characters that a token cannot contain, or the key is too short.
    """

    key_id: str
    key: bytes = field(repr=False)
    issues_from: float = 0.0
    links: bool = True

    def __post_init__(self) -> None:
        if not _KEY_ID.fullmatch(self.key_id):
            raise ConfigurationError(
                f"authentication key id {self.key_id!r}: use 1 to 32 of the characters A-Z a-z 0-9 _ -"
            )
        if len(self.key) < MIN_KEY_BYTES:
            raise ConfigurationError(
                f"authentication key {self.key_id}: has {len(self.key)} bytes, must have at least {MIN_KEY_BYTES}"
            )

    def derive(self, pass_id: PassId) -> AuthenticationToken:
        """Derive the token of a pass."""
        digest = hmac.digest(self.key, str(pass_id).encode(), hashlib.sha256)
        return AuthenticationToken(f"{self.key_id}.{urlsafe_b64encode(digest).rstrip(b'=').decode()}")

    def derive_link_key(self) -> bytes:
        """Derive the key that signs download links (`core/links.py`)."""
        return hmac.digest(self.key, _LINKS, hashlib.sha256)


@dataclass(frozen=True, slots=True)
class AuthenticationKeys:
    """The keys of a stage, the one for new passes last (`in_use`).

    Raises:
        ConfigurationError: `keys` is empty.
    """

    keys: tuple[AuthenticationKey, ...]

    def __post_init__(self) -> None:
        if not self.keys:
            raise ConfigurationError("authentication keys: the stage has no key; deploy the stage to add one")

    @property
    def newest(self) -> AuthenticationKey:
        return self.keys[-1]

    @property
    def newest_for_links(self) -> AuthenticationKey:
        """The key for new download links.

        Raises:
            ConfigurationError: the links of all keys are revoked.
        """
        for key in reversed(self.keys):
            if key.links:
                return key
        raise ConfigurationError("authentication keys: the download links of all keys are revoked; add a key")

    def in_use(self, *, now: float) -> Self:
        """Return the keys in the order of their use: those that do not issue yet come first, the next one last of them.

        Args:
            now: epoch seconds.
        """
        issuing = [key for key in self.keys if key.issues_from <= now]
        waiting = [key for key in reversed(self.keys) if key.issues_from > now]
        return replace(self, keys=(*waiting, *issuing))

    def get(self, key_id: str) -> AuthenticationKey | None:
        """Return the key with this id; None if there is no such key or it is retired."""
        return next((key for key in self.keys if key.key_id == key_id), None)

    def issue(self, pass_id: PassId, *, item_token: AuthenticationToken | None) -> AuthenticationToken:
        """Return the token for a new pass: `item_token`, the one in its item, else one from the newest key."""
        return item_token or self.newest.derive(pass_id)

    def accepts(
        self, presented: AuthenticationToken, pass_id: PassId, *, item_token: AuthenticationToken | None
    ) -> bool:
        """Tell whether a token is valid for a pass, in constant time: independent of how much of it is right.

        Args:
            presented: the token that a device sent.
            pass_id: the pass that it asks for.
            item_token: the token in the pass's item; None if the item has none.
        """
        expected = [key.derive(pass_id) for key in self.keys]
        if item_token is not None:
            expected.append(item_token)
        matches = [hmac.compare_digest(presented.value, token.value) for token in expected]
        return any(matches)

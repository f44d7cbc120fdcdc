"""Authentication tokens: derived from a pass's identity, so that no pipeline handles a secret and none is stored.

A derived token is `<key id>.<base64url HMAC-SHA-256(key, pass_id)>`. An installed pass can never change its token
(Apple, "Pass": `authenticationToken`), so the key id travels in it: a new key is used for new passes, and retiring an
old one revokes what was issued under it.

For the same reason the token of a deleted pass opens the next pass of the same name: a serial number belongs to one
person for good. `pass issue` refuses one that was used before; pipelines have to keep the rule themselves.
"""

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field

from chalicelib.core.errors import ConfigurationError
from chalicelib.core.identifiers import AuthenticationToken, PassId

_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")
MIN_KEY_BYTES = 32
"""RFC 2104, section 3: a key shorter than the hash's output weakens the HMAC."""
_LINKS = b"download links"
"""No pass id: those hold a '/'. So what signs links opens no pass, and no token of a pass signs links."""


@dataclass(frozen=True, slots=True)
class AuthenticationKey:
    """One secret that tokens are derived from. Its id stands in every token derived from it.

    Raises:
        ConfigurationError: the id cannot stand in a token, or the key is too short.
    """

    key_id: str
    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not _KEY_ID.fullmatch(self.key_id):
            raise ConfigurationError(f"authentication key id {self.key_id!r}: use 1 to 32 of A-Z a-z 0-9 _ -")
        if len(self.key) < MIN_KEY_BYTES:
            raise ConfigurationError(
                f"authentication key {self.key_id}: has {len(self.key)} bytes, {MIN_KEY_BYTES} at least"
            )

    def derive(self, pass_id: PassId) -> AuthenticationToken:
        digest = hmac.digest(self.key, str(pass_id).encode(), hashlib.sha256)
        return AuthenticationToken(f"{self.key_id}.{urlsafe_b64encode(digest).rstrip(b'=').decode()}")

    def for_links(self) -> bytes:
        """The key that download links are signed with (`domain/links.py`)."""
        return hmac.digest(self.key, _LINKS, hashlib.sha256)


@dataclass(frozen=True, slots=True)
class AuthenticationKeys:
    """The keys of a stage, the newest last.

    Raises:
        ConfigurationError: there is none.
    """

    keys: tuple[AuthenticationKey, ...]

    def __post_init__(self) -> None:
        if not self.keys:
            raise ConfigurationError("authentication keys: there is none; add one with `python -m infra deploy`")

    @property
    def newest(self) -> AuthenticationKey:
        return self.keys[-1]

    def get(self, key_id: str) -> AuthenticationKey | None:
        """The key of that id; None where there is none, or none any more."""
        return next((key for key in self.keys if key.key_id == key_id), None)

    def issue(self, pass_id: PassId, *, own: AuthenticationToken | None) -> AuthenticationToken:
        """The token for a first issue of the pass: its own if its item has one, else derived from the newest key."""
        return own or self.newest.derive(pass_id)

    def accepts(self, presented: AuthenticationToken, pass_id: PassId, *, own: AuthenticationToken | None) -> bool:
        """Whether this is a token of that pass. The work done does not depend on how much of it is right."""
        expected = [key.derive(pass_id) for key in self.keys]
        if own is not None:
            expected.append(own)
        matches = [hmac.compare_digest(presented.value, token.value) for token in expected]
        return any(matches)

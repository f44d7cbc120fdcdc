"""Download links: a URL that lets anyone who has it download one to ten passes until it expires.

The last segment of the URL is a token, which contains the ids of the passes and the time of expiry, and is
authenticated under a key derived from an authentication key of the stage. So a stage needs no additional secret,
retiring a key revokes its links together with its passes, and nothing is stored or looked up for a link. The links of a
key can also be revoked without its passes.

The token is the base64url form (RFC 4648, section 5) of these bytes, so that a link to one pass with a custom domain
fits a QR code of 33 x 33 modules:

    1 byte      1, the version of this form
    1 byte      first byte of the SHA-256 of the key's id, which selects the key
    4 bytes     time of expiry in epoch seconds, big-endian
    any         the pass ids in UTF-8, separated by 0xFF, which UTF-8 never contains. 0x01 replaces a leading
                `pass.com.`, 0x02 a leading `pass.`; an id that begins with `/` has the previous one's type
    10 bytes    HMAC-SHA-256 of the bytes before, truncated to 80 bits, the least that RFC 2104, section 5 allows

80 bits suffice because a forged token can only be tried out by requests to the stage. JSON Web Tokens (RFC 7519), which
were the form of links before, are still accepted.

A single link cannot be revoked, so its lifetime is limited to `MAX_LIFETIME_SECONDS`: links with a longer lifetime are
neither created nor accepted.
"""

import hashlib
import hmac
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from chalicelib.core.authentication import AuthenticationKey, AuthenticationKeys
from chalicelib.core.errors import RefusedError
from chalicelib.core.identifiers import IdentifierError, PassId

PATH = "/p/"
MAX_PASSES = 10
"""Passes in one archive of several (Apple, "Distributing and updating a pass": a bundle has at most ten)."""
MAX_TOKEN_LENGTH = 4096
"""The request line and headers together have at most 10,240 bytes (API Gateway quotas)."""
MAX_LIFETIME_SECONDS = 366 * 86_400
"""A year, including a leap year."""
_CLOCK_SLACK_SECONDS = 86_400
"""The time by which the clock of the machine that creates links may be ahead of Lambda's."""
_VERSION = 1
_HEAD = struct.Struct(">BBI")
_MAC_BYTES = 10
_SEPARATOR = b"\xff"
_PREFIXES = ((b"\x01", b"pass.com."), (b"\x02", b"pass."))
_JWT_START = "ey"
"""Start of every JSON Web Token: `{"` in base64url. A token of version 1 starts with `A`."""
_JWT_ALGORITHM = "HS256"
_JWT_AUDIENCE = "link"


class LinkError(RefusedError):
    """The link is invalid, or its key is retired or its links are revoked. The message does not disclose which."""

    def __init__(self) -> None:
        super().__init__("download link: it is not a valid link of this stage")


class LinkLifetimeError(RefusedError):
    """The lifetime requested for a link is too long, or not positive."""

    def __init__(self, lifetime_seconds: float) -> None:
        super().__init__(
            f"download link: the lifetime is {lifetime_seconds:,.0f} seconds; it must be more than 0 and at most "
            f"{MAX_LIFETIME_SECONDS // 86_400} days"
        )


class LinkSizeError(RefusedError):
    """The link has no passes or too many, or their ids are too long."""


class LinkExpiredError(RefusedError):
    """The link was valid, but it has expired or its passes are deleted."""


@dataclass(frozen=True, slots=True)
class Link:
    """Content of a download link.

    Args:
        pass_ids: the passes that may be downloaded, each once, at most `MAX_PASSES`.
        expires_at: time of expiry in epoch seconds.

    Raises:
        LinkSizeError: there are no passes, too many, or one twice.
    """

    pass_ids: tuple[PassId, ...]
    expires_at: int

    def __post_init__(self) -> None:
        if not 0 < len(self.pass_ids) <= MAX_PASSES:
            raise LinkSizeError(f"download link: it has {len(self.pass_ids)} passes; a link has 1 to {MAX_PASSES}")
        if len(set(self.pass_ids)) < len(self.pass_ids):
            raise LinkSizeError("download link: a pass is named twice; name each pass once")

    @classmethod
    def valid_for(cls, pass_ids: Sequence[PassId], *, lifetime_seconds: float, now: float) -> Self:
        """Create a link that expires `lifetime_seconds` after `now` (epoch seconds).

        Raises:
            LinkLifetimeError: the lifetime is not more than 0 and at most `MAX_LIFETIME_SECONDS`.
            LinkSizeError: there are no passes, too many, or one twice.
        """
        if not 0 < lifetime_seconds <= MAX_LIFETIME_SECONDS:
            raise LinkLifetimeError(lifetime_seconds)
        return cls(tuple(pass_ids), int(now + lifetime_seconds))


def sign_link(keys: AuthenticationKeys, link: Link) -> str:
    """Return the token of a link, authenticated with the newest key. A URL can contain all its characters unescaped.

    Raises:
        ConfigurationError: the links of all keys are revoked.
        LinkSizeError: the ids of the passes are too long for one URL.
    """
    key = keys.newest_for_links
    content = _HEAD.pack(_VERSION, _selector(key), link.expires_at) + _pack_ids(link.pass_ids)
    token = urlsafe_b64encode(content + _mac(key, content)).rstrip(b"=").decode()
    if len(token) > MAX_TOKEN_LENGTH:
        raise LinkSizeError(
            f"download link: the ids of its {len(link.pass_ids)} passes make a token of {len(token):,} characters; the "
            f"limit is {MAX_TOKEN_LENGTH:,}: make several links"
        )
    return token


def read_link(keys: AuthenticationKeys, token: str, *, now: float) -> Link:
    """Verify a token and return its link.

    Args:
        keys: the keys of the stage.
        token: the end of a link's URL.
        now: epoch seconds.

    Raises:
        LinkError: the token is not a link signed by this stage, its key is retired or its links are
            revoked, or its lifetime is too long.
        LinkExpiredError: the link has expired.
    """
    if len(token) > MAX_TOKEN_LENGTH:
        raise LinkError
    link = _read_jwt(keys, token) if token.startswith(_JWT_START) else _read(keys, token)
    if link.expires_at > now + MAX_LIFETIME_SECONDS + _CLOCK_SLACK_SECONDS:
        raise LinkError
    if now >= link.expires_at:
        raise LinkExpiredError(f"download link: the link of pass {link.pass_ids[0]} has expired")
    return link


def _read(keys: AuthenticationKeys, token: str) -> Link:
    try:
        raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
        if urlsafe_b64encode(raw).rstrip(b"=").decode() != token:  # one link has one form
            raise LinkError
        content, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        version, selector, expires_at = _HEAD.unpack_from(content)
        candidates = [key for key in keys.keys if key.links and _selector(key) == selector]
        matches = [hmac.compare_digest(_mac(key, content), mac) for key in candidates]
        if version != _VERSION or not any(matches):
            raise LinkError
        return Link(_unpack_ids(content[_HEAD.size :]), expires_at)
    except (ValueError, struct.error, IdentifierError, LinkSizeError):
        raise LinkError from None


def _read_jwt(keys: AuthenticationKeys, token: str) -> Link:
    import jwt

    try:
        key = keys.get(jwt.get_unverified_header(token).get("kid", ""))
        if key is None or not key.links:
            raise LinkError
        claims = jwt.decode(
            token,
            key.derive_link_key(),
            algorithms=[_JWT_ALGORITHM],
            audience=_JWT_AUDIENCE,
            options={"require": ["sub", "aud", "exp"], "verify_exp": False},  # PyJWT would read the system clock
        )
        return Link((PassId.parse(claims["sub"]),), int(claims["exp"]))
    except (jwt.InvalidTokenError, IdentifierError, ValueError, OverflowError, RecursionError):
        raise LinkError from None  # OverflowError: `exp` is Infinity; RecursionError: a header with 1,000 levels


def _selector(key: AuthenticationKey) -> int:
    return hashlib.sha256(key.key_id.encode()).digest()[0]


def _mac(key: AuthenticationKey, content: bytes) -> bytes:
    return hmac.digest(key.derive_link_key(), content, hashlib.sha256)[:_MAC_BYTES]


def _pack_ids(pass_ids: Sequence[PassId]) -> bytes:
    packed, previous = [], ""
    for pass_id in pass_ids:
        full = str(pass_id).encode()
        if pass_id.pass_type_identifier == previous:
            full = full[len(previous) :]
        short = next(((code, prefix) for code, prefix in _PREFIXES if full.startswith(prefix)), (b"", b""))
        packed.append(short[0] + full[len(short[1]) :])
        previous = pass_id.pass_type_identifier
    return _SEPARATOR.join(packed)


def _unpack_ids(packed: bytes) -> tuple[PassId, ...]:
    pass_ids: list[PassId] = []
    for part in packed.split(_SEPARATOR):
        prefix = next((prefix for code, prefix in _PREFIXES if part.startswith(code)), b"")
        text = (prefix + part[1:] if prefix else part).decode()
        pass_ids.append(
            PassId.parse(pass_ids[-1].pass_type_identifier + text if pass_ids and text[:1] == "/" else text)
        )
    return tuple(pass_ids)

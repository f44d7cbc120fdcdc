"""Download links: a URL that lets anyone who has it download one pass until it expires.

A link ends in a JSON Web Token (RFC 7519) with the pass id and the time of expiry. The token is signed with
HMAC-SHA-256 under a key derived from an authentication key of the stage, and contains the id of that key. So a stage
needs no additional secret, and retiring a key revokes its links together with its passes. Nothing is stored for a link.

A single link cannot be revoked, so its lifetime is limited to `MAX_LIFETIME_SECONDS`: links with a longer lifetime are
neither created nor accepted.
"""

from dataclasses import dataclass
from typing import Self

from chalicelib.core.authentication import AuthenticationKeys
from chalicelib.core.errors import RefusedError
from chalicelib.core.identifiers import IdentifierError, PassId

PATH = "/p/"
_ALGORITHM = "HS256"
_AUDIENCE = "link"
_MAX_TOKEN_LENGTH = 4096
"""More than the token of the longest pass id has."""
MAX_LIFETIME_SECONDS = 366 * 86_400
"""A year, including a leap year."""
_CLOCK_SLACK_SECONDS = 86_400
"""The time by which the clock of the machine that creates links may be ahead of Lambda's."""


class LinkError(RefusedError):
    """The link is invalid, or its key is retired. The message does not disclose which."""

    def __init__(self) -> None:
        super().__init__("download link: it is not a valid link of this stage")


class LinkLifetimeError(RefusedError):
    """The lifetime requested for a link is too long, or not positive."""

    def __init__(self, lifetime_seconds: float) -> None:
        super().__init__(
            f"download link: the lifetime is {lifetime_seconds:,.0f} seconds; it must be more than 0 and at most "
            f"{MAX_LIFETIME_SECONDS // 86_400} days"
        )


class LinkExpiredError(RefusedError):
    """The link was valid, but it has expired or its pass is deleted."""


@dataclass(frozen=True, slots=True)
class Link:
    """Content of a download link.

    Args:
        pass_id: the pass that may be downloaded.
        expires_at: time of expiry in epoch seconds.
    """

    pass_id: PassId
    expires_at: int

    @classmethod
    def valid_for(cls, pass_id: PassId, *, lifetime_seconds: float, now: float) -> Self:
        """Create a link that expires `lifetime_seconds` after `now` (epoch seconds).

        Raises:
            LinkLifetimeError: the lifetime is not more than 0 and at most `MAX_LIFETIME_SECONDS`.
        """
        if not 0 < lifetime_seconds <= MAX_LIFETIME_SECONDS:
            raise LinkLifetimeError(lifetime_seconds)
        return cls(pass_id, int(now + lifetime_seconds))


def sign_link(keys: AuthenticationKeys, link: Link) -> str:
    """Return the token of a link, signed with the newest key. A URL can contain all its characters unescaped."""
    import jwt

    return jwt.encode(
        {"sub": str(link.pass_id), "aud": _AUDIENCE, "exp": link.expires_at},
        keys.newest.derive_link_key(),
        algorithm=_ALGORITHM,
        headers={"kid": keys.newest.key_id, "typ": None},  # no type: a shorter link makes a smaller QR code
    )


def read_link(keys: AuthenticationKeys, token: str, *, now: float) -> Link:
    """Verify a token and return its link.

    Args:
        keys: the keys of the stage.
        token: the end of a link's URL.
        now: epoch seconds.

    Raises:
        LinkError: the token is not a link signed by this stage, its key is retired, or its lifetime is too long.
        LinkExpiredError: the link has expired.
    """
    import jwt

    if len(token) > _MAX_TOKEN_LENGTH:
        raise LinkError
    try:
        key = keys.get(jwt.get_unverified_header(token).get("kid", ""))
        if key is None:
            raise LinkError
        claims = jwt.decode(
            token,
            key.derive_link_key(),
            algorithms=[_ALGORITHM],
            audience=_AUDIENCE,
            options={"require": ["sub", "aud", "exp"], "verify_exp": False},  # PyJWT would read the system clock
        )
        link = Link(PassId.parse(claims["sub"]), int(claims["exp"]))
    except (jwt.InvalidTokenError, IdentifierError, ValueError, OverflowError, RecursionError):
        raise LinkError from None  # OverflowError: `exp` is Infinity; RecursionError: a header with 1,000 levels
    if link.expires_at > now + MAX_LIFETIME_SECONDS + _CLOCK_SLACK_SECONDS:
        raise LinkError
    if now >= link.expires_at:
        raise LinkExpiredError(f"download link: the link of pass {link.pass_id} has expired")
    return link

"""Download links: who holds one may fetch one pass, until it expires.

A link ends in a JSON Web Token (RFC 7519) that names the pass and the end. It is signed with HMAC-SHA-256 under a key
of its own, derived from an authentication key of the stage whose id stands in it: a stage needs no further secret, and
retiring a key revokes the links that were made under it together with the passes. Nothing is stored for a link.

A link cannot be taken back alone, so none lives longer than `MAX_LIFETIME_SECONDS`: longer ones are not made, and not
accepted.
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
"""More than a pass id of the largest size takes."""
MAX_LIFETIME_SECONDS = 366 * 86_400
"""A year, whatever year it is."""
_CLOCK_SLACK_SECONDS = 86_400
"""What the clock of the machine that makes links may be ahead of Lambda's."""


class LinkError(RefusedError):
    """This was never a link of the stage's, or its key is retired. Why, is not for a stranger to know."""

    def __init__(self) -> None:
        super().__init__("download link: it is none of this stage's")


class LinkLifetimeError(RefusedError):
    """A link that would live too long, or not at all: it is not made."""

    def __init__(self, lifetime_seconds: float) -> None:
        super().__init__(
            f"download link: a lifetime of {lifetime_seconds:,.0f} seconds; it must be more than 0 and at most "
            f"{MAX_LIFETIME_SECONDS // 86_400} days"
        )


class LinkEndedError(RefusedError):
    """This was a link: it has expired, or its pass is gone."""


@dataclass(frozen=True, slots=True)
class Link:
    """What a link grants.

    Args:
        pass_id: which pass may be fetched.
        expires_at: epoch seconds, until when.
    """

    pass_id: PassId
    expires_at: int

    @classmethod
    def lasting(cls, pass_id: PassId, *, lifetime_seconds: float, now: float) -> Self:
        """A link that grants the pass from `now` (epoch seconds) for so long.

        Raises:
            LinkLifetimeError: the lifetime is over `MAX_LIFETIME_SECONDS`, or not over 0.
        """
        if not 0 < lifetime_seconds <= MAX_LIFETIME_SECONDS:
            raise LinkLifetimeError(lifetime_seconds)
        return cls(pass_id, int(now + lifetime_seconds))


def sign_link(keys: AuthenticationKeys, link: Link) -> str:
    """The token of a link, signed with the newest key. Everything in it may stand in a URL as it is."""
    import jwt

    return jwt.encode(
        {"sub": str(link.pass_id), "aud": _AUDIENCE, "exp": link.expires_at},
        keys.newest.for_links(),
        algorithm=_ALGORITHM,
        headers={"kid": keys.newest.key_id, "typ": None},  # without a type, since a shorter link is a smaller QR code
    )


def read_link(keys: AuthenticationKeys, token: str, *, now: float) -> Link:
    """What a token grants now, in epoch seconds.

    Raises:
        LinkError: it was not signed here, or not as a link, or its key is retired, or it would live too long.
        LinkEndedError: it has expired.
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
            key.for_links(),
            algorithms=[_ALGORITHM],
            audience=_AUDIENCE,
            options={"require": ["sub", "aud", "exp"], "verify_exp": False},  # it would look at a clock of its own
        )
        link = Link(PassId.parse(claims["sub"]), int(claims["exp"]))
    except (jwt.InvalidTokenError, IdentifierError, ValueError, OverflowError, RecursionError):
        raise LinkError from None  # OverflowError: an `exp` of Infinity; RecursionError: a header nested 1,000 deep
    if link.expires_at > now + MAX_LIFETIME_SECONDS + _CLOCK_SLACK_SECONDS:
        raise LinkError
    if now >= link.expires_at:
        raise LinkEndedError(f"download link: that of pass {link.pass_id} has expired")
    return link

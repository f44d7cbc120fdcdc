"""Whether a request may touch a pass: `Authorization: ApplePass <authenticationToken>`.

Unknown pass and wrong token end the same way, after the same work, so that nobody learns which passes exist.
"""

from collections.abc import Mapping

from chalicelib.aws.tables import Store
from chalicelib.core.authentication import AuthenticationKeys
from chalicelib.core.errors import RefusedError
from chalicelib.core.identifiers import AuthenticationToken, IdentifierError, PassId
from chalicelib.passes.item import ItemError, parse_authentication_token

SCHEME = "applepass"
"""Compared without case (RFC 9110, section 11.1)."""


class UnauthorizedError(RefusedError):
    """The request does not hold the authentication token of the pass that it names, or there is no such pass."""

    def __init__(self) -> None:
        super().__init__("the pass is unknown or the authentication token is not its own")


def authorize(
    store: Store, keys: AuthenticationKeys, pass_id: PassId, *, authorization: str | None
) -> AuthenticationToken:
    """Check the header against the pass as it stands in the table: one read.

    Returns:
        The token that was presented.

    Raises:
        UnauthorizedError: there is no such pass, or the token is not one of its own.
        StoreError: DynamoDB did not answer.
    """
    presented = read_header(authorization)
    check(keys, pass_id, store.passes.for_authorization(pass_id), presented=presented)
    return presented


def read_header(authorization: str | None) -> AuthenticationToken:
    """The token that the header presents.

    Raises:
        UnauthorizedError: the header is missing, of another scheme, or holds nothing that could be a token.
    """
    scheme, _, token = (authorization or "").strip().partition(" ")
    if scheme.lower() != SCHEME:
        raise UnauthorizedError
    try:
        return AuthenticationToken(token.strip())
    except IdentifierError:
        raise UnauthorizedError from None


def check(
    keys: AuthenticationKeys,
    pass_id: PassId,
    attributes: Mapping[str, object] | None,
    *,
    presented: AuthenticationToken,
) -> Mapping[str, object]:
    """Check a presented token against a pass item, or against its absence.

    Returns:
        The item's attributes.

    Raises:
        UnauthorizedError: `attributes` is None, or the token is not one of the pass's own.
    """
    try:
        own = parse_authentication_token(pass_id, attributes or {})
    except ItemError:
        own = None  # what is no token opens nothing; the derived one still does
    accepted = keys.accepts(presented, pass_id, own=own)
    if attributes is None or not accepted:
        raise UnauthorizedError
    return attributes

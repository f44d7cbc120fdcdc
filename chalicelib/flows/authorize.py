"""Checks that a request may access a pass: `Authorization: ApplePass <authenticationToken>`.

Android apps that speak Apple's protocol have schemes of their own (`core/wallets.py`), with the same token.

An unknown pass and a wrong token get the same answer after the same work, so that the caller cannot learn which passes
exist.
"""

from collections.abc import Mapping

from chalicelib.aws.tables import Store
from chalicelib.core.authentication import AuthenticationKeys
from chalicelib.core.errors import RefusedError
from chalicelib.core.identifiers import AuthenticationToken, IdentifierError, PassId
from chalicelib.core.wallets import SCHEMES
from chalicelib.passes.item_errors import ItemError
from chalicelib.passes.item_token import parse_authentication_token


class UnauthorizedError(RefusedError):
    """The request does not present the authentication token of the pass, or there is no such pass."""

    def __init__(self) -> None:
        super().__init__("the pass is unknown or the authentication token is wrong")


def authorize(
    store: Store, keys: AuthenticationKeys, pass_id: PassId, *, authorization: str | None
) -> AuthenticationToken:
    """Check the header against the pass item in the table, with one read.

    Returns:
        The token that the request presents.

    Raises:
        UnauthorizedError: there is no such pass, or the token is not valid for it.
        StoreError: DynamoDB did not answer.
    """
    presented = read_header(authorization)
    check(keys, pass_id, store.passes.for_authorization(pass_id), presented=presented)
    return presented


def read_header(authorization: str | None) -> AuthenticationToken:
    """Parse the authentication token in the header.

    Raises:
        UnauthorizedError: the header is missing, has another scheme, or contains an invalid token.
    """
    scheme, _, token = (authorization or "").strip().partition(" ")
    if scheme.lower() not in SCHEMES:
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
    """Check a presented token against a pass item.

    Args:
        keys: the stage's keys, from which tokens are derived.
        pass_id: of the pass.
        attributes: of the pass item; None if there is no item.
        presented: the token in the request.

    Returns:
        The item's attributes.

    Raises:
        UnauthorizedError: `attributes` is None, or the token is not valid for the pass.
    """
    try:
        item_token = parse_authentication_token(pass_id, attributes or {})
    except ItemError:
        item_token = None  # an invalid token in the item matches no request; the derived token is still accepted
    accepted = keys.accepts(presented, pass_id, item_token=item_token)
    if attributes is None or not accepted:
        raise UnauthorizedError
    return attributes

"""Reads the authentication token of a pass item, without the rest of the item: every request of a phone needs it."""

from collections.abc import Mapping

from chalicelib.core.identifiers import AuthenticationToken, IdentifierError, PassId
from chalicelib.passes.item_errors import ItemError


def parse_authentication_token(pass_id: PassId, attributes: Mapping[str, object]) -> AuthenticationToken | None:
    """Read the token of an item; None if the item has none, so that the token is derived.

    Raises:
        ItemError: the token is invalid; the message does not contain it.
    """
    value = attributes.get("authentication_token")
    if value is None:
        return None
    if not isinstance(value, str):
        raise ItemError(pass_id, "authentication_token", "must be a string, or absent to have it derived")
    try:
        return AuthenticationToken(value)
    except IdentifierError as error:
        raise ItemError(pass_id, "authentication_token", str(error)) from error

"""Personalization: a person's data from a sign-up in Wallet, read and validated against what the pass requires.

Apple, "Return a Personalized Pass" and Wallet Developer Guide, "Rewards Enrollment".

The response to a sign-up is Wallet's token, signed with the pass type certificate. The `signature` of a pass has the
same form: detached PKCS#7 by the same certificate, over the bytes of manifest.json. So the server must never sign a
token that Wallet could read as a manifest, or anyone who can reach the API could have a forged pass signed. Two rules
prevent it:

- `PersonalizationToken` accepts no text that can be a manifest. A manifest is a JSON object: it contains `{`, a name in
  `"` and a `:` after it (RFC 8259, section 4), and in UTF-16 and UTF-32 also NUL bytes. None of these characters is
  accepted, nor any other punctuation of JSON or of property lists.
- `signing.Signer.sign_token` takes only a `PersonalizationToken`.

Personalizable passes should still have a separate pass type: then signatures of its certificate are useless for other
passes, and the other certificates sign nothing that comes from outside.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from chalicelib.core.errors import RefusedError

MAX_TOKEN_LENGTH = 1024
_TOKEN = re.compile(r"[!#-&*+\-./0-9;=?@A-Z^_`a-z|~]+")
"""Printable ASCII without ( ) < > [ ] { } " ' , : and the backslash. Apple documents no form, and no real token is
published: hexadecimal, Base64 in both alphabets, UUIDs and JSON Web Tokens all match.
"""
MAX_VALUE_LENGTH = 256
KEYS = ("emailAddress", "familyName", "fullName", "givenName", "isoCountryCode", "phoneNumber", "postalCode")
"""Keys of `requiredPersonalizationInfo`, read without regard to case: Apple's pages spell `isoCountryCode` in two ways.
"""
_SATISFIED_BY: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "PKPassPersonalizationFieldName": (("fullName",), ("givenName", "familyName")),
    "PKPassPersonalizationFieldPostalCode": (("postalCode",),),
    "PKPassPersonalizationFieldEmailAddress": (("emailAddress",),),
    "PKPassPersonalizationFieldPhoneNumber": (("phoneNumber",),),
}
"""Sets of keys by field of personalization.json; any one of the sets satisfies the field."""


class PersonalizationError(RefusedError):
    """A personalization is malformed, or lacks data that the pass requires."""


class PersonalizationTokenError(PersonalizationError):
    """A token has characters or a length that must not be signed."""

    def __init__(self) -> None:
        super().__init__(
            f"personalizationToken: must be 1 to {MAX_TOKEN_LENGTH} ASCII letters, digits or "
            "! # $ % & * + - . / ; = ? @ ^ _ ` | ~"
        )


class NotPersonalizableError(RefusedError):
    """There is no such pass, or its template does not ask for a personalization."""

    def __init__(self) -> None:
        super().__init__("there is no such pass, or it does not ask to be personalized")


class AlreadyPersonalizedError(RefusedError):
    """The pass is personalized already."""

    def __init__(self) -> None:
        super().__init__("the pass is already personalized")


@dataclass(frozen=True, slots=True)
class PersonalizationToken:
    """Token that Wallet wants signed: a text that cannot be a manifest, for the reason in the module's docstring.

    Raises:
        PersonalizationTokenError: `value` is empty, too long, or has a character that is not accepted.
    """

    value: str = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.value) > MAX_TOKEN_LENGTH or not _TOKEN.fullmatch(self.value):
            raise PersonalizationTokenError

    def __str__(self) -> str:
        return "<personalization token>"


@dataclass(frozen=True, slots=True)
class Personalization:
    """Body of Wallet's request for a personalized pass.

    Args:
        token: the token to sign and return, by which Wallet verifies that the pass's server responded.
        info: the person's data by `KEYS`, without empty values.
    """

    token: PersonalizationToken = field(repr=False)
    info: Mapping[str, str] = field(repr=False)

    @classmethod
    def parse(cls, body: Any) -> Self:  # noqa: ANN401 - any JSON value
        """Read the body of the request, a JSON value.

        Raises:
            PersonalizationError: it is not `{"personalizationToken": ..., "requiredPersonalizationInfo": {...}}`.
            PersonalizationTokenError: the token must not be signed.
        """
        token = body.get("personalizationToken") if isinstance(body, dict) else None
        given = body.get("requiredPersonalizationInfo") if isinstance(body, dict) else None
        if not isinstance(token, str) or not isinstance(given, dict):
            raise PersonalizationError(
                'the body must be {"personalizationToken": "...", "requiredPersonalizationInfo": {...}}'
            )
        by_key = {str(key).lower(): value for key, value in given.items()}
        info = {key: by_key[key.lower()] for key in KEYS if by_key.get(key.lower())}
        for key, value in info.items():
            if not isinstance(value, str) or len(value) > MAX_VALUE_LENGTH or not value.isprintable():
                raise PersonalizationError(
                    f"{key}: must be one line of text with at most {MAX_VALUE_LENGTH} characters"
                )
        return cls(PersonalizationToken(token), {key: value.strip() for key, value in info.items() if value.strip()})

    def validate(self, requirements: Mapping[str, Any]) -> None:
        """Validate the data against the template's personalization.json (`requirements`).

        Raises:
            PersonalizationError: data that the pass requires is missing; the message names the keys.
        """
        for name in requirements.get("requiredPersonalizationFields", []):
            alternatives = _SATISFIED_BY.get(name, ())
            if alternatives and not any(all(key in self.info for key in keys) for keys in alternatives):
                keys = " or ".join(" and ".join(keys) for keys in alternatives)
                raise PersonalizationError(f"requiredPersonalizationInfo: the pass requires {keys}; add it")

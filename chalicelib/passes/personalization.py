"""Personalization: what a person gave at sign-up, read and held against what the pass asks for.

Apple, "Return a Personalized Pass" and Wallet Developer Guide, "Rewards Enrollment".

The answer to a sign-up is Wallet's token, signed with the pass type certificate. A pass's own `signature` has the same
form: detached PKCS#7 by the same certificate, over the bytes of manifest.json. So the server must never sign a token
that Wallet could read as a manifest, or anyone who can reach the API could have a forged pass signed. Two rules hold:

- `PersonalizationToken` admits no text that a manifest can be. A manifest is a JSON object: it holds `{`, a member's
  name in `"` and a `:` behind it (RFC 8259, section 4), and in UTF-16 and UTF-32 it holds NUL bytes too. None of these
  is admitted, nor any other character that JSON or a property list is built of.
- `signing.Signer.sign_token` takes a `PersonalizationToken` and nothing else.

Give personalizable passes a pass type of their own all the same: what its certificate signs is then worth nothing for
other passes, and their certificate signs nothing that comes from outside.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from chalicelib.core.errors import RefusedError

MAX_TOKEN_LENGTH = 1024
_TOKEN = re.compile(r"[!#-&*+\-./0-9;=?@A-Z^_`a-z|~]+")
"""Printable ASCII without ( ) < > [ ] { } " ' , : and the backslash. Apple documents no form, and no real token is
public: hexadecimal, Base64 in both alphabets, UUIDs and JSON Web Tokens all match.
"""
MAX_VALUE_LENGTH = 256
KEYS = ("emailAddress", "familyName", "fullName", "givenName", "isoCountryCode", "phoneNumber", "postalCode")
"""Of `requiredPersonalizationInfo`. Case counts for nothing: Apple's own pages spell `isoCountryCode` in two ways."""
_SATISFIED_BY: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "PKPassPersonalizationFieldName": (("fullName",), ("givenName", "familyName")),
    "PKPassPersonalizationFieldPostalCode": (("postalCode",),),
    "PKPassPersonalizationFieldEmailAddress": (("emailAddress",),),
    "PKPassPersonalizationFieldPhoneNumber": (("phoneNumber",),),
}
"""By field of personalization.json: any of these sets of keys answers it."""


class PersonalizationError(RefusedError):
    """A personalization that cannot be taken: malformed, or without what the pass asks for."""


class PersonalizationTokenError(PersonalizationError):
    """The token has characters or a length that must not be signed."""

    def __init__(self) -> None:
        super().__init__(
            f"personalizationToken: must be 1 to {MAX_TOKEN_LENGTH} ASCII letters, digits or "
            "! # $ % & * + - . / ; = ? @ ^ _ ` | ~"
        )


class NotPersonalizableError(RefusedError):
    """There is no such pass, or it asks for nothing."""

    def __init__(self) -> None:
        super().__init__("there is no pass here that asks to be personalized")


class AlreadyPersonalizedError(RefusedError):
    """The pass has its person."""

    def __init__(self) -> None:
        super().__init__("the pass is personalized already")


@dataclass(frozen=True, slots=True)
class PersonalizationToken:
    """What Wallet wants signed, as text that cannot be a manifest; the module says why.

    Raises:
        PersonalizationTokenError: `value` is empty, too long, or has a character that is not admitted.
    """

    value: str = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.value) > MAX_TOKEN_LENGTH or not _TOKEN.fullmatch(self.value):
            raise PersonalizationTokenError

    def __str__(self) -> str:
        return "<personalization token>"


@dataclass(frozen=True, slots=True)
class Personalization:
    """What Wallet posts.

    Args:
        token: to be signed and returned: Wallet's proof that the answer is the pass's own server's.
        info: what the person gave, by `KEYS`; nothing empty.
    """

    token: PersonalizationToken = field(repr=False)
    info: Mapping[str, str] = field(repr=False)

    @classmethod
    def parse(cls, body: Any) -> Self:  # noqa: ANN401 - whatever JSON holds
        """Read the body of the call.

        Raises:
            PersonalizationError: it is not `{"personalizationToken": ..., "requiredPersonalizationInfo": {...}}`.
            PersonalizationTokenError: it is, but the token must not be signed.
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
                raise PersonalizationError(f"{key}: must be a line of text of at most {MAX_VALUE_LENGTH} characters")
        return cls(PersonalizationToken(token), {key: value.strip() for key, value in info.items() if value.strip()})

    def validate(self, asked: Mapping[str, Any]) -> None:
        """Hold it against the template's personalization.json.

        Raises:
            PersonalizationError: something that the pass asks for is missing; the message names what.
        """
        for name in asked.get("requiredPersonalizationFields", []):
            answers = _SATISFIED_BY.get(name, ())
            if answers and not any(all(key in self.info for key in keys) for keys in answers):
                keys = " or ".join(" and ".join(keys) for keys in answers)
                raise PersonalizationError(f"the pass asks for {keys}, which is missing")

"""Tests of personalization: no token that is signed can be a manifest, and the data meets the pass's requirements."""

import base64
import json
import plistlib
import secrets
import uuid
from collections.abc import Mapping
from typing import Any
from xml.parsers.expat import ExpatError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.passes.personalization import (
    MAX_TOKEN_LENGTH,
    Personalization,
    PersonalizationError,
    PersonalizationToken,
    PersonalizationTokenError,
)

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")
"""Encodings that a JSON reader detects (RFC 4627, section 3), with and without a byte order mark."""
INFO = {"fullName": "Ada Lovelace"}
SHA1 = st.binary(min_size=20, max_size=20).map(bytes.hex)
MANIFESTS = st.dictionaries(st.text(max_size=20), SHA1, max_size=4)


def can_be_a_manifest(content: bytes) -> bool:
    """Tell whether a reader of JSON or property lists reads these bytes as an object."""
    for encoding in ENCODINGS:
        try:
            if isinstance(json.loads(content.decode(encoding)), dict):
                return True
        except ValueError:
            continue
    try:
        return isinstance(plistlib.loads(content), dict)
    except (plistlib.InvalidFileException, ExpatError, ValueError):
        return content.lstrip()[:1] in (b"{", b"(", b"<")  # an old-style property list, or XML that is cut off


@given(
    manifest=MANIFESTS, encoding=st.sampled_from(ENCODINGS), indent=st.sampled_from([None, 0, 2]), ascii_=st.booleans()
)
def test_manifest_in_any_encoding_is_refused_as_a_token(
    manifest: dict[str, str], encoding: str, indent: int | None, *, ascii_: bool
) -> None:
    content = json.dumps(manifest, indent=indent, ensure_ascii=ascii_).encode(encoding, "surrogatepass")
    assert can_be_a_manifest(content)
    for token in {content.decode("latin-1"), content.decode("utf-8", "replace"), json.dumps(manifest, indent=indent)}:
        with pytest.raises(PersonalizationTokenError):
            PersonalizationToken(token)


@given(manifest=MANIFESTS, form=st.sampled_from([plistlib.FMT_XML, plistlib.FMT_BINARY]))
def test_property_list_is_refused_as_a_token(manifest: dict[str, str], form: plistlib.PlistFormat) -> None:
    printable = {str(number): value for number, value in enumerate(manifest.values())}
    with pytest.raises(PersonalizationTokenError):
        PersonalizationToken(plistlib.dumps(printable, fmt=form).decode("latin-1"))


@given(st.text(st.characters(max_codepoint=127), min_size=1, max_size=40) | st.from_regex(r'[\s\ufeff]*[{"\[].*'))
def test_accepted_token_cannot_be_a_manifest(text: str) -> None:
    """The converse, for the bytes that are signed."""
    try:
        token = PersonalizationToken(text)
    except PersonalizationTokenError:
        return
    assert not can_be_a_manifest(token.value.encode())
    assert not set(token.value) & set("{}[]()<>\"':,\\ \t\r\n\0")


@pytest.mark.parametrize(
    "token",
    [
        "1234567890",
        secrets.token_hex(32),
        str(uuid.uuid4()).upper(),
        base64.b64encode(secrets.token_bytes(256)).decode(),
        base64.urlsafe_b64encode(secrets.token_bytes(64)).decode(),
        ".".join(base64.urlsafe_b64encode(secrets.token_bytes(n)).decode().rstrip("=") for n in (30, 120, 256)),
        "a" * MAX_TOKEN_LENGTH,
    ],
    ids=["digits", "hexadecimal", "UUID", "Base64", "Base64 for URLs", "JSON Web Token", "longest"],
)
def test_usual_forms_of_a_token_are_accepted(token: str) -> None:
    body = {"personalizationToken": token, "requiredPersonalizationInfo": INFO}
    assert Personalization.parse(body).token.value == token


@pytest.mark.parametrize(
    "token", ["", "a b", "a\n", "a\0b", "ä", "\ud800", "{}", '"a"', "a:b", "[1]", "a" * (MAX_TOKEN_LENGTH + 1)]
)
def test_other_text_is_refused_without_being_quoted(token: str) -> None:
    with pytest.raises(PersonalizationTokenError) as refused:
        Personalization.parse({"personalizationToken": token, "requiredPersonalizationInfo": INFO})
    assert len(str(refused.value)) < 200


def test_value_of_a_token_is_not_shown() -> None:
    token = PersonalizationToken("c2VjcmV0")
    assert "c2VjcmV0" not in f"{token} {token!r} {Personalization(token, {})!r}"


def sign_up(**info: object) -> Personalization:
    return Personalization.parse({"personalizationToken": "token", "requiredPersonalizationInfo": info})


def test_keys_are_read_without_regard_to_case() -> None:
    assert sign_up(ISOCountryCode="DE", EMAILADDRESS="a@b.example").info == {
        "isoCountryCode": "DE",
        "emailAddress": "a@b.example",
    }


def test_unknown_keys_and_empty_values_are_left_out() -> None:
    assert sign_up(fullName=" Ada ", givenName="", familyName="  ", postalCode=None, shoeSize="38").info == {
        "fullName": "Ada"
    }


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "text",
        {},
        {"personalizationToken": "token"},
        {"requiredPersonalizationInfo": {}},
        {"personalizationToken": 1, "requiredPersonalizationInfo": {}},
        {"personalizationToken": "token", "requiredPersonalizationInfo": []},
    ],
    ids=repr,
)
def test_body_of_another_form_is_refused(body: object) -> None:
    with pytest.raises(PersonalizationError, match="the body must be"):
        Personalization.parse(body)


@pytest.mark.parametrize("value", [1, ["Ada"], "a\nb", "x" * 257], ids=["number", "array", "two lines", "long"])
def test_value_that_is_not_one_short_line_of_text_is_refused_without_being_quoted(value: object) -> None:
    with pytest.raises(PersonalizationError) as refused:
        sign_up(fullName=value)
    assert str(refused.value) == "fullName: must be one line of text with at most 256 characters"


NAME = {"requiredPersonalizationFields": ["PKPassPersonalizationFieldName"]}
ALL = {
    "requiredPersonalizationFields": [
        "PKPassPersonalizationFieldName",
        "PKPassPersonalizationFieldPostalCode",
        "PKPassPersonalizationFieldEmailAddress",
        "PKPassPersonalizationFieldPhoneNumber",
    ]
}
CONTACT = {"postalCode": "1", "emailAddress": "a@b.example", "phoneNumber": "1"}


@pytest.mark.parametrize(
    ("requirements", "info"),
    [
        ({}, {}),
        ({"requiredPersonalizationFields": ["PKPassPersonalizationFieldOfALaterVersion"]}, {}),
        (NAME, {"fullName": "Ada Lovelace"}),
        (NAME, {"givenName": "Ada", "familyName": "Lovelace"}),
        (ALL, {"fullName": "Ada Lovelace", **CONTACT}),
    ],
)
def test_data_that_meets_the_requirements_is_accepted(requirements: Mapping[str, Any], info: dict[str, str]) -> None:
    sign_up(**info).validate(requirements)


@pytest.mark.parametrize(
    ("requirements", "info", "keys"),
    [
        (NAME, {"givenName": "Ada"}, "fullName or givenName and familyName"),
        (ALL, {**CONTACT, "fullName": "Ada", "phoneNumber": " "}, "phoneNumber"),
    ],
)
def test_message_names_the_missing_keys(requirements: Mapping[str, Any], info: dict[str, str], keys: str) -> None:
    with pytest.raises(PersonalizationError, match=f"the pass requires {keys}; add it"):
        sign_up(**info).validate(requirements)

"""Personalization tokens: no text that is signed for a stranger can be a pass's manifest."""

import base64
import json
import plistlib
import secrets
import uuid
from xml.parsers.expat import ExpatError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.passes.personalization import (
    MAX_TOKEN_LENGTH,
    Personalization,
    PersonalizationToken,
    PersonalizationTokenError,
)

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")
"""Those that a JSON reader detects by itself (RFC 4627, section 3), with and without a byte order mark."""
INFO = {"fullName": "Ada Lovelace"}
SHA1 = st.binary(min_size=20, max_size=20).map(bytes.hex)
MANIFESTS = st.dictionaries(st.text(max_size=20), SHA1, max_size=4)


def can_be_a_manifest(content: bytes) -> bool:
    """Whether any reader of JSON or property lists takes these bytes for an object."""
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
def test_no_manifest_is_a_token_in_any_encoding(
    manifest: dict[str, str], encoding: str, indent: int | None, *, ascii_: bool
) -> None:
    content = json.dumps(manifest, indent=indent, ensure_ascii=ascii_).encode(encoding, "surrogatepass")
    assert can_be_a_manifest(content)
    for token in {content.decode("latin-1"), content.decode("utf-8", "replace"), json.dumps(manifest, indent=indent)}:
        with pytest.raises(PersonalizationTokenError):
            PersonalizationToken(token)


@given(manifest=MANIFESTS, form=st.sampled_from([plistlib.FMT_XML, plistlib.FMT_BINARY]))
def test_no_property_list_is_a_token(manifest: dict[str, str], form: plistlib.PlistFormat) -> None:
    printable = {str(number): value for number, value in enumerate(manifest.values())}
    with pytest.raises(PersonalizationTokenError):
        PersonalizationToken(plistlib.dumps(printable, fmt=form).decode("latin-1"))


@given(st.text(st.characters(max_codepoint=127), min_size=1, max_size=40) | st.from_regex(r'[\s\ufeff]*[{"\[].*'))
def test_whatever_is_accepted_cannot_be_a_manifest(text: str) -> None:
    """The other way round: every text that is a token, as the bytes that are signed."""
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
def test_the_usual_forms_of_a_token_are_accepted(token: str) -> None:
    body = {"personalizationToken": token, "requiredPersonalizationInfo": INFO}
    assert Personalization.parse(body).token.value == token


@pytest.mark.parametrize(
    "token", ["", "a b", "a\n", "a\0b", "ä", "\ud800", "{}", '"a"', "a:b", "[1]", "a" * (MAX_TOKEN_LENGTH + 1)]
)
def test_other_texts_are_refused_without_being_repeated(token: str) -> None:
    with pytest.raises(PersonalizationTokenError) as refused:
        Personalization.parse({"personalizationToken": token, "requiredPersonalizationInfo": INFO})
    assert len(str(refused.value)) < 200


def test_a_token_is_not_shown() -> None:
    token = PersonalizationToken("c2VjcmV0")
    assert "c2VjcmV0" not in f"{token} {token!r} {Personalization(token, {})!r}"

"""Tests of the identifiers of passes and devices."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from chalicelib.core.identifiers import (
    MAX_DEVICE_LIBRARY_IDENTIFIER_LENGTH,
    MAX_PASS_ID_BYTES,
    MAX_PUSH_TOKEN_LENGTH,
    MIN_AUTHENTICATION_TOKEN_LENGTH,
    AuthenticationToken,
    DeviceLibraryIdentifier,
    IdentifierError,
    PassId,
    PushToken,
    is_template_name,
)

SECRETS = (AuthenticationToken, DeviceLibraryIdentifier, PushToken)
TYPES = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="/"), min_size=1, max_size=20)
SERIAL_NUMBERS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
TOKENS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=16, max_size=40)


@given(TYPES, SERIAL_NUMBERS)
def test_pass_id_is_read_back_from_its_text(pass_type_identifier: str, serial_number: str) -> None:
    pass_id = PassId(pass_type_identifier, serial_number)
    assert PassId.parse(str(pass_id)) == pass_id


@given(st.text(max_size=60))
def test_text_is_a_pass_id_with_the_same_text_or_refused(text: str) -> None:
    try:
        pass_id = PassId.parse(text)
    except IdentifierError:
        return
    assert str(pass_id) == text
    assert "/" not in pass_id.pass_type_identifier


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be <passTypeIdentifier>/<serialNumber>"),
        ("pass.a", "pass_id 'pass.a': must be <passTypeIdentifier>/<serialNumber>"),
        ("/1", "must not be empty"),
        ("pass.a/", "pass of type pass.a: the serial number is empty"),
        ("pass.ä/1", "must be printable ASCII"),
        ("pass.\n/1", r"pass type identifier 'pass.\\n': must be printable ASCII"),
        ("pass.a/\ud800", "pass of type pass.a: the serial number is not valid Unicode"),
        ("pass.a/" + "x" * MAX_PASS_ID_BYTES, "the pass_id has 1031 bytes, must have at most 1024"),
    ],
)
def test_invalid_pass_id_is_refused_with_its_problem(text: str, message: str) -> None:
    with pytest.raises(IdentifierError, match=message):
        PassId.parse(text)


def test_size_of_a_pass_id_is_limited_in_bytes() -> None:
    prefix = "pass.a/"
    longest = "ü" * ((MAX_PASS_ID_BYTES - len(prefix)) // 2)
    assert PassId.parse(prefix + longest).serial_number == longest
    with pytest.raises(IdentifierError):
        PassId.parse(prefix + longest + "ü")


def test_pass_type_identifier_with_a_slash_is_refused() -> None:
    with pytest.raises(IdentifierError, match="contain a '/'"):
        PassId("pass/a", "1")


@given(TOKENS)
def test_printable_ascii_is_a_valid_secret_of_each_kind(value: str) -> None:
    for kind in SECRETS:
        assert kind(value).value == value


@given(st.text(max_size=40))
def test_text_with_other_characters_is_refused_as_each_kind_of_secret(text: str) -> None:
    assume(any(not "!" <= character <= "~" for character in text))
    for kind in SECRETS:
        with pytest.raises(IdentifierError) as refused:
            kind(text + "-" * MIN_AUTHENTICATION_TOKEN_LENGTH)
        assert str(refused.value).endswith(("without spaces", "in an HTTP header"))


def test_lengths_of_secrets_are_limited() -> None:
    DeviceLibraryIdentifier("x" * MAX_DEVICE_LIBRARY_IDENTIFIER_LENGTH)
    PushToken("x" * MAX_PUSH_TOKEN_LENGTH)
    AuthenticationToken("x" * MIN_AUTHENTICATION_TOKEN_LENGTH)
    with pytest.raises(IdentifierError, match="device library identifier: has 257 characters, must have at most 256"):
        DeviceLibraryIdentifier("x" * 257)
    with pytest.raises(IdentifierError, match="pushToken: has 1025 characters, must have at most 1024"):
        PushToken("x" * 1025)
    with pytest.raises(IdentifierError, match="authentication token: has 15 characters, Apple requires at least 16"):
        AuthenticationToken("x" * 15)
    for kind in (DeviceLibraryIdentifier, PushToken):
        with pytest.raises(IdentifierError, match="is empty"):
            kind("")


@pytest.mark.parametrize("kind", SECRETS)
def test_value_of_a_secret_is_not_shown(kind: type[AuthenticationToken]) -> None:
    secret = kind("s3cret-" * 4)
    assert "s3cret" not in f"{secret} {secret!r}"


@given(st.text("aZ9-_./ä ", max_size=66))
def test_template_name_has_1_to_64_of_the_allowed_characters_and_no_leading_dot(name: str) -> None:
    allowed = 1 <= len(name) <= 64 and set(name) <= set("aZ9-_.") and not name.startswith(".")
    assert is_template_name(name) == allowed


@pytest.mark.parametrize("name", ["boarding\n", "a" * 65, "../a", "", ".a"])
def test_template_name_that_an_s3_key_or_a_folder_cannot_have_is_refused(name: str) -> None:
    assert not is_template_name(name)

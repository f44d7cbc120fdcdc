"""Tests of checking the authentication token of a request."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.authentication import AuthenticationKey, AuthenticationKeys
from chalicelib.core.identifiers import PassId
from chalicelib.flows.authorize import UnauthorizedError, authorize, check, read_header
from tests.schedules.memory import Memory

KEYS = AuthenticationKeys((AuthenticationKey("k", b"k" * 32),))
PASS = PassId("pass.com.example", "P")
OWN_TOKEN = "own-token-of-the-pass"
DERIVED_TOKEN = KEYS.issue(PASS, item_token=None).value
ITEM = {"pass_id": str(PASS), "template": "t", "authentication_token": OWN_TOKEN}


def rows(item: dict[str, object] | None = None) -> Memory:
    memory = Memory()
    if item is not None:
        memory.items[PASS] = item
    return memory


@pytest.mark.parametrize("scheme", ["ApplePass", "applepass", "APPLEPASS", "  ApplePass"])
def test_scheme_is_compared_without_case(scheme: str) -> None:
    assert read_header(f"{scheme} {OWN_TOKEN} ").value == OWN_TOKEN


@pytest.mark.parametrize("header", [None, "", "ApplePass", "ApplePass ", "ApplePass short", f"Bearer {OWN_TOKEN}"])
def test_invalid_header_is_unauthorized(header: str | None) -> None:
    with pytest.raises(UnauthorizedError):
        read_header(header)


@given(st.text())
def test_header_of_any_form_is_parsed_or_unauthorized(header: str) -> None:
    with contextlib.suppress(UnauthorizedError):
        assert read_header(header).value in header


@pytest.mark.parametrize("token", [OWN_TOKEN, DERIVED_TOKEN])
def test_own_and_derived_token_are_accepted(token: str) -> None:
    presented = authorize(rows({**ITEM}).store(), KEYS, PASS, authorization=f"ApplePass {token}")
    assert presented.value == token


def test_unknown_pass_and_wrong_token_raise_the_same_error() -> None:
    messages = []
    for memory, token in ((rows(), DERIVED_TOKEN), (rows({**ITEM}), "x" * 32)):
        with pytest.raises(UnauthorizedError) as refused:
            authorize(memory.store(), KEYS, PASS, authorization=f"ApplePass {token}")
        messages.append(str(refused.value))
    assert messages[0] == messages[1]


def test_token_of_another_pass_is_unauthorized() -> None:
    other = KEYS.issue(PassId(PASS.pass_type_identifier, "Q"), item_token=None)
    with pytest.raises(UnauthorizedError):
        check(KEYS, PASS, ITEM, presented=other)


@pytest.mark.parametrize("invalid", ["short", 7, {}, ""])
def test_invalid_token_in_the_item_leaves_the_derived_token_valid(invalid: object) -> None:
    item = {**ITEM, "authentication_token": invalid}
    assert check(KEYS, PASS, item, presented=read_header(f"ApplePass {DERIVED_TOKEN}")) == item
    with pytest.raises(UnauthorizedError):
        check(KEYS, PASS, item, presented=read_header(f"ApplePass {OWN_TOKEN}"))


@pytest.mark.parametrize("scheme", ["AndroidPass", "WalletUnionPass", "WalletUnionHMSPass"])
def test_schemes_of_android_apps_need_the_same_token(scheme: str) -> None:
    store = rows({**ITEM}).store()
    for token in (OWN_TOKEN, DERIVED_TOKEN):
        assert authorize(store, KEYS, PASS, authorization=f"{scheme} {token}").value == token
    with pytest.raises(UnauthorizedError):
        authorize(store, KEYS, PASS, authorization=f"{scheme} {'0' * 32}")

"""Tests of authentication tokens and the keys from which they are derived."""

import hashlib
import hmac
import time
from base64 import urlsafe_b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.authentication import MIN_KEY_BYTES, AuthenticationKey, AuthenticationKeys
from chalicelib.core.errors import ConfigurationError
from chalicelib.core.identifiers import AuthenticationToken, PassId

OLD, NEW = AuthenticationKey("1", b"o" * MIN_KEY_BYTES), AuthenticationKey("2", b"n" * MIN_KEY_BYTES)
KEYS = AuthenticationKeys((OLD, NEW))
PASS_ID = PassId("pass.com.acme.boarding", "7K2M9Q")
ITEM_TOKEN = AuthenticationToken("token-of-an-earlier-service")
PASS_IDS = st.builds(PassId, st.sampled_from(["pass.a", "pass.b"]), st.text("ab/", min_size=1, max_size=4))


def test_derived_token_is_the_key_id_and_an_hmac_of_the_pass_id() -> None:
    key_id, _, digest = NEW.derive(PASS_ID).value.partition(".")
    assert key_id == "2"
    assert urlsafe_b64decode(digest + "=") == hmac.digest(NEW.key, b"pass.com.acme.boarding/7K2M9Q", hashlib.sha256)


@given(PASS_IDS, PASS_IDS)
def test_derived_token_is_accepted_for_its_pass_alone(pass_id: PassId, other: PassId) -> None:
    for key in (OLD, NEW):
        assert KEYS.accepts(key.derive(pass_id), other, item_token=None) == (pass_id == other)


def test_new_pass_gets_a_token_of_the_newest_key() -> None:
    assert KEYS.issue(PASS_ID, item_token=None) == NEW.derive(PASS_ID)
    assert AuthenticationKeys((NEW, OLD)).issue(PASS_ID, item_token=None) == OLD.derive(PASS_ID)


def test_key_is_accepted_before_new_passes_use_it() -> None:
    """A function that has cached the keys would refuse a token of a key that it does not know."""
    later = AuthenticationKey("3", b"l" * MIN_KEY_BYTES, issues_from=100.0)
    latest = AuthenticationKey("4", b"m" * MIN_KEY_BYTES, issues_from=200.0)
    keys = AuthenticationKeys((OLD, NEW, later, latest))
    assert keys.in_use(now=99.9).newest is NEW
    assert keys.in_use(now=99.9).accepts(later.derive(PASS_ID), PASS_ID, item_token=None)
    assert keys.in_use(now=100.0).newest is later
    assert keys.in_use(now=200.0).newest is latest
    assert AuthenticationKeys((later, latest)).in_use(now=0).newest is later, "a stage always issues"


def test_token_of_a_retired_key_is_refused() -> None:
    issued = OLD.derive(PASS_ID)
    assert KEYS.accepts(issued, PASS_ID, item_token=None)
    assert not AuthenticationKeys((NEW,)).accepts(issued, PASS_ID, item_token=None)


def test_token_of_the_item_is_issued_and_accepted_beside_derived_tokens() -> None:
    """Phones that downloaded the pass before its item had a token keep the derived one."""
    assert KEYS.issue(PASS_ID, item_token=ITEM_TOKEN) == ITEM_TOKEN
    assert KEYS.accepts(ITEM_TOKEN, PASS_ID, item_token=ITEM_TOKEN)
    assert KEYS.accepts(NEW.derive(PASS_ID), PASS_ID, item_token=ITEM_TOKEN)
    assert not KEYS.accepts(ITEM_TOKEN, PASS_ID, item_token=None)


@given(st.data())
def test_token_with_one_other_character_is_refused(data: st.DataObject) -> None:
    value = NEW.derive(PASS_ID).value
    position = data.draw(st.integers(0, len(value) - 1))
    character = data.draw(st.characters(min_codepoint=33, max_codepoint=126).filter(lambda c: c != value[position]))
    changed = AuthenticationToken(value[:position] + character + value[position + 1 :])
    assert not KEYS.accepts(changed, PASS_ID, item_token=None)


def test_comparison_takes_as_long_however_much_of_a_token_is_right() -> None:
    """A comparison that ends at the first difference takes a hundredth of the time for the first of these guesses."""
    long = ITEM_TOKEN.value * 40_000
    right = AuthenticationToken(long)
    guesses = [AuthenticationToken("0" + long[1:]), AuthenticationToken(long[:-1] + "0")]

    def seconds(guess: AuthenticationToken) -> float:
        start = time.perf_counter()
        KEYS.accepts(guess, PASS_ID, item_token=right)
        return time.perf_counter() - start

    early, late = (min(seconds(guess) for _ in range(20)) for guess in guesses)
    assert 0.5 < early / late < 2


def test_keys_are_found_by_their_id() -> None:
    assert KEYS.newest is NEW
    assert KEYS.get("1") is OLD
    assert KEYS.get("3") is None


@pytest.mark.parametrize("key_id", ["", "a.b", "a b", "ä", "x" * 33])
def test_key_id_that_a_token_cannot_contain_is_refused(key_id: str) -> None:
    with pytest.raises(ConfigurationError, match="use 1 to 32 of the characters"):
        AuthenticationKey(key_id, b"k" * MIN_KEY_BYTES)


def test_short_key_is_refused_without_being_shown() -> None:
    with pytest.raises(ConfigurationError, match="key 1: has 31 bytes, must have at least 32") as refused:
        AuthenticationKey("1", b"k" * 31)
    assert "kkk" not in str(refused.value)


def test_stage_without_keys_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="the stage has no key"):
        AuthenticationKeys(())


def test_keys_are_not_shown() -> None:
    assert "nnn" not in f"{NEW!r} {KEYS!r}"

"""Tests of the rules for rotating and revoking authentication keys."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.authentication import AuthenticationKey, AuthenticationKeys
from chalicelib.core.identifiers import PassId
from infra.operate.keys import DELAY_SECONDS, MAX_KEYS, KeysError, with_new_key, without_key

NOW = datetime(2026, 11, 25, 10, tzinfo=UTC).timestamp()
PASS = PassId("pass.com.acme", "1")


def key(key_id: str, *, issues_from: float = 0.0, links: bool = True) -> AuthenticationKey:
    return AuthenticationKey(key_id, key_id.encode().ljust(32, b"k"), issues_from, links)


@st.composite
def stages(draw: st.DrawFn) -> AuthenticationKeys:
    """Keys of a stage, one of which at least makes links."""
    links = draw(st.lists(st.booleans(), min_size=1, max_size=5).filter(any))
    return AuthenticationKeys(tuple(key(f"k{n}", issues_from=10.0 * n, links=each) for n, each in enumerate(links)))


@given(stages())
def test_new_key_is_accepted_at_once_and_issues_later(keys: AuthenticationKeys) -> None:
    rotated, added = with_new_key(keys, b"s" * 32, now=NOW)
    assert added.key_id == "20261125T100000"
    assert rotated.accepts(added.derive(PASS), PASS, item_token=None)
    assert all(rotated.get(old.key_id) is old for old in keys.keys), "installed passes keep their keys"
    before, after = rotated.in_use(now=NOW + DELAY_SECONDS - 1), rotated.in_use(now=NOW + DELAY_SECONDS)
    assert (before.newest, after.newest) == (keys.newest, added)


def test_second_key_within_a_second_is_refused() -> None:
    rotated, _ = with_new_key(AuthenticationKeys((key("k"),)), b"s" * 32, now=NOW)
    with pytest.raises(KeysError, match="was added within this second"):
        with_new_key(rotated, b"t" * 32, now=NOW + 0.9)


def test_number_of_keys_is_limited() -> None:
    """Each request derives a token from each key."""
    keys = AuthenticationKeys(tuple(key(f"k{number}") for number in range(MAX_KEYS)))
    with pytest.raises(KeysError, match="has 16 authentication keys"):
        with_new_key(keys, b"s" * 32, now=NOW)


@given(stages(), st.data())
def test_revoked_key_opens_nothing_and_others_stay(keys: AuthenticationKeys, data: st.DataObject) -> None:
    revoked = data.draw(st.sampled_from(keys.keys))
    others = [each for each in keys.keys if each is not revoked]
    if not any(other.links for other in others):
        with pytest.raises(KeysError, match="rotate first"):
            without_key(keys, revoked.key_id, only_links=False)
        return
    left = without_key(keys, revoked.key_id, only_links=False)
    assert list(left.keys) == others
    assert not left.accepts(revoked.derive(PASS), PASS, item_token=None)


@given(stages(), st.data())
def test_revoking_links_keeps_passes(keys: AuthenticationKeys, data: st.DataObject) -> None:
    revoked = data.draw(st.sampled_from(keys.keys))
    if not any(other.links for other in keys.keys if other is not revoked):
        with pytest.raises(KeysError, match="rotate first"):
            without_key(keys, revoked.key_id, only_links=True)
        return
    left = without_key(keys, revoked.key_id, only_links=True)
    assert [each.key_id for each in left.keys] == [each.key_id for each in keys.keys]
    assert all(left.accepts(each.derive(PASS), PASS, item_token=None) for each in keys.keys)
    assert left.newest_for_links.key_id != revoked.key_id


def test_unknown_key_is_named_with_the_known_ones() -> None:
    with pytest.raises(KeysError, match="has no authentication key x; it has k0, k1"):
        without_key(AuthenticationKeys((key("k0"), key("k1"))), "x", only_links=False)

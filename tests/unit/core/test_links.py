"""Tests of download links: a link opens one pass until it expires, and no other text is accepted as a link."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import replace
from hashlib import sha256

import jwt
import pytest
import segno
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.authentication import AuthenticationKey, AuthenticationKeys
from chalicelib.core.errors import ConfigurationError
from chalicelib.core.identifiers import PassId
from chalicelib.core.links import (
    MAX_LIFETIME_SECONDS,
    MAX_PASSES,
    PATH,
    Link,
    LinkError,
    LinkExpiredError,
    LinkLifetimeError,
    LinkSizeError,
    read_link,
    sign_link,
)

OLD, NEW = AuthenticationKey("1", b"o" * 32), AuthenticationKey("2", b"n" * 32)
KEYS = AuthenticationKeys((OLD, NEW))
LINK = Link((PassId("pass.com.acme.boarding", "7K2M9Q"),), expires_at=2_000_000_000)
NOW = 1_999_999_999.0


def encoded(part: object) -> str:
    return urlsafe_b64encode(part if isinstance(part, bytes) else json.dumps(part).encode()).rstrip(b"=").decode()


def forged(key: bytes = NEW.derive_link_key(), *, kid: object = "2", **claims: object) -> str:
    content = {"sub": str(LINK.pass_ids[0]), "aud": "link", "exp": LINK.expires_at, **claims}
    return jwt.encode({k: v for k, v in content.items() if v is not None}, key, headers={"kid": kid})


def test_link_is_valid_until_its_time_of_expiry() -> None:
    token = sign_link(KEYS, LINK)
    assert read_link(KEYS, token, now=NOW) == LINK
    with pytest.raises(LinkExpiredError):
        read_link(KEYS, token, now=2_000_000_000.0)


@pytest.mark.parametrize("serial_number", ["a/b", "100%", "grüße-東京", "x" * 990])
def test_link_of_any_serial_number_is_read_back(serial_number: str) -> None:
    link = Link((PassId("pass.a", serial_number),), LINK.expires_at)
    assert read_link(KEYS, sign_link(KEYS, link), now=NOW) == link


def test_link_needs_no_escaping_in_a_url_and_fits_a_qr_code_of_33_modules() -> None:
    token = sign_link(KEYS, LINK)
    assert token.replace("-", "").replace("_", "").isalnum()
    code = segno.make_qr(f"https://pass.acme.com{PATH}{token}", error="l")
    assert code.symbol_size(border=0) == (33, 33)


TYPES = st.sampled_from(["pass.com.acme.boarding", "pass.com.", "pass.", "pass.x", "other", "pass.com.acme.a b"])
SERIALS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
PASSES = st.lists(st.builds(PassId, TYPES, SERIALS), min_size=1, max_size=MAX_PASSES, unique=True)


@given(PASSES, st.integers(int(NOW) + 1, int(NOW) + MAX_LIFETIME_SECONDS))
def test_link_of_any_passes_is_read_back(pass_ids: list[PassId], expires_at: int) -> None:
    link = Link(tuple(pass_ids), expires_at)
    assert read_link(KEYS, sign_link(KEYS, link), now=NOW) == link


def test_link_has_one_to_ten_different_passes() -> None:
    ids = tuple(PassId("pass.a", str(number)) for number in range(MAX_PASSES + 1))
    for wrong in ((), ids, (ids[0], ids[1], ids[0])):
        with pytest.raises(LinkSizeError):
            Link(wrong, LINK.expires_at)


def test_link_whose_ids_do_not_fit_a_url_is_refused() -> None:
    ids = tuple(PassId("pass.a", f"{number}{'x' * 900}") for number in range(MAX_PASSES))
    with pytest.raises(LinkSizeError, match="make several links"):
        sign_link(KEYS, Link(ids, LINK.expires_at))


def test_json_web_token_of_an_older_version_is_still_a_link() -> None:
    assert read_link(KEYS, forged(), now=NOW) == LINK


def test_keys_whose_ids_select_the_same_are_both_tried() -> None:
    by_selector: dict[int, str] = {}
    for number in range(1000):
        selector = sha256(str(number).encode()).digest()[0]
        if selector in by_selector:
            break
        by_selector[selector] = str(number)
    one, other = AuthenticationKey(by_selector[selector], b"1" * 32), AuthenticationKey(str(number), b"2" * 32)
    keys = AuthenticationKeys((one, other))
    for key in keys.keys:
        assert read_link(keys, sign_link(AuthenticationKeys((key,)), LINK), now=NOW) == LINK


def test_link_stays_valid_when_a_key_is_added_and_becomes_invalid_when_its_key_is_retired() -> None:
    token = sign_link(AuthenticationKeys((OLD,)), LINK)
    assert read_link(KEYS, token, now=NOW) == LINK
    with pytest.raises(LinkError):
        read_link(AuthenticationKeys((NEW,)), token, now=NOW)


def test_links_of_a_key_are_revoked_without_its_passes() -> None:
    links, jwt = sign_link(KEYS, LINK), forged()
    keys = AuthenticationKeys((OLD, replace(NEW, links=False)))
    for token in (links, jwt):
        assert read_link(KEYS, token, now=NOW) == LINK
        with pytest.raises(LinkError):
            read_link(keys, token, now=NOW)
    pass_id = LINK.pass_ids[0]
    assert keys.accepts(NEW.derive(pass_id), pass_id, item_token=None)
    assert read_link(KEYS, sign_link(keys, LINK), now=NOW) == LINK, "new links use a key whose links are valid"


def test_stage_whose_links_are_all_revoked_makes_no_link() -> None:
    with pytest.raises(ConfigurationError, match="add a key"):
        sign_link(AuthenticationKeys((replace(NEW, links=False),)), LINK)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a",
        "..",
        "a" * 5000,
        "\ud800.é.\0",
        forged(b"x" * 32),
        forged(NEW.key),
        forged(OLD.derive_link_key(), kid="2"),
        forged(kid="3"),
        forged(kid=""),
        encoded({"alg": "HS384", "kid": "2"}) + "." + encoded({"sub": "a/b"}) + "." + encoded(b"x"),
        forged(aud="pass"),
        forged(aud=None),
        forged(exp=None),
        forged(sub=None),
        forged(sub="not a pass id"),
        encoded({"alg": "none", "kid": "2"}) + "." + encoded({"sub": "a/b", "aud": "link", "exp": 2_000_000_000}) + ".",
        encoded({"alg": "RS256", "kid": "2"}) + "." + encoded({"sub": "a/b"}) + "." + encoded(b"x"),
        encoded({"alg": "HS256", "kid": 2}) + ".e30.e30",
        encoded({"alg": "HS256", "kid": ["2"]}) + ".e30.e30",
        encoded({"alg": "HS256"}) + ".e30.e30",
        encoded([]) + ".e30.e30",
        encoded(b"[" * 2900) + ".e30.e30",
        encoded(b'{"a":' + b"[" * 2900) + ".e30.e30",
        forged(exp=int(NOW) + MAX_LIFETIME_SECONDS + 2 * 86_400),
        forged(exp=2**63),
        forged(exp=2**200),
        forged(exp=float("inf")),
        forged(exp=1e300),
        NEW.derive(LINK.pass_ids[0]).value,
        encoded(b"\1"),
        encoded(b"\1" + b"\0" * 15),
        encoded(b"\2" + urlsafe_b64decode(sign_link(KEYS, LINK) + "==")[1:]),
        sign_link(AuthenticationKeys((AuthenticationKey("2", b"x" * 32),)), LINK),
        sign_link(KEYS, Link(LINK.pass_ids, int(NOW) + MAX_LIFETIME_SECONDS + 2 * 86_400)),
    ],
    ids=lambda token: token[:60].encode("ascii", "backslashreplace").decode(),
)
def test_text_that_was_not_signed_as_a_link_is_refused(token: str) -> None:
    with pytest.raises(LinkError) as refused:
        read_link(KEYS, token, now=NOW)
    assert str(refused.value) == "download link: it is not a valid link of this stage"


def test_lifetime_of_a_link_is_more_than_0_and_at_most_a_year() -> None:
    link = Link.valid_for(LINK.pass_ids, lifetime_seconds=MAX_LIFETIME_SECONDS, now=NOW)
    assert read_link(KEYS, sign_link(KEYS, link), now=NOW) == link
    for lifetime in (MAX_LIFETIME_SECONDS + 1, 1e300, float("inf"), 0, -1, float("nan")):
        with pytest.raises(LinkLifetimeError):
            Link.valid_for(LINK.pass_ids, lifetime_seconds=lifetime, now=NOW)


@given(st.data())
def test_link_with_any_changed_bit_is_refused(data: st.DataObject) -> None:
    raw = bytearray(urlsafe_b64decode(sign_link(KEYS, LINK) + "=="))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(LinkError):
        read_link(KEYS, encoded(bytes(raw)), now=NOW)


@given(st.data())
def test_json_web_token_with_any_changed_bit_is_refused(data: st.DataObject) -> None:
    """Bits that base64 does not decode are not changed."""
    parts = forged().split(".")
    which = data.draw(st.integers(0, 2))
    raw = bytearray(urlsafe_b64decode(parts[which] + "=="))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    parts[which] = encoded(bytes(raw))
    with pytest.raises(LinkError):
        read_link(KEYS, ".".join(parts), now=NOW)


def test_link_has_one_form_only() -> None:
    """Characters that base64 ignores, and bits that it does not decode, make another text invalid."""
    token = sign_link(KEYS, LINK)
    spellings = [
        token[:-1] + chr(ord(token[-1]) + 1),
        token + "=",
        token + "==",
        token[:8] + "!" + token[8:],
        f" {token}",
    ]
    for spelling in spellings:
        with pytest.raises(LinkError):
            read_link(KEYS, spelling, now=NOW)


@given(st.text(max_size=200) | st.lists(st.binary(max_size=40).map(encoded), min_size=3, max_size=3).map(".".join))
def test_any_other_text_is_refused_as_a_link(token: str) -> None:
    with pytest.raises(LinkError):
        read_link(KEYS, token, now=NOW)


def test_key_for_links_differs_from_keys_and_tokens_of_passes() -> None:
    """A token of a pass signs no link, and the key for links is not a token of a pass."""
    assert NEW.derive_link_key() not in (NEW.key, OLD.derive_link_key())
    derived = NEW.derive(LINK.pass_ids[0]).value.partition(".")[2]
    with pytest.raises(LinkError):
        read_link(KEYS, forged(urlsafe_b64decode(derived + "=")), now=NOW)
    assert encoded(NEW.derive_link_key()) != derived

"""Names and JSON forms of a stage's secrets."""

import json
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.authentication import AuthenticationKey, AuthenticationKeys
from chalicelib.core.errors import ConfigurationError
from chalicelib.core.secret_forms import (
    ProviderKey,
    SecretNames,
    authentication_keys_content,
    pass_type_contents,
    read_authentication_keys,
    read_pass_type,
    read_provider_key,
)

NAME = "passwire/dev/some"
PEM = {"certificate": "C", "private_key": "K", "intermediate": "I"}
APNS = {"team_identifier": "TEAM", "key_id": "ID", "private_key": "P8"}


def test_names_begin_with_the_stages_prefix_and_differ() -> None:
    names = SecretNames("dev")
    found = [names.authentication_keys, names.pass_type("p"), names.apns_key("p"), names.pending_key("p")]
    assert all(name.startswith("passwire/dev/") for name in found)
    assert len(set(found)) == len(found)
    assert not any(name.startswith(SecretNames("de").prefix) for name in found)


@given(
    st.lists(st.tuples(st.binary(min_size=32, max_size=40), st.floats(0, 2e9), st.booleans()), min_size=1, max_size=4)
)
def test_authentication_keys_are_read_as_they_were_written(keys: list[tuple[bytes, float, bool]]) -> None:
    written = AuthenticationKeys(
        tuple(
            AuthenticationKey(str(number), key, issues_from=since, links=links)
            for number, (key, since, links) in enumerate(keys)
        )
    )
    content = json.loads(json.dumps(authentication_keys_content(written)))
    assert read_authentication_keys(NAME, content) == written


@pytest.mark.parametrize(
    "content", [{}, {"keys": None}, {"keys": [{}]}, {"keys": [{"id": "1", "key": "short"}]}, {"keys": ["x"]}]
)
def test_damaged_authentication_keys_are_refused_by_name(content: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        read_authentication_keys(NAME, content)


def test_apns_private_key_is_only_in_the_secret_of_its_own() -> None:
    hidden = secrets.token_hex(16)
    pass_type, apns = pass_type_contents({**PEM, "apns": {**APNS, "private_key": hidden}})
    assert hidden not in json.dumps(pass_type)
    assert pass_type["apns"] == {"team_identifier": "TEAM", "key_id": "ID"}
    assert apns is not None
    assert read_provider_key(NAME, apns) == ProviderKey("TEAM", "ID", hidden)


@pytest.mark.parametrize("content", [PEM, {**PEM, "apns": None}])
def test_pass_type_without_apns_key_says_so(content: dict[str, object]) -> None:
    pass_type, apns = pass_type_contents(content)
    assert apns is None
    assert pass_type["apns"] is None
    assert read_pass_type(NAME, pass_type).apns is None


@pytest.mark.parametrize("missing", PEM)
def test_missing_part_of_a_pass_type_is_named(missing: str) -> None:
    content = {key: value for key, value in PEM.items() if key != missing}
    with pytest.raises(ConfigurationError, match=f"secret {NAME}: '{missing}' is missing; import the certificate"):
        read_pass_type(NAME, content)


@pytest.mark.parametrize("missing", APNS)
def test_missing_part_of_an_apns_key_is_named(missing: str) -> None:
    content = {key: value for key, value in APNS.items() if key != missing}
    with pytest.raises(ConfigurationError, match=f"secret {NAME}: '{missing}' is missing; import the APNs key"):
        read_provider_key(NAME, content)

"""Tests of reading secrets: their form, the cache, and errors that name the secret but show nothing of it."""

import json
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.stub import Stubber

from chalicelib.aws.secrets import KEEP_SECONDS, PassTypeSecret, ProviderKey, Secrets, SecretsError
from chalicelib.core.errors import ConfigurationError
from tests.support.aws_answers import Clock, stub_client

HIDDEN = "hidden-value-of-the-secret"
TYPE = "pass.com.acme"
NAME = f"passwire/test/pass-types/{TYPE}"
APNS_NAME = f"passwire/test/apns-keys/{TYPE}"
PASS_TYPE = {"certificate": "C", "private_key": "K", "intermediate": "I"}
APNS_KEY = {"team_identifier": "TEAM", "key_id": "KEY", "private_key": "P8"}


class SecretsManager:
    """Stubbed responses of Secrets Manager, in the order of the requests."""

    def __init__(self) -> None:
        self.client = stub_client("secretsmanager")
        self.stubber = Stubber(self.client)

    def has(self, name: str, content: object) -> None:
        self.returns(name, {"SecretString": json.dumps(content)})

    def returns(self, name: str, response: dict[str, Any]) -> None:
        self.stubber.add_response("get_secret_value", response, {"SecretId": name})

    def fails(self, code: str, *, operation: str = "get_secret_value") -> None:
        self.stubber.add_client_error(operation, code)


@pytest.fixture
def manager() -> Iterator[SecretsManager]:
    manager = SecretsManager()
    with manager.stubber:
        yield manager
        manager.stubber.assert_no_pending_responses()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def secrets(manager: SecretsManager, clock: Clock) -> Secrets:
    return Secrets(stage="test", client=manager.client, clock=clock, timer=clock)


def test_pass_type_has_its_credentials_for_signing(manager: SecretsManager, secrets: Secrets) -> None:
    manager.has(NAME, {**PASS_TYPE, "apns": {}})
    assert secrets.pass_type(TYPE) == PassTypeSecret("C", "K", "I")


def test_apns_key_is_read_from_its_own_secret(manager: SecretsManager, secrets: Secrets) -> None:
    manager.has(NAME, {**PASS_TYPE, "apns": {"key_id": "KEY"}})
    manager.has(APNS_NAME, APNS_KEY)
    assert secrets.pass_type_with_apns(TYPE).apns == ProviderKey("TEAM", "KEY", "P8")


def test_apns_key_in_the_pass_types_secret_is_still_read(manager: SecretsManager, secrets: Secrets) -> None:
    manager.has(NAME, {**PASS_TYPE, "apns": APNS_KEY})
    assert secrets.pass_type_with_apns(TYPE).apns == ProviderKey("TEAM", "KEY", "P8")


def test_pass_type_without_apns_key_pushes_with_its_certificate(manager: SecretsManager, secrets: Secrets) -> None:
    manager.has(NAME, PASS_TYPE)
    assert secrets.pass_type_with_apns(TYPE).apns is None


def test_authentication_keys_are_decoded(manager: SecretsManager, secrets: Secrets) -> None:
    key = {"id": "1", "key": b64encode(b"k" * 32).decode()}
    manager.has("passwire/test/authentication-keys", {"keys": [key]})
    assert [key.key_id for key in secrets.authentication_keys().keys] == ["1"]


@pytest.mark.parametrize("content", [{}, {"keys": [{"id": "1"}]}, {"keys": [{"id": "1", "key": HIDDEN + "?"}]}])
def test_malformed_authentication_keys_are_a_configuration_error(
    manager: SecretsManager, secrets: Secrets, content: object
) -> None:
    manager.has("passwire/test/authentication-keys", content)
    with pytest.raises(ConfigurationError, match="secret passwire/test/authentication-keys") as refused:
        secrets.authentication_keys()
    assert HIDDEN not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        HIDDEN,
        json.dumps([HIDDEN]),
        json.dumps(HIDDEN),
        json.dumps({"certificate": HIDDEN}),
        json.dumps({**PASS_TYPE, "apns": HIDDEN}),
        json.dumps({**PASS_TYPE, "apns": [HIDDEN]}),
        "[" * 100_000,
        None,
    ],
)
def test_malformed_secret_is_a_configuration_error(manager: SecretsManager, secrets: Secrets, text: str | None) -> None:
    manager.stubber.add_response("get_secret_value", {"SecretString": text} if text is not None else {})
    with pytest.raises(ConfigurationError, match=f"secret {NAME}") as refused:
        secrets.pass_type_with_apns(TYPE)
    assert HIDDEN not in str(refused.value)


def test_missing_secret_is_a_configuration_error(manager: SecretsManager, secrets: Secrets) -> None:
    manager.fails("ResourceNotFoundException")
    with pytest.raises(ConfigurationError, match=f"secret {NAME} is missing"):
        secrets.pass_type(TYPE)


def test_secret_is_cached_until_keep_seconds_have_passed(
    manager: SecretsManager, secrets: Secrets, clock: Clock
) -> None:
    manager.has(NAME, PASS_TYPE)
    secrets.pass_type(TYPE)
    clock.now += KEEP_SECONDS - 1
    assert secrets.pass_type(TYPE).certificate == "C"
    manager.has(NAME, {**PASS_TYPE, "certificate": "C2"})
    clock.now += 1
    assert secrets.pass_type(TYPE).certificate == "C2"


def test_cached_secret_is_used_while_secrets_manager_fails(
    manager: SecretsManager, secrets: Secrets, clock: Clock
) -> None:
    manager.has(NAME, PASS_TYPE)
    secrets.pass_type(TYPE)
    clock.now += KEEP_SECONDS
    manager.fails("InternalServiceError")
    assert secrets.pass_type(TYPE).certificate == "C"


def test_failure_without_cached_secret_is_transient(manager: SecretsManager, secrets: Secrets) -> None:
    manager.fails("InternalServiceError")
    with pytest.raises(SecretsError, match=NAME):
        secrets.pass_type(TYPE)


def test_pass_types_are_listed_from_all_pages(manager: SecretsManager, secrets: Secrets) -> None:
    prefix = "passwire/test/pass-types/"
    first = {"SecretList": [{"Name": f"{prefix}b"}, {"Name": f"other/{prefix}c"}], "NextToken": "2"}
    filters = [{"Key": "name", "Values": [prefix]}]
    manager.stubber.add_response("list_secrets", first, {"Filters": filters})
    last = {"SecretList": [{"Name": f"{prefix}a"}]}
    manager.stubber.add_response("list_secrets", last, {"Filters": filters, "NextToken": "2"})
    assert secrets.pass_types() == ["a", "b"]


def test_failed_listing_is_transient(manager: SecretsManager, secrets: Secrets) -> None:
    manager.fails("InternalServiceError", operation="list_secrets")
    with pytest.raises(SecretsError, match="ListSecrets"):
        secrets.pass_types()

"""Errors of the service get the command that fixes them, which exists."""

import shlex
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from botocore.stub import Stubber

from chalicelib.apns.credentials import ProviderToken
from chalicelib.aws.secrets import Secrets
from chalicelib.aws.templates import Templates
from chalicelib.core.errors import ConfigurationError, PasswireError
from chalicelib.passes.signing import Signer
from chalicelib.settings import Settings
from infra.commands.remedies import REMEDIES, with_remedy
from infra.local.certificates import DevelopmentChain
from infra.stage.errors import StageError
from tests.support.aws_answers import stub_client
from tests.support.reference import command_tree

TYPE = "pass.com.acme"


def error_of(call: Callable[[], object]) -> PasswireError:
    with pytest.raises(PasswireError) as raised:
        call()
    return raised.value


def missing(read: Callable[[Secrets], object]) -> PasswireError:
    """Return the error about a secret that does not exist."""
    client = stub_client("secretsmanager")
    with Stubber(client) as stubber:
        stubber.add_client_error("get_secret_value", "ResourceNotFoundException")
        return error_of(lambda: read(Secrets(stage="prod", client=client)))


def test_missing_secret_names_the_command_that_writes_it() -> None:
    for read, command in (
        (lambda secrets: secrets.pass_type(TYPE), f"cert import {TYPE} FILE... --stage prod"),
        (lambda secrets: secrets.authentication_keys(), "deploy --stage prod"),
    ):
        assert with_remedy(missing(read)).endswith(f"; run: passwire {command}")


def test_missing_apns_key_names_the_command_that_stores_it() -> None:
    error = ConfigurationError(f"secret passwire/prod/apns-keys/{TYPE} is missing in Secrets Manager")
    assert with_remedy(error).endswith(f"run: passwire cert rotate {TYPE} KEY.p8 --stage prod")


def test_expired_certificate_names_the_command_that_replaces_it(chain: DevelopmentChain) -> None:
    signer = Signer.from_pem(
        certificate=chain.pass_type_certificate.read_text(),
        private_key=chain.pass_type_key.read_text(),
        intermediate=chain.intermediate.read_text(),
    )
    error = error_of(lambda: signer.sign(b"{}", at=datetime(2126, 1, 1, tzinfo=UTC)))
    command = f"cert rotate {signer.pass_type_identifier} FILE... --stage STAGE"
    assert with_remedy(error).endswith(f"and import it; run: passwire {command}")


def test_missing_template_names_the_command_that_uploads_it() -> None:
    error = error_of(lambda: Templates().get("missing"))
    assert with_remedy(error).endswith("run: passwire template push missing.pass --stage STAGE")


def test_invalid_apns_key_and_missing_variable_name_their_commands() -> None:
    error = error_of(lambda: ProviderToken(team_identifier="T", key_id="K", private_key="none"))
    assert with_remedy(error).endswith("run: passwire cert rotate PASS_TYPE KEY.p8 --stage STAGE")
    error = error_of(lambda: Settings.from_environment({}))
    assert with_remedy(error).endswith("run: passwire deploy --stage STAGE")


def test_other_errors_are_left_alone() -> None:
    for text in ("something else", "secret passwire/dev/pass-types/x is damaged; run: passwire cert rotate x"):
        assert with_remedy(StageError(text)) == text


def test_every_command_exists() -> None:
    tree = command_tree()
    for _, command in REMEDIES:
        words = shlex.split(command)
        assert " ".join(words[:2]) in tree or words[0] in tree, command

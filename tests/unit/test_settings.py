"""The stage's environment, and that what the stack sets agrees with what the functions rely on."""

import json
from pathlib import Path

import pytest

from app import app
from chalicelib.core.errors import ConfigurationError
from chalicelib.settings import PathParameters, Settings
from infra.deploy.resources import resources

PROJECT = Path(__file__).parents[2]
RESOURCES = resources()
STACK_VARIABLES = RESOURCES["Globals"]["Function"]["Environment"]["Variables"]
COMPLETE = {
    "PASSWIRE_STAGE": "test",
    "PASSWIRE_PASSES_TABLE": "passes",
    "PASSWIRE_VERSIONS_TABLE": "versions",
    "PASSWIRE_REGISTRATIONS_TABLE": "registrations",
    "PASSWIRE_DEVICES_TABLE": "devices",
    "PASSWIRE_PUSH_QUEUE_URL": "https://queue",
    "PASSWIRE_DEAD_LETTER_QUEUE_URL": "https://dead-letters",
}


def test_what_is_not_set_has_a_default() -> None:
    settings = Settings.from_environment(COMPLETE)
    assert settings.apns_url == "https://api.push.apple.com:443"
    assert settings.path_parameters is PathParameters.ENCODED
    assert Settings.from_environment({**COMPLETE, "PASSWIRE_APNS_URL": ""}) == settings


@pytest.mark.parametrize("missing", COMPLETE)
def test_a_missing_variable_is_named(missing: str) -> None:
    with pytest.raises(ConfigurationError, match=missing):
        Settings.from_environment({name: value for name, value in COMPLETE.items() if name != missing})


@pytest.mark.parametrize("name", ["PUSH_TIMEOUT_SECONDS", "PATH_PARAMETERS", "PERSONALIZE_AUTHORIZATION"])
def test_a_value_that_cannot_be_read_is_an_error(name: str) -> None:
    with pytest.raises(ConfigurationError):
        Settings.from_environment({**COMPLETE, f"PASSWIRE_{name}": "soon"})


def test_the_window_is_longer_than_the_push_function_may_run() -> None:
    """A tag may only be handed out when every stamp older than it is committed: the function's real timeout counts."""
    config = json.loads((PROJECT / ".chalice" / "config.json").read_text())
    settings = Settings.from_environment(
        {**COMPLETE, "PASSWIRE_PUSH_TIMEOUT_SECONDS": STACK_VARIABLES["PASSWIRE_PUSH_TIMEOUT_SECONDS"]}
    )
    assert settings.push_timeout_seconds == config["lambda_functions"]["push"]["lambda_timeout"]
    assert settings.window_seconds > settings.push_timeout_seconds


def test_every_throttle_of_a_method_is_of_a_route_that_there_is() -> None:
    """API Gateway takes a setting of a method that it does not have in silence; `/` in a path is written `~1`."""
    settings = RESOURCES["Resources"]["RestAPI"]["Properties"]["MethodSettings"]
    of_methods = [setting for setting in settings if setting["ResourcePath"] != "/*"]
    assert [setting["ResourcePath"][0] for setting in of_methods] == ["/", "/"]
    throttled = {(setting["ResourcePath"][1:].replace("~1", "/"), setting["HttpMethod"]) for setting in of_methods}
    assert throttled == {
        ("/v1/log", "POST"),
        ("/v1/passes/{pass_type_identifier}/{serial_number}/personalize", "POST"),
    }
    assert all(method in app.routes[path] for path, method in throttled)
    for setting in settings:
        for limit in ("ThrottlingRateLimit", "ThrottlingBurstLimit"):
            assert RESOURCES["Parameters"][setting[limit]["Ref"]]["Default"] >= 1


def test_the_stack_sets_every_variable_that_must_be_there() -> None:
    assert set(COMPLETE) <= set(STACK_VARIABLES)

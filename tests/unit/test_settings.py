"""Tests of the settings, and of the stack template's values for them."""

import json
from pathlib import Path

import pytest

from app import app
from chalicelib.core.errors import ConfigurationError
from chalicelib.settings import PathParameters, Settings
from infra.deploy.resources import resources
from tests.support.complete_settings import COMPLETE

PROJECT = Path(__file__).parents[2]
RESOURCES = resources()
STACK_VARIABLES = RESOURCES["Globals"]["Function"]["Environment"]["Variables"]


def test_settings_have_defaults() -> None:
    settings = Settings.from_environment(COMPLETE)
    assert settings.apns_url == "https://api.push.apple.com:443"
    assert settings.path_parameters is PathParameters.ENCODED
    assert Settings.from_environment({**COMPLETE, "PASSWIRE_APNS_URL": ""}) == settings


@pytest.mark.parametrize("missing", COMPLETE)
def test_message_names_the_missing_variable(missing: str) -> None:
    with pytest.raises(ConfigurationError, match=missing):
        Settings.from_environment({name: value for name, value in COMPLETE.items() if name != missing})


@pytest.mark.parametrize("name", ["PUSH_TIMEOUT_SECONDS", "PATH_PARAMETERS", "PERSONALIZE_AUTHORIZATION"])
def test_invalid_value_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError):
        Settings.from_environment({**COMPLETE, f"PASSWIRE_{name}": "soon"})


def test_window_is_longer_than_the_push_functions_timeout() -> None:
    """A tag may be handed out only when every older stamp is committed, so the deployed timeout decides."""
    config = json.loads((PROJECT / ".chalice" / "config.json").read_text())
    settings = Settings.from_environment(
        {**COMPLETE, "PASSWIRE_PUSH_TIMEOUT_SECONDS": STACK_VARIABLES["PASSWIRE_PUSH_TIMEOUT_SECONDS"]}
    )
    assert settings.push_timeout_seconds == config["lambda_functions"]["push"]["lambda_timeout"]
    assert settings.window_seconds > settings.push_timeout_seconds


def test_throttled_methods_are_routes_of_the_app() -> None:
    """API Gateway accepts settings of methods that do not exist; `/` in a path is written `~1`."""
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


def test_stack_template_sets_every_required_variable() -> None:
    assert set(COMPLETE) <= set(STACK_VARIABLES)


def test_slash_at_the_end_of_the_web_service_url_is_removed() -> None:
    settings = Settings.from_environment({**COMPLETE, "PASSWIRE_WEB_SERVICE_URL": "https://passes.example.com/"})
    assert settings.web_service_url == "https://passes.example.com"

"""The definition of a stage: facts that other code defines are taken from there."""

import re

from chalicelib.settings import Settings
from infra.deploy.monitoring import ALARMS
from infra.deploy.resources import chalice_config, default_of, resources
from infra.stage.stage import STAGE_NAME

ENVIRONMENT = {
    f"PASSWIRE_{name}": "x"
    for name in (
        "STAGE",
        "PASSES_TABLE",
        "VERSIONS_TABLE",
        "REGISTRATIONS_TABLE",
        "DEVICES_TABLE",
        "PUSH_QUEUE_URL",
        "DEAD_LETTER_QUEUE_URL",
        "HELD_REMOVALS_QUEUE_URL",
    )
}


def test_default_of_each_parameter_is_what_the_functions_use_without_it() -> None:
    found = resources()
    variables = found["Globals"]["Function"]["Environment"]["Variables"]
    defaults = {
        name: found["Parameters"][value["Ref"]]["Default"]
        for name, value in variables.items()
        if isinstance(value, dict) and value.get("Ref") in found["Parameters"] and value["Ref"] != "Stage"
    }
    assert {"PASSWIRE_APNS_URL", "PASSWIRE_PATH_PARAMETERS"} <= defaults.keys()
    assert Settings.from_environment({**ENVIRONMENT, **defaults}) == Settings.from_environment(ENVIRONMENT)


def test_default_of_a_choice_is_its_text() -> None:
    assert default_of("path_parameters") == "encoded"
    assert default_of("apns_url") == "https://api.push.apple.com:443"


def test_timeouts_come_from_chalices_configuration() -> None:
    functions = chalice_config()["lambda_functions"]
    found = resources()
    variables = found["Globals"]["Function"]["Environment"]["Variables"]
    assert variables["PASSWIRE_PUSH_TIMEOUT_SECONDS"] == str(functions["push"]["lambda_timeout"])
    visibility = found["Resources"]["PushQueue"]["Properties"]["VisibilityTimeout"]
    assert visibility == 6 * functions["push_worker"]["lambda_timeout"]


def test_template_and_command_line_accept_the_same_stage_names() -> None:
    assert re.compile(resources()["Parameters"]["Stage"]["AllowedPattern"]) == STAGE_NAME


def test_every_parameter_has_a_description() -> None:
    assert [name for name, of in resources()["Parameters"].items() if of["Description"] in ("", name)] == []


def test_every_alarm_is_a_resource() -> None:
    assert {f"{alarm.name}Alarm" for alarm in ALARMS} <= resources()["Resources"].keys()

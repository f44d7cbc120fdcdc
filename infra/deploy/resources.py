"""The definition of everything that a stage consists of, beside what Chalice derives from app.py.

`resources.json` has the resources and parameters. What other code defines comes from there, so that each fact has one
source: defaults of settings from `chalicelib/settings.py`, timeouts from `.chalice/config.json`, the form of a stage's
name from `infra/stage/stage.py`, alarms and dashboard from `monitoring.py`.
"""

import json
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import Any

from chalicelib.settings import PREFIX, Settings
from infra.deploy import monitoring
from infra.deploy.descriptions import DESCRIPTIONS
from infra.stage.stage import STAGE_NAME

RESOURCES = Path(__file__).with_suffix(".json")
CHALICE_FOLDER = Path(__file__).parents[2] / ".chalice"
SETTINGS = {
    "ApnsUrl": "apns_url",
    "ApnsCa": "apns_ca",
    "ApnsPushType": "apns_push_type",
    "WebServiceUrl": "web_service_url",
    "PathParameters": "path_parameters",
    "PersonalizeAuthorization": "personalize_authorization",
}
"""Parameters whose defaults are those of `Settings`, with the names of its fields."""
VISIBILITY_PER_TIMEOUT = 6
"""AWS, "Configuring an SQS event source": a queue's visibility timeout is at least six times the function's timeout."""


def chalice_config() -> dict[str, Any]:
    """Return the content of `.chalice/config.json`."""
    config: dict[str, Any] = json.loads((CHALICE_FOLDER / "config.json").read_text())
    return config


def default_of(setting: str) -> str:
    """Return the default of a field of `Settings`, as the environment and the template write it."""
    default = next(field.default for field in fields(Settings) if field.name == setting)
    return str(default.value if isinstance(default, Enum) else default)


def resources() -> dict[str, Any]:
    """Return what is merged into Chalice's template: parameters, conditions, globals, resources and outputs."""
    template: dict[str, Any] = json.loads(RESOURCES.read_text())
    for name, parameter in template["Parameters"].items():
        parameter["Description"] = DESCRIPTIONS.get(name, name)
        if name in SETTINGS:
            parameter["Default"] = default_of(SETTINGS[name])
    template["Parameters"]["Stage"]["AllowedPattern"] = STAGE_NAME.pattern
    functions = chalice_config()["lambda_functions"]
    variables = template["Globals"]["Function"]["Environment"]["Variables"]
    variables[f"{PREFIX}PUSH_TIMEOUT_SECONDS"] = str(functions["push"]["lambda_timeout"])
    queue = template["Resources"]["PushQueue"]["Properties"]
    queue["VisibilityTimeout"] = VISIBILITY_PER_TIMEOUT * functions["push_worker"]["lambda_timeout"]
    template["Resources"].update(monitoring.resources())
    return template


def invocations_per_shard() -> int:
    """Return the concurrent invocations of the push function per shard of the passes table's stream."""
    event = json.loads(RESOURCES.read_text())["Resources"]["Push"]["Properties"]["Events"]["PushDynamodbEventSource"]
    return int(event["Properties"]["ParallelizationFactor"])

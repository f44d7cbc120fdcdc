"""Everything that a stage consists of beside what Chalice makes of app.py: `resources.json`, and what is watched."""

import json
from pathlib import Path
from typing import Any

from infra.deploy import monitoring
from infra.deploy.descriptions import DESCRIPTIONS

RESOURCES = Path(__file__).with_suffix(".json")


def resources() -> dict[str, Any]:
    """What is merged into Chalice's template."""
    template: dict[str, Any] = json.loads(RESOURCES.read_text())
    for name, parameter in template["Parameters"].items():
        parameter["Description"] = DESCRIPTIONS.get(name, name)
    template["Resources"].update(monitoring.resources())
    return template

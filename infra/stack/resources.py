"""Everything that a stage consists of beside what Chalice makes of app.py: `resources.json`, and what is watched."""

import json
from pathlib import Path
from typing import Any

from infra.stack import watching

RESOURCES = Path(__file__).with_suffix(".json")


def resources() -> dict[str, Any]:
    """What is merged into Chalice's template."""
    template: dict[str, Any] = json.loads(RESOURCES.read_text())
    template["Resources"].update(watching.resources())
    return template

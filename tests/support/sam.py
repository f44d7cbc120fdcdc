"""Reads templates that SAM has translated."""

from typing import Any

Properties = dict[str, Any]


class NoManagedPolicies:
    """Roles are written out in the template, so SAM looks up no policy."""

    def load(self) -> dict[str, str]:
        return {}


def of_type(template: dict[str, Any], resource_type: str) -> dict[str, Properties]:
    """Properties by logical id."""
    return {
        name: resource.get("Properties", {})
        for name, resource in template["Resources"].items()
        if resource["Type"] == resource_type
    }

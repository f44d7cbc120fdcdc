"""Changes single values of a pass item: computes the changed item, and the UpdateItem request for just these values.

All other attributes are kept, since a pipeline may be writing them at the same time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ItemChange:
    """Values to change.

    Args:
        fields: values by field key. If the item's field is a map and the value is not, the value replaces the map's key
            `value`; its label and other keys are kept.
        overrides: values by top-level key of pass.json.
        voided: None for no change.
    """

    fields: Mapping[str, object] = field(default_factory=dict)
    overrides: Mapping[str, object] = field(default_factory=dict)
    voided: bool | None = None

    def applied_to(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Return the changed item."""
        changed = dict(item)
        for name, changes in (("fields", self.fields), ("overrides", self.overrides)):
            if changes:
                before = changed.get(name) or {}
                changed[name] = {**before, **{key: _merged(name, before.get(key), changes[key]) for key in changes}}
        if self.voided is not None:
            changed["voided"] = self.voided
        return changed

    def request(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of UpdateItem, with the condition that the item still has the same form and template.

        Args:
            item: the item as it was read.
        """
        sets: list[str] = []
        conditions = ["#template = :template"]
        names = {"#template": "template"}
        values: dict[str, Any] = {":template": item["template"]}
        for name, changes in (("fields", self.fields), ("overrides", self.overrides)):
            if not changes:
                continue
            names[f"#{name}"] = name
            if item.get(name) is None:
                sets.append(f"#{name} = :{name}")
                values |= {f":{name}": dict(changes), ":null": "NULL"}
                conditions.append(f"(attribute_not_exists(#{name}) OR attribute_type(#{name}, :null))")
                continue
            values[":map"] = "M"
            conditions.append(f"attribute_type(#{name}, :map)")
            for number, (key, value) in enumerate(changes.items()):
                path = f"#{name}.#{name}{number}"
                names[f"#{name}{number}"] = key
                values[f":{name}{number}"] = value
                if _goes_inside(name, item[name].get(key), value):
                    conditions.append(f"attribute_type({path}, :map)")
                    names["#value"] = "value"
                    path += ".#value"
                sets.append(f"{path} = :{name}{number}")
        if self.voided is not None:
            names["#voided"] = "voided"
            values[":voided"] = self.voided
            sets.append("#voided = :voided")
        return {
            "UpdateExpression": "SET " + ", ".join(sets),
            "ConditionExpression": " AND ".join(conditions),
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": values,
        }


def _merged(name: str, before: object, value: object) -> object:
    if isinstance(before, Mapping) and _goes_inside(name, before, value):
        return {**before, "value": value}
    return value


def _goes_inside(name: str, before: object, value: object) -> bool:
    """Return True if a value replaces the key `value` of a field's map."""
    return name == "fields" and isinstance(before, Mapping) and not isinstance(value, Mapping)

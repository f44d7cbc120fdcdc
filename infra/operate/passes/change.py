"""A change of single values of a pass item: what the item becomes, and the UpdateItem that does just that.

Everything else of the item stays: a pipeline may be writing other parts of it at the same time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ItemChange:
    """What to change.

    Args:
        fields: by field key. A value that is no map goes under `value` where the item has a map there, whose label and
            other keys stay.
        overrides: by top-level key of pass.json.
        voided: None to leave it.
    """

    fields: Mapping[str, object] = field(default_factory=dict)
    overrides: Mapping[str, object] = field(default_factory=dict)
    voided: bool | None = None

    def applied_to(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """The item as it will be."""
        changed = dict(item)
        for name, given in (("fields", self.fields), ("overrides", self.overrides)):
            if given:
                before = changed.get(name) or {}
                changed[name] = {**before, **{key: _merged(name, before.get(key), given[key]) for key in given}}
        if self.voided is not None:
            changed["voided"] = self.voided
        return changed

    def request(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of UpdateItem; its condition is that `item` is still of the form and the template it had."""
        sets: list[str] = []
        conditions = ["#template = :template"]
        names = {"#template": "template"}
        values: dict[str, Any] = {":template": item["template"]}
        for name, given in (("fields", self.fields), ("overrides", self.overrides)):
            if not given:
                continue
            names[f"#{name}"] = name
            if item.get(name) is None:
                sets.append(f"#{name} = :{name}")
                values |= {f":{name}": dict(given), ":null": "NULL"}
                conditions.append(f"(attribute_not_exists(#{name}) OR attribute_type(#{name}, :null))")
                continue
            values[":map"] = "M"
            conditions.append(f"attribute_type(#{name}, :map)")
            for number, (key, value) in enumerate(given.items()):
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


def _merged(name: str, before: object, given: object) -> object:
    if isinstance(before, Mapping) and _goes_inside(name, before, given):
        return {**before, "value": given}
    return given


def _goes_inside(name: str, before: object, given: object) -> bool:
    return name == "fields" and isinstance(before, Mapping) and not isinstance(given, Mapping)

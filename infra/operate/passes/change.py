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
        unset: paths to remove, such as `fields.gate`, `overrides.relevantDate`, `images.strip.png` or
            `attributes.note`; those that an item does not have are ignored.
    """

    fields: Mapping[str, object] = field(default_factory=dict)
    overrides: Mapping[str, object] = field(default_factory=dict)
    voided: bool | None = None
    unset: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """True if it changes no item."""
        return not (self.fields or self.overrides or self.unset) and self.voided is None

    def applied_to(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Return the changed item."""
        changed = dict(item)
        for name, changes in (("fields", self.fields), ("overrides", self.overrides)):
            if changes:
                before = changed.get(name) or {}
                changed[name] = {**before, **{key: _merged(name, before.get(key), changes[key]) for key in changes}}
        if self.voided is not None:
            changed["voided"] = self.voided
        for name, *keys in self._removed_from(item):
            if keys:
                changed[name] = {key: value for key, value in changed[name].items() if key not in keys}
            else:
                del changed[name]
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
        removals: list[str] = []
        for number, unset in enumerate(self._removed_from(item)):
            steps = [f"#unset{number}{step}" for step in range(len(unset))]
            names |= dict(zip(steps, unset, strict=True))
            removals.append(".".join(steps))
        clauses = [f"{verb} {', '.join(parts)}" for verb, parts in (("SET", sets), ("REMOVE", removals)) if parts]
        return {
            "UpdateExpression": " ".join(clauses),
            "ConditionExpression": " AND ".join(conditions),
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": values,
        }

    def _removed_from(self, item: Mapping[str, Any]) -> list[tuple[str, ...]]:
        """Return the paths to remove that an item has, as steps; `fields.gate` may also be the name of an attribute."""
        found: list[tuple[str, ...]] = []
        for path in self.unset:
            where, _, key = path.partition(".")
            if where == "attributes" and key in item:
                found.append((key,))
            elif path in item:
                found.append((path,))
            elif isinstance(item.get(where), Mapping) and key in item[where]:
                found.append((where, key))
        return found


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, object, object]]:
    """Return what differs between two items.

    Returns:
        Path, value before and value after of each difference; None for an absent value. Members of maps have a path of
        their own, such as `fields.gate`.
    """
    found: list[tuple[str, object, object]] = []
    for name in dict.fromkeys((*before, *after)):
        old, new = before.get(name), after.get(name)
        if name == "voided":
            old, new = old or False, new or False  # an absent one is false
        if old == new:
            continue
        if {old is None or isinstance(old, Mapping), new is None or isinstance(new, Mapping)} == {True}:
            old, new = old or {}, new or {}
            keys = [key for key in dict.fromkeys((*old, *new)) if old.get(key) != new.get(key)]
            found += [(f"{name}.{key}", old.get(key), new.get(key)) for key in keys]
        else:
            found.append((name, old, new))
    return found


def _merged(name: str, before: object, value: object) -> object:
    if isinstance(before, Mapping) and _goes_inside(name, before, value):
        return {**before, "value": value}
    return value


def _goes_inside(name: str, before: object, value: object) -> bool:
    """Return True if a value replaces the key `value` of a field's map."""
    return name == "fields" and isinstance(before, Mapping) and not isinstance(value, Mapping)

"""JSON Schema of a pass item, generated from the tables that the checks use.

It is for pipelines that validate items before they write them. The service refuses every item that the schema refuses,
and further ones whose problem JSON Schema cannot express (a day that does not exist, a barcode that cannot be drawn, a
field that the template does not have). null means absent, as NULL does in DynamoDB.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from chalicelib.passes.format.images import IMAGE_KEY_PATTERN, IMAGES, LANGUAGE_PATTERN, SCALES, SHORT_LANGUAGE_PATTERN
from chalicelib.passes.format.keys import FIELD_KEYS, LOCALIZABLE_FIELD_KEYS, OVERRIDABLE_KEYS, PASS_KEYS
from chalicelib.passes.format.kinds import Schema, nullable

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MIN_DEFINITION_CHARACTERS = 150
"""Shorter parts are repeated."""
_PASS_ID = r"^[^/]+/.+$"
_TEXTS_BY_LANGUAGE: Schema = {
    "type": "object",
    "minProperties": 1,
    "propertyNames": {"pattern": f"^({LANGUAGE_PATTERN})$"},
    "additionalProperties": {"type": "string"},
    "description": 'The text in several languages, such as {"en": "Boarding", "de": "Einsteigen"}',
}


_FIELD_BY_LANGUAGE: Schema = {
    **_TEXTS_BY_LANGUAGE,
    "propertyNames": {"pattern": f"^({SHORT_LANGUAGE_PATTERN})$"},
    "description": "Short form of a map with only such a value",
}


def item_schema(field_keys: list[str] | None = None) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a pass item.

    Args:
        field_keys: keys of the template's fields, so that others are refused; None to allow any.
    """
    field = _field_schema()
    fields: Schema = {
        "type": "object",
        "description": "Values by field key, which replace those of the template's fields",
    }
    if field_keys is None:
        fields["additionalProperties"] = field
    else:
        fields |= {"properties": dict.fromkeys(field_keys, field), "additionalProperties": False}
    flat_fields: Schema = {r"^fields\..": field}
    if field_keys is not None:
        names = "|".join(re.escape(key) for key in field_keys)
        flat_fields = {rf"^fields\.({names})$": field, rf"^fields\.(?!({names})$).": False}
    overrides = {name: _override_schema(name) for name in OVERRIDABLE_KEYS}
    forbidden = [name for name in PASS_KEYS if name not in OVERRIDABLE_KEYS]
    schema: Schema = {
        "$schema": DIALECT,
        "title": "Passwire pass item",
        "description": "An item of the passes table. Other attributes belong to the pipeline and are ignored.",
        "type": "object",
        "required": ["pass_id", "template"],
        "properties": {
            "pass_id": {
                "type": "string",
                "pattern": _PASS_ID,
                "description": "<passTypeIdentifier>/<serialNumber>; the key of the item",
            },
            "template": {"type": "string", "minLength": 1, "pattern": r"^[^./][^/]*$"},
            "fields": nullable(fields),
            "template_revision": nullable({"type": "string"}),
            "overrides": nullable(
                {
                    "type": "object",
                    "description": "Top-level keys of pass.json; null removes the template's key",
                    "properties": overrides | dict.fromkeys(forbidden, False),
                }
            ),
            "images": nullable(
                {
                    "type": "object",
                    "description": "Images of this pass: their keys by name, scale (1x, 2x, 3x) and language",
                    "propertyNames": {"enum": list(IMAGES)},
                    "additionalProperties": nullable(_image_schema()),
                }
            ),
            "voided": nullable({"type": "boolean"}),
            "authentication_token": nullable({"type": "string", "minLength": 16}),
            "delete_after": nullable({"type": "integer", "description": "Epoch seconds of the item's deletion"}),
            **{f"overrides.{name}": schema for name, schema in overrides.items()},
            **{f"overrides.{name}": False for name in forbidden},
        },
        "patternProperties": flat_fields,
    }
    return _with_definitions(schema)


def _with_definitions(schema: Schema) -> Schema:
    """Move parts that occur several times into `$defs`; written out, the schema would have a megabyte.

    A definition has the name of the property where it first occurs.
    """
    parts = [(name, part) for name, part in _parts("", schema) if not _is_nullable(part)]
    texts: dict[int, str] = {}
    """JSON of each part by its `id`: most parts are one object in many places."""
    for _, part in parts:
        if id(part) not in texts:
            texts[id(part)] = json.dumps(part)
    counts = Counter(texts[id(part)] for _, part in parts)
    names: dict[str, str] = {}
    definitions: dict[str, Schema] = {}
    for name, part in parts:
        text = texts[id(part)]
        if counts[text] > 1 and len(text) > MIN_DEFINITION_CHARACTERS and text not in names:
            taken = sum(other.rpartition("-")[0] == name or other == name for other in names.values())
            names[text] = f"{name}-{taken + 1}" if taken else name
            definitions[names[text]] = part

    def referring(member: Any, *, top: bool = False) -> Any:  # noqa: ANN401 - any JSON
        """Return a schema with references in place of the definitions in it."""
        if isinstance(member, list):
            return [referring(each) for each in member]
        if not isinstance(member, dict):
            return member
        if not top and (name := names.get(texts.get(id(member), ""))):
            return {"$ref": f"#/$defs/{name}"}
        return {key: referring(value) for key, value in member.items()}

    return {
        **referring(schema, top=True),
        "$defs": {name: referring(part, top=True) for name, part in sorted(definitions.items())},
    }


def _parts(name: str, schema: Schema) -> Iterator[tuple[str, Schema]]:
    """Iterate over a schema and the schemas within it, each with the name of the nearest property."""
    yield name, schema
    for keyword, value in schema.items():
        members: list[tuple[str, Any]] = []
        if keyword == "properties":
            members = [(key.rpartition(".")[2], member) for key, member in value.items()]
        elif keyword == "patternProperties":
            members = [("field", member) for member in value.values()]
        elif keyword in ("items", "additionalProperties", "anyOf", "propertyNames"):
            members = [(name, member) for member in (value if isinstance(value, list) else [value])]
        for key, member in members:
            if isinstance(member, dict):
                yield from _parts(key, member)


def _is_nullable(schema: Schema) -> bool:
    """Tell whether a schema only adds null to another one."""
    return schema.keys() == {"anyOf"} and schema["anyOf"][1:] == [{"type": "null"}]


def _image_schema() -> Schema:
    key: Schema = {"type": "string", "pattern": f"^{IMAGE_KEY_PATTERN}$"}
    scales: Schema = {
        "type": "object",
        "minProperties": 1,
        "properties": {f"{scale}x": nullable(key) for scale in SCALES},
        "additionalProperties": False,
    }
    languages: Schema = {
        "type": "object",
        "minProperties": 1,
        "properties": scales["properties"],
        "patternProperties": {f"^({LANGUAGE_PATTERN})$": {"anyOf": [key, scales, {"type": "null"}]}},
        "additionalProperties": False,
    }
    return {"anyOf": [key, languages]}


def _override_schema(name: str) -> Schema:
    """Return the schema of a top-level key; one that Apple requires cannot be removed by null."""
    key = OVERRIDABLE_KEYS[name]
    return key.kind.schema() if key.required else nullable(key.kind.schema())


def _field_schema() -> Schema:
    described: Schema = {}
    for name, key in FIELD_KEYS.items():
        schema = key.kind.schema()
        described[name] = {"anyOf": [schema, _TEXTS_BY_LANGUAGE]} if name in LOCALIZABLE_FIELD_KEYS else schema
        if name not in ("key", "value"):
            described[name] = nullable(described[name])
    as_map: Schema = {
        "type": "object",
        "properties": described,
        "description": "Apple's keys of a field, which replace the template's; null removes a key",
    }
    plain: list[Schema] = [{"type": ["string", "number"]}, as_map, _FIELD_BY_LANGUAGE, {"type": "null"}]
    return {"anyOf": plain}

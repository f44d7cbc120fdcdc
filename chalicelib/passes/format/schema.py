"""JSON Schema of a pass item, generated from the tables that the checks use.

It is for pipelines that validate items before they write them. The service refuses every item that the schema refuses,
and further ones whose problem JSON Schema cannot express (a day that does not exist, a barcode that cannot be drawn, a
field that the template does not have). null means absent, as NULL does in DynamoDB.
"""

import re
from typing import Any

from chalicelib.passes.format.images import IMAGE_KEY_PATTERN, IMAGES, LANGUAGE_PATTERN, SCALES, SHORT_LANGUAGE_PATTERN
from chalicelib.passes.format.keys import FIELD_KEYS, LOCALIZABLE_FIELD_KEYS, OVERRIDABLE_KEYS, PASS_KEYS
from chalicelib.passes.format.kinds import Schema, nullable

DIALECT = "https://json-schema.org/draft/2020-12/schema"
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
    return {
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

"""Pass items: the contract with pipelines. An item of the passes table is parsed into a frozen value, or refused.

The attributes of `PassItem` are those that appear in a pass or decide how it is built. Other attributes belong to the
pipeline: they are ignored, and a write that changes only them is not a change of the pass (`same_content`).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Self

from chalicelib.core.errors import excerpt
from chalicelib.core.identifiers import (
    TEMPLATE_NAME_RULE,
    AuthenticationToken,
    IdentifierError,
    PassId,
    is_template_name,
)
from chalicelib.core.numbers import NumberError, check_number, parse_number
from chalicelib.passes.format.check import MAX_DEPTH, override_problem
from chalicelib.passes.format.images import SHORT_LANGUAGE_PATTERN, ImagesError, read_images
from chalicelib.passes.format.keys import OVERRIDABLE_KEYS
from chalicelib.passes.item_errors import ItemError
from chalicelib.passes.item_token import parse_authentication_token

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
"""A JSON value. DynamoDB's numbers become int if they are whole, else float."""
USER_INFO = "overrides.userInfo"
"""JSON of the companion app, in which null is a value; everywhere else NULL means absent."""
JSON_NUMBER = r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?"
_FLAT_FIELD, _FLAT_OVERRIDE, _FLAT_IMAGE = "fields.", "overrides.", "images."


@dataclass(frozen=True, slots=True)
class PassItem:
    """A pass item, as a pipeline wrote it.

    Args:
        pass_id: the pass.
        template: name of the template's folder, without `.pass`.
        fields: by field key, values that replace those of the template's field, by Apple's keys of a field. A plain
            value in the item is here `{"value": ...}`. A text may be a map from language to text.
        overrides: top-level keys of pass.json; None removes the template's key.
        voided: whether phones show the pass as void.
        template_revision: set when a template is published with a notification of its passes; None if it never was.
        personalization: the person's data from the sign-up, by Apple's personalization keys; None before it.
        authentication_token: the token of a pass that is on phones with a token of another service; None to derive it.
        images: images of this pass, which replace the template's with the same name: image keys by path in the pass.
        numeric_texts: keys of fields written as flat attributes, such as `fields.points`, whose text reads as a number.
            It becomes a number if the template's field has one, like text in a column of a file.
    """

    pass_id: PassId
    template: str
    fields: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    overrides: Mapping[str, Json] = field(default_factory=dict)
    voided: bool = False
    template_revision: str | None = None
    personalization: Mapping[str, Json] | None = None
    authentication_token: AuthenticationToken | None = None
    numeric_texts: frozenset[str] = frozenset()
    images: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, attributes: Mapping[str, object]) -> Self:
        """Read the attributes of an item in Python's types: str, Decimal, bool, None, list, dict, sets, bytes.

        Raises:
            ItemError: an attribute is missing or invalid.
        """
        pass_id = parse_pass_id(attributes)
        reader = _ItemReader(pass_id, attributes)
        fields, overrides = reader.fields(), reader.mapping("overrides") or {}
        numeric_texts = reader.flat(fields, overrides)
        return cls(
            pass_id=pass_id,
            template=reader.template(),
            fields=fields,
            overrides=overrides,
            voided=reader.voided(),
            template_revision=reader.text("template_revision"),
            personalization=reader.mapping("personalization"),
            authentication_token=parse_authentication_token(pass_id, attributes),
            numeric_texts=numeric_texts,
            images=reader.images(),
        )

    def same_content(self, newer: Self) -> bool:
        """Tell whether a device with this pass would see no difference in the newer one.

        The authentication token is ignored, because an installed pass keeps its token. A missing template revision or
        personalization is not a change: a pipeline's PutItem has removed what this service had added. Neither is
        another personalization, because a pass does not show the person's data.
        """
        if (self.fields, self.overrides, self.template, self.voided) != (
            newer.fields,
            newer.overrides,
            newer.template,
            newer.voided,
        ) or (self.pass_id, self.numeric_texts, self.images) != (newer.pass_id, newer.numeric_texts, newer.images):
            return False
        if newer.template_revision is not None and newer.template_revision != self.template_revision:
            return False
        return self.personalization is not None or newer.personalization is None


def parse_pass_id(attributes: Mapping[str, object]) -> PassId:
    """Read the key of an item.

    Raises:
        ItemError: `pass_id` is missing or not `<passTypeIdentifier>/<serialNumber>`.
    """
    value = attributes.get("pass_id")
    if not isinstance(value, str):
        raise ItemError("(without key)", "pass_id", "is missing; write <passTypeIdentifier>/<serialNumber>")
    try:
        return PassId.parse(value)
    except IdentifierError as error:
        raise ItemError(value, "pass_id", str(error)) from error


class _ItemReader:
    """Reader of an item's attributes, one per method. A method raises ItemError if its attribute is invalid."""

    def __init__(self, pass_id: PassId, attributes: Mapping[str, object]) -> None:
        self.pass_id = pass_id
        self.attributes = attributes
        self.dotted = [name for name in attributes if "." in name]

    def template(self) -> str:
        value = self.attributes.get("template")
        if not isinstance(value, str) or not value:
            raise self.error("template", "is missing; write the name of a template, such as 'boarding'")
        if not is_template_name(value):
            raise self.error("template", f"'{excerpt(value)}' is not a valid template name: write {TEMPLATE_NAME_RULE}")
        return value

    def voided(self) -> bool:
        value = self.attributes.get("voided")
        if value is None:
            return False
        if not isinstance(value, bool):
            raise self.error("voided", f"must be a BOOL, not {_type_name(value)}")
        return value

    def text(self, attribute: str) -> str | None:
        value = self.attributes.get(attribute)
        if value is not None and not isinstance(value, str):
            raise self.error(attribute, f"must be a string, not {_type_name(value)}")
        return value

    def fields(self) -> dict[str, dict[str, Json]]:
        value = self.attributes.get("fields")
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise self.error("fields", f"must be a map, not {_type_name(value)}")
        return {str(key): self.field(str(key), member) for key, member in value.items() if member is not None}

    def field(self, key: str, value: object) -> dict[str, Json]:
        """Read one field by Apple's keys of a field; None removes the template's key."""
        if isinstance(value, str):
            return {"value": value}
        attribute = f"fields.{key}"
        if isinstance(value, Mapping):
            if _is_in_languages(value):
                value = {"value": value}
            return {
                str(name): member if member is None or type(member) is str else self.json(f"{attribute}.{name}", member)
                for name, member in value.items()
                if name != "_id"
            }
        if isinstance(value, Decimal | int | float) and not isinstance(value, bool):
            return {"value": self.json(attribute, value)}
        raise self.error(
            attribute, f"must be a string, a number, or a map of Apple's field keys, not {_type_name(value)}"
        )

    def flat(self, fields: dict[str, dict[str, Json]], overrides: dict[str, Json]) -> frozenset[str]:
        """Add the flat attributes `fields.KEY` and `overrides.KEY`, for pipelines that cannot write maps.

        They are read like the columns of a file: a text may be a JSON object, a number, or a value of the type that
        Apple requires for the key. NULL means absent.

        Returns:
            The keys of fields whose text may be a number.
        """
        numeric: set[str] = set()
        for name in self.dotted:
            value = self.attributes[name]
            if value is None:
                continue
            if name.startswith(_FLAT_FIELD) and (key := name.removeprefix(_FLAT_FIELD)):
                self.require_one_form(name, "fields", key in fields)
                given = self.object_or_text(name, value)
                fields[key] = self.field(key, given)
                if isinstance(given, str) and re.fullmatch(JSON_NUMBER, given):
                    numeric.add(key)
            elif name.startswith(_FLAT_OVERRIDE) and (key := name.removeprefix(_FLAT_OVERRIDE)):
                self.require_one_form(name, "overrides", overrides.get(key) is not None)
                overrides[key] = self.override(key, value)
        return frozenset(numeric)

    def images(self) -> dict[str, str]:
        """Read the images of the pass, written as a map or as flat attributes `images.NAME`."""
        value = self.attributes.get("images")
        if value is not None and not isinstance(value, Mapping):
            raise self.error("images", f"must be a map, not {_type_name(value)}")
        images = dict(value or {})
        for name in self.dotted:
            given = self.attributes[name]
            if name.startswith(_FLAT_IMAGE) and given is not None:
                self.require_one_form(name, "images", images.get(name.removeprefix(_FLAT_IMAGE)) is not None)
                images[name.removeprefix(_FLAT_IMAGE)] = self.object_or_text(name, given)
        try:
            return read_images(images) if images else {}
        except ImagesError as error:
            raise self.error(f"images.{error.path}", str(error)) from None

    def object_or_text(self, path: str, value: object) -> object:
        """Read a text that is a JSON object as that object; return any other value unchanged."""
        if not isinstance(value, str) or not value.startswith("{"):
            return value
        try:
            read = _read_json(value)
        except NumberError as error:
            raise self.error(path, str(error)) from None
        except (ValueError, RecursionError):
            return value
        return read if isinstance(read, dict) else value

    def require_one_form(self, name: str, attribute: str, in_map: bool) -> None:  # noqa: FBT001 - the result of a search
        if in_map:
            raise self.error(name, f"is written twice: as a flat attribute and in the map '{attribute}'; keep one")

    def override(self, key: str, value: object) -> Json:
        """Read a flat override; a text is read as the type that Apple requires for the key."""
        if not isinstance(value, str):
            return self.json(f"overrides.{key}", value)
        problem = override_problem(key, value)
        if not problem:
            is_text = key in OVERRIDABLE_KEYS and key != "userInfo"
            path = f"overrides.{key}"
            return value if is_text else self.json(path, self.object_or_text(path, value))
        try:
            read: Json = _read_json(value)
        except NumberError as error:
            raise self.error(f"overrides.{key}", str(error)) from None
        except (ValueError, RecursionError):
            raise self.error(f"overrides.{key}", problem) from None
        read = self.json(f"overrides.{key}", read)
        if read is None or (problem := override_problem(key, read)):
            raise self.error(f"overrides.{key}", problem)
        return read

    def mapping(self, attribute: str) -> dict[str, Json] | None:
        value = self.attributes.get(attribute)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise self.error(attribute, f"must be a map, not {_type_name(value)}")
        return {
            str(key): member if type(member) is str else self.json(f"{attribute}.{key}", member)
            for key, member in value.items()
        }

    def json(self, path: str, value: object, depth: int = 1, *, nulls: bool = False) -> Json:
        """Convert a value to JSON; NULL members of maps and lists are left out, except within userInfo."""
        nulls = nulls or path == USER_INFO
        match value:
            case None | bool() | str():
                return value
            case int() | float() | Decimal():
                return self.number(path, value)
            case Mapping() | list() | tuple() if depth > MAX_DEPTH:
                raise self.error(path, f"has more than {MAX_DEPTH} levels of maps and lists")
            case Mapping():
                return {
                    str(key): member
                    if type(member) is str
                    else self.json(f"{path}.{key}", member, depth + 1, nulls=nulls)
                    for key, member in value.items()
                    if nulls or (member is not None and key != "_id")
                }
            case list() | tuple():
                return [
                    self.json(f"{path}[{index}]", member, depth + 1, nulls=nulls)
                    for index, member in enumerate(value)
                    if nulls or member is not None
                ]
        raise self.error(path, f"must not be {_type_name(value)}; use a string, number, list or map")

    def number(self, path: str, value: Decimal | float) -> int | float:
        try:
            check_number(value)
        except NumberError as error:
            raise self.error(path, str(error)) from None
        if not isinstance(value, Decimal):
            return value
        return int(value) if value == value.to_integral_value() else float(value)

    def error(self, attribute: str, problem: str) -> ItemError:
        return ItemError(self.pass_id, attribute, problem)


def _is_in_languages(value: Mapping[str, object]) -> bool:
    """Tell whether a map is a text in several languages: `{"en": "Boarding", "de": "Einsteigen"}`."""
    return bool(value) and all(
        isinstance(text, str) and re.fullmatch(SHORT_LANGUAGE_PATTERN, name) for name, text in value.items()
    )


def _read_json(text: str) -> Any:  # noqa: ANN401 - any JSON
    """Read JSON; each number is validated by the rule for DynamoDB's numbers before anything is computed with it.

    Raises:
        NumberError: a number is out of DynamoDB's range.
        ValueError, RecursionError: the text is not JSON.
    """
    return json.loads(text, parse_float=parse_number, parse_int=parse_number)


_DYNAMODB_TYPE_NAMES: tuple[tuple[tuple[type, ...], str], ...] = (
    ((type(None),), "NULL"),
    ((bool,), "BOOL"),
    ((str,), "S"),
    ((int, float, Decimal), "N"),
    ((bytes, bytearray), "B"),
    ((Mapping,), "M"),
    ((list, tuple), "L"),
    ((set, frozenset), "a set"),
)


def _type_name(value: object) -> str:
    """Return DynamoDB's name for the type of a value, which the developer of a pipeline knows."""
    names = (name for types, name in _DYNAMODB_TYPE_NAMES if isinstance(value, types))
    return next(names, type(value).__name__)

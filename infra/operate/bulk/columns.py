"""Maps the columns of a file to attributes of pass items, and converts rows to items.

A column is named after its target: `serial_number` or `pass_id`, `template`, `voided`, `delete_after`,
`authentication_token`, a field's key alone or as `fields.KEY`, `overrides.KEY`, `images.NAME`, and `attributes.NAME`
for the pipeline's own attributes; `fields`, `overrides`, `images` and `attributes` contain whole maps. `--map
column=target` maps a column with another name, and `--map column=` ignores one.
"""

import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

from chalicelib.aws.templates import Templates
from chalicelib.core.errors import RefusedError
from chalicelib.core.identifiers import PassId
from chalicelib.core.numbers import MAX_SHOWN, NumberError, check_number, parse_number
from chalicelib.passes.format.keys import OVERRIDABLE_KEYS
from chalicelib.passes.item import PassItem
from chalicelib.passes.item_errors import ItemError
from chalicelib.passes.rendering import validate
from chalicelib.passes.template import Template
from infra.core.errors import InvalidValueError
from infra.operate.bulk.cells import CellError, from_json, read_field, read_override, spreadsheet_leftover
from infra.operate.bulk.files.base import LEFT_OUT, TOKEN

IGNORED_PREFIX = "passwire_"
"""Prefix of the additional columns of a reject file, which are ignored when it is imported."""
ATTRIBUTES = ("pass_id", "template", "voided", "delete_after", "authentication_token")
MAPS = ("fields", "overrides", "images", "attributes")
SERIAL_NUMBER = "serial_number"
ROUNDED_NUMBER = re.compile(r"[1-9](\.[0-9]+)?E\+[0-9]+")
"""A long number as spreadsheets write it, such as `1.23457E+12`: its last digits are lost."""
CHECKED_BY_PARSE = frozenset({"pass_id", "template", "voided", "fields", "overrides", "images", "authentication_token"})
"""Attributes whose numbers `PassItem.parse` checks."""


class ColumnsError(RefusedError):
    """The columns of a file cannot become passes; nothing was written."""


class MappingError(InvalidValueError):
    """`--map` names a column or a target that does not exist; nothing was written."""


class Columns:
    """Converts rows to items.

    Args:
        mapping: targets by column, from `--map`.
        pass_type: pass type of rows that contain only a serial number.
        template: template of rows that name none; None if all rows must name one.
        templates: templates of the stage.
        cells: True if strings are text to parse, as in CSV; False if they are values, as in JSON.
        image_key: returns the key of an image for a key or for the name of a file, which it uploads.
        check_pass_type: raises an error if passes of a type cannot be signed.
    """

    def __init__(
        self,
        *,
        mapping: Mapping[str, str],
        pass_type: str | None,
        template: str | None,
        templates: Templates,
        cells: bool,
        image_key: Callable[[str], str] | None = None,
        check_pass_type: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._mapping = mapping
        self._pass_type = pass_type
        self._default = templates.get(template) if template is not None else None
        self._templates = templates
        self._cells = cells
        self._image_key = image_key
        self._check_pass_type = check_pass_type
        self._targets: dict[str, tuple[str, str]] = {}

    @property
    def template(self) -> Template | None:
        """Template of rows that name none."""
        return self._default

    @property
    def token_columns(self) -> frozenset[str]:
        """Columns with authentication tokens."""
        token_targets = ((TOKEN, ""), ("attributes", TOKEN))
        return frozenset(column for column, target in self._targets.items() if target in token_targets)

    def take(self, columns: Iterable[str]) -> None:
        """Determine the target of each column of a file.

        Raises:
            ColumnsError: a column has no target, two have the same, or a required one is missing.
            MappingError: `--map` names no column of the file, or no target.
        """
        names = list(columns)
        if absent := sorted(set(self._mapping) - set(names)):
            near = get_close_matches(absent[0], names, n=1)
            advice = f"; did you mean {near[0]!r}?" if near else ""
            raise MappingError(
                f"--map: the file has no column {_listed(absent)}, only {_listed(names)}{advice}; nothing was written"
            )
        unknown: list[str] = []
        for name in names:
            target = self._target(name)
            if target is None:
                unknown.append(name)
            elif target in self._targets.values() and target[0]:
                raise ColumnsError(
                    f"two columns have the target {_named(target)}; ignore one with --map {name!r}=; "
                    "nothing was written"
                )
            else:
                self._targets[name] = target
        if unknown:
            raise self._explained(unknown)
        self._require()

    def _target(self, column: str) -> tuple[str, str] | None:
        """Return a column's target.

        Returns:
            An attribute and "", or a map and its key; ("", "") if the column is ignored, None if it has no target.
        """
        text = self._mapping.get(column, column)
        if (not text and column in self._mapping) or column.startswith(IGNORED_PREFIX):
            return "", ""
        if text in (*ATTRIBUTES, *MAPS, SERIAL_NUMBER):
            return text, ""
        where, _, key = text.partition(".")
        if where == "fields" and key:
            return (where, key) if self._default is None or key in self._default.places else None
        if where == "overrides" and key:
            return (where, key) if key in OVERRIDABLE_KEYS else None
        if where in MAPS and key:
            return where, key
        return ("fields", text) if self._default is not None and text in self._default.places else None

    def _explained(self, unknown: list[str]) -> ColumnsError | MappingError:
        """Return the error for columns without a target, with the nearest target of the first one."""
        first = unknown[0]
        if mistyped := [column for column in unknown if column in self._mapping]:
            first, target = mistyped[0], self._mapping[mistyped[0]]
            problem = f"--map {shlex.quote(f'{first}={target}')}: {target!r} is "
        else:
            problem = f"column {_listed(unknown)}: "
        if self._default is None:
            problem += "not an attribute of a pass; give --template NAME so that columns can be named after fields, "
        else:
            fields = ", ".join(sorted(self._default.places))
            problem += (
                f"neither a field of template '{self._default.name}' (which has {fields}) nor an attribute of a pass; "
            )
        if nearest := self._nearest(self._mapping.get(first, first)):
            problem += f"did you mean {nearest!r}? Then "
        target_option = f"{first}={nearest or 'TARGET'}"
        return (MappingError if mistyped else ColumnsError)(
            f"{problem}give its target with --map {shlex.quote(target_option)}, or ignore it with "
            f"--map {shlex.quote(f'{first}=')}; nothing was written"
        )

    def _nearest(self, text: str) -> str:
        """Return the target whose name is most like a text; empty if none is."""
        keys = self._default.places if self._default is not None else ()
        targets = [*keys, *(f"fields.{key}" for key in keys), *(f"overrides.{key}" for key in OVERRIDABLE_KEYS)]
        targets += [*ATTRIBUTES, *MAPS, SERIAL_NUMBER]
        plain = {target.lower(): target for target in reversed(targets)}
        words = [word for word in re.split(r"\W+", text.lower()) if word in plain]
        found = get_close_matches(text.strip().lower().replace(" ", "_"), plain, n=1) or words
        return plain[found[0]] if found else ""

    def _require(self) -> None:
        targets = {target for target, _ in self._targets.values()}
        if not targets & {"pass_id", SERIAL_NUMBER}:
            raise ColumnsError(
                f"no column contains the serial number; the file has {_listed(self._targets)}: map one, such as "
                f"--map {next(iter(self._targets), 'number')!r}=serial_number; nothing was written"
            )
        if SERIAL_NUMBER in targets and self._pass_type is None:
            raise ColumnsError("the rows contain serial numbers without a pass type: give --type; nothing was written")
        if {"pass_id", SERIAL_NUMBER} <= targets:
            raise ColumnsError(
                "the file has both pass_id and serial_number; ignore one with --map; nothing was written"
            )
        if "template" not in targets and self._default is None:
            raise ColumnsError("no column contains the template; give --template NAME; nothing was written")

    def item(self, values: Mapping[str, object]) -> dict[str, Any]:
        """Convert a row to a complete item, and validate it against its template.

        Raises:
            RefusedError: the row cannot become a pass.
            TemplateStoreError: the template could not be read.
        """
        if self._cells:
            self._refuse_leftovers(values)
        attributes, members = self._split(values)
        pass_id = self._pass_id(attributes)
        self._check_pass_type(pass_id.pass_type_identifier)
        item: dict[str, Any] = {"pass_id": str(pass_id)}
        name_of_template = attributes.pop("template", self._default.name if self._default else None)
        if name_of_template is not None:
            item["template"] = name_of_template
        template = (
            self._templates.get(name_of_template) if isinstance(name_of_template, str) and name_of_template else None
        )
        item.update({name: self._read(item["pass_id"], name, value) for name, value in attributes.items()})
        for name, key, value in members:
            self._put(item, name, key, self._member(item["pass_id"], template, name, key, value))
        own = item.pop("attributes", {})
        if not isinstance(own, dict):
            raise ItemError(item["pass_id"], "attributes", "must be a map of the pipeline's own attributes")
        _drop_nulls(item)
        item = {**own, **item}
        for name, value in item.items():
            if name not in CHECKED_BY_PARSE:
                _check_numbers(item["pass_id"], name, value)
        if item.get(TOKEN) == LEFT_OUT:
            raise ItemError(item["pass_id"], TOKEN, "was left out of the reject file; copy it from the original file")
        parsed = PassItem.parse(item)
        _check_delete_after(item)
        validate(template or self._templates.get(parsed.template), parsed)
        return item

    def _split(self, values: Mapping[str, object]) -> tuple[dict[str, object], list[tuple[str, str, object]]]:
        """Split a row into attributes by name, and members of maps as (map, key, value)."""
        attributes: dict[str, object] = {}
        members: list[tuple[str, str, object]] = []
        for column, value in values.items():
            where, key = self._targets[column]
            if key and value is not None:
                members.append((where, key, value))
            elif where and value is not None:
                attributes[where] = value
        return attributes, members

    def _refuse_leftovers(self, values: Mapping[str, object]) -> None:
        """Refuse formulas and error values of spreadsheets in columns that are not ignored."""
        for column, value in values.items():
            target = self._targets[column][0]
            if not isinstance(value, str) or not target:
                continue
            if target in (SERIAL_NUMBER, "pass_id") and ROUNDED_NUMBER.fullmatch(value):
                raise RefusedError(
                    f"column {column!r}: {value!r} is a number that a spreadsheet has rounded; format the column as "
                    "text there, and write the whole number"
                )
            if value.startswith(("=", "#")) and (problem := spreadsheet_leftover(value)):
                raise RefusedError(
                    f"column {column!r}: {value[:MAX_SHOWN]!r} {problem}; write the value itself, as plain text"
                )

    @staticmethod
    def _put(item: dict[str, Any], name: str, key: str, value: object) -> None:
        """Set a member of a map; it replaces the member in a column that contains the whole map."""
        whole = item.setdefault(name, {})
        if not isinstance(whole, dict):
            raise ItemError(item["pass_id"], name, "must be a map")
        whole[key] = value

    def _pass_id(self, attributes: dict[str, object]) -> PassId:
        named = "pass_id" in attributes
        value = attributes.pop("pass_id", None) if named else attributes.pop(SERIAL_NUMBER, None)
        if isinstance(value, Decimal | int) and not isinstance(value, bool):
            try:
                check_number(value)
            except NumberError as error:
                raise RefusedError(f"the serial number {error}") from None
            value = str(int(value)) if value == int(value) else str(value)
        if not isinstance(value, str) or not value:
            raise RefusedError("the row has no serial number")
        return PassId.parse(value) if named else PassId(self._pass_type or "", value)

    def _read(self, pass_id: str, name: str, value: object) -> object:
        if not self._cells or not isinstance(value, str):
            return value
        try:
            if name == "voided":
                return {"true": True, "false": False}[value.strip().lower()]
            if name == "delete_after":
                return parse_number(value)
            return from_json(value) if name in MAPS else value
        except KeyError:
            raise ItemError(pass_id, name, f"{value!r} must be true or false") from None
        except NumberError:
            return value  # _check_delete_after reports it
        except CellError as error:
            raise _item_error(pass_id, name, error) from None

    def _member(self, pass_id: str, template: Template | None, name: str, key: str, value: object) -> object:
        if name == "images" and isinstance(value, str) and self._image_key is not None:
            return self._image_key(value)
        if isinstance(value, datetime):
            if value.tzinfo is None:
                raise ItemError(pass_id, f"{name}.{key}", "is a time without a time zone, which phones need; add one")
            return value.isoformat(timespec="seconds")
        if isinstance(value, date):
            return value.isoformat()
        if not self._cells or not isinstance(value, str):
            return value
        try:
            if name == "fields":
                return read_field(template, key, value)
            return read_override(key, value) if name == "overrides" else value
        except CellError as error:
            raise _item_error(pass_id, f"{name}.{key}", error) from None


def _drop_nulls(item: dict[str, Any]) -> None:
    """Remove null members from an item's maps and from their fields, since null in a file is an absent value.

    Deeper values are values of Apple's format, and are validated as they are.
    """
    for name in ("fields", "overrides"):
        if isinstance(item.get(name), dict):
            item[name] = {key: value for key, value in item[name].items() if value is not None}
    if isinstance(fields := item.get("fields"), dict):
        for key, field in fields.items():
            if isinstance(field, dict):
                fields[key] = {name: member for name, member in field.items() if member is not None}


def _item_error(pass_id: str, attribute: str, error: CellError) -> ItemError:
    return ItemError(pass_id, f"{attribute}.{error.path}" if error.path else attribute, error.problem)


def _check_numbers(pass_id: str, path: str, value: object) -> None:
    """Refuse numbers that DynamoDB cannot store, also in the pipeline's own attributes, before they are used."""
    match value:
        case bool():
            return
        case Decimal() | int() | float():
            try:
                check_number(value)
            except NumberError as error:
                raise ItemError(pass_id, path, str(error)) from None
        case Mapping():
            for key, member in value.items():
                _check_numbers(pass_id, f"{path}.{key}" if path else str(key), member)
        case list() | tuple() | set() | frozenset():
            for member in value:
                _check_numbers(pass_id, path, member)


def _check_delete_after(item: Mapping[str, Any]) -> None:
    """Check that delete_after is a time: DynamoDB ignores other values, and would never delete the item."""
    value = item.get("delete_after")
    whole = isinstance(value, int | Decimal) and not isinstance(value, bool) and value == int(value)
    if value is not None and not (whole and value >= 0):
        shown = repr(value) if isinstance(value, str) else value
        problem = f"{shown} must be a whole number that is not negative: epoch seconds"
        raise ItemError(item["pass_id"], "delete_after", problem)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)


def _named(target: tuple[str, str]) -> str:
    return ".".join(part for part in target if part)

"""Which column of a file is which attribute of a pass item, and the item of a row.

A column is named for what it holds: `serial_number` or `pass_id`, `template`, `voided`, `delete_after`,
`authentication_token`, a field's key alone or as `fields.KEY`, `overrides.KEY`, `attributes.NAME` for what is the
pipeline's own; `fields`, `overrides` and `attributes` hold whole maps. `--map column=target` says so for a column with
another name, and `--map column=` leaves one out.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from chalicelib.aws.templates import Templates
from chalicelib.core.errors import RefusedError
from chalicelib.core.identifiers import PassId
from chalicelib.core.numbers import MAX_SHOWN, NumberError, check_number, parse_number
from chalicelib.passes.item import ItemError, PassItem
from chalicelib.passes.rendering import validate
from chalicelib.passes.template import Template
from infra.operate.bulk.cells import CellError, from_json, read_field, read_override, spreadsheet_leftover
from infra.operate.bulk.rows import LEFT_OUT, TOKEN

OURS = "passwire_"
"""Columns of a reject file begin so; when it is mended and imported, they say nothing."""
ATTRIBUTES = ("pass_id", "template", "voided", "delete_after", "authentication_token")
MAPS = ("fields", "overrides", "images", "attributes")
SERIAL_NUMBER = "serial_number"
CHECKED_BY_PARSE = frozenset({"pass_id", "template", "voided", "fields", "overrides", "images", "authentication_token"})
"""Attributes whose numbers `PassItem.parse` checks, or refuses."""


class ColumnsError(RefusedError):
    """The columns of a file cannot make passes: nothing was written."""


class Columns:
    """How rows become items.

    Args:
        mapping: `--map`, by column.
        pass_type: of rows that have a serial number alone.
        template: of rows that name none; None where all must.
        templates: the stage's.
        cells: whether strings are text to be read, as in CSV, and not values already, as in JSON.
        image_key: makes the key of an image out of a key or the name of a file, which it uploads.
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
    ) -> None:
        self._mapping = mapping
        self._pass_type = pass_type
        self._default = templates.get(template) if template is not None else None
        self._templates = templates
        self._cells = cells
        self._image_key = image_key
        self._targets: dict[str, tuple[str, str]] = {}

    @property
    def template(self) -> Template | None:
        """Of rows that name none."""
        return self._default

    @property
    def token_columns(self) -> frozenset[str]:
        """Those that hold authentication tokens."""
        of_tokens = ((TOKEN, ""), ("attributes", TOKEN))
        return frozenset(column for column, target in self._targets.items() if target in of_tokens)

    def take(self, columns: Iterable[str]) -> None:
        """Find out what each column of a file is.

        Raises:
            ColumnsError: one is nothing, two are the same, or one that is needed is missing.
        """
        names = list(columns)
        if absent := sorted(set(self._mapping) - set(names)):
            raise ColumnsError(
                f"--map: there is no column {_listed(absent)}; the file has {_listed(names)}; nothing was written"
            )
        unknown: list[str] = []
        for name in names:
            target = self._target(name)
            if target is None:
                unknown.append(name)
            elif target in self._targets.values() and target[0]:
                raise ColumnsError(f"two columns are {_named(target)}; leave one out: --map {name!r}=")
            else:
                self._targets[name] = target
        if unknown:
            raise ColumnsError(self._explained(unknown))
        self._require()

    def _target(self, column: str) -> tuple[str, str] | None:
        """What a column is: an attribute, or a map and a key in it; ("", "") where it is left out, None for nothing."""
        text = self._mapping.get(column, column)
        if (not text and column in self._mapping) or column.startswith(OURS):
            return "", ""
        if text in (*ATTRIBUTES, *MAPS, SERIAL_NUMBER):
            return text, ""
        where, _, key = text.partition(".")
        if where == "fields" and key:
            return (where, key) if self._default is None or key in self._default.places else None
        if where in MAPS and key:
            return where, key
        return ("fields", text) if self._default is not None and text in self._default.places else None

    def _explained(self, unknown: list[str]) -> str:
        on_rows = f"column {_listed(unknown)}: "
        if self._default is None:
            on_rows += "is no attribute of a pass; give --template NAME so that fields are known by their keys, "
        else:
            fields = ", ".join(sorted(self._default.places))
            on_rows += (
                f"is no field of template '{self._default.name}' (those are {fields}), nor an attribute of a pass; "
            )
        first = unknown[0]
        return (
            f"{on_rows}name what it is with --map {first!r}=TARGET, or leave it out with --map {first!r}=; "
            "nothing was written"
        )

    def _require(self) -> None:
        targets = {target for target, _ in self._targets.values()}
        if not targets & {"pass_id", SERIAL_NUMBER}:
            raise ColumnsError(
                f"no column is the serial number; the file has {_listed(self._targets)}: name one, such as "
                f"--map {next(iter(self._targets), 'number')!r}=serial_number; nothing was written"
            )
        if SERIAL_NUMBER in targets and self._pass_type is None:
            raise ColumnsError("serial numbers alone need their pass type: give --type; nothing was written")
        if {"pass_id", SERIAL_NUMBER} <= targets:
            raise ColumnsError(
                "both pass_id and serial_number are there; leave one out with --map; nothing was written"
            )
        if "template" not in targets and self._default is None:
            raise ColumnsError("no column is the template; give --template NAME; nothing was written")

    def item(self, values: Mapping[str, object]) -> dict[str, Any]:
        """The item of a row, whole and proven against its template.

        Raises:
            RefusedError: it cannot become a pass.
            TemplateStoreError: its template could not be read.
        """
        if self._cells:
            self._refuse_leftovers(values)
        given, members = self._sorted(values)
        item: dict[str, Any] = {"pass_id": self._pass_id(given)}
        template = given.pop("template", self._default.name if self._default else None)
        if template is not None:
            item["template"] = template
        of = self._templates.get(template) if isinstance(template, str) and template else None
        item.update({name: self._read(item["pass_id"], name, value) for name, value in given.items()})
        for name, key, value in members:
            self._put(item, name, key, self._member(item["pass_id"], of, name, key, value))
        own = item.pop("attributes", {})
        if not isinstance(own, dict):
            raise ItemError(item["pass_id"], "attributes", "must be a map of the pipeline's own attributes")
        _drop_nulls(item)
        item = {**own, **item}
        for name, value in item.items():
            if name not in CHECKED_BY_PARSE:
                _check_numbers(item["pass_id"], name, value)
        if item.get(TOKEN) == LEFT_OUT:
            raise ItemError(
                item["pass_id"], TOKEN, "was left out of the file of refused rows; copy it from the file before that"
            )
        parsed = PassItem.parse(item)
        _check_delete_after(item)
        validate(of or self._templates.get(parsed.template), parsed)
        return item

    def _sorted(self, values: Mapping[str, object]) -> tuple[dict[str, object], list[tuple[str, str, object]]]:
        """What a row says of attributes, and of members of maps."""
        given: dict[str, object] = {}
        members: list[tuple[str, str, object]] = []
        for column, value in values.items():
            where, key = self._targets[column]
            if key and value is not None:
                members.append((where, key, value))
            elif where and value is not None:
                given[where] = value
        return given, members

    def _refuse_leftovers(self, values: Mapping[str, object]) -> None:
        """Refuse formulas and error values of spreadsheets, in columns that are imported."""
        for column, value in values.items():
            if not isinstance(value, str) or not value.startswith(("=", "#")) or not self._targets[column][0]:
                continue
            if problem := spreadsheet_leftover(value):
                raise RefusedError(
                    f"column {column!r}: {value[:MAX_SHOWN]!r} {problem}; write the value itself, as plain text"
                )

    @staticmethod
    def _put(item: dict[str, Any], name: str, key: str, value: object) -> None:
        """Into a map, over what a column of the whole map says."""
        whole = item.setdefault(name, {})
        if not isinstance(whole, dict):
            raise ItemError(item["pass_id"], name, "must be a map")
        whole[key] = value

    def _pass_id(self, given: dict[str, object]) -> str:
        named = "pass_id" in given
        value = given.pop("pass_id", None) if named else given.pop(SERIAL_NUMBER, None)
        if isinstance(value, Decimal | int) and not isinstance(value, bool):
            try:
                check_number(value)
            except NumberError as error:
                raise RefusedError(f"the serial number {error}") from None
            value = str(int(value)) if value == int(value) else str(value)
        if not isinstance(value, str) or not value:
            raise RefusedError("the row has no serial number")
        return str(PassId.parse(value) if named else PassId(self._pass_type or "", value))

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
            return value  # _check_delete_after says what is wrong with it
        except CellError as error:
            raise _item_error(pass_id, name, error) from None

    def _member(self, pass_id: str, template: Template | None, name: str, key: str, value: object) -> object:
        if name == "images" and isinstance(value, str) and self._image_key is not None:
            return self._image_key(value)
        if isinstance(value, datetime):
            if value.tzinfo is None:
                raise ItemError(pass_id, f"{name}.{key}", "is a time without a time zone; phones need one")
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
    """Take the null members out of an item's maps, as null is an absent value wherever a file has it.

    A field's own keys are such members too; what is deeper is a value of Apple's and is checked as it is.
    """
    for name in ("fields", "overrides"):
        if isinstance(item.get(name), dict):
            item[name] = {key: value for key, value in item[name].items() if value is not None}
    if isinstance(fields := item.get("fields"), dict):
        for key, field in fields.items():
            if isinstance(field, dict):
                fields[key] = {inner: part for inner, part in field.items() if part is not None}


def _item_error(pass_id: str, attribute: str, error: CellError) -> ItemError:
    return ItemError(pass_id, f"{attribute}.{error.path}" if error.path else attribute, error.problem)


def _check_numbers(pass_id: str, path: str, value: object) -> None:
    """Refuse what DynamoDB does not hold, the pipeline's own attributes included, before anything computes with it."""
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
    """DynamoDB disregards what is no number, and the pass would never go."""
    value = item.get("delete_after")
    whole = isinstance(value, int | Decimal) and not isinstance(value, bool) and value == int(value)
    if value is not None and not whole:
        raise ItemError(item["pass_id"], "delete_after", f"{value!r} must be a whole number: epoch seconds")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)


def _named(target: tuple[str, str]) -> str:
    return ".".join(part for part in target if part)

"""Converts values of pass items to the JSON and the cells of files, and back.

JSON is exact: values that DynamoDB can store and JSON cannot contain are written in DynamoDB's own notation, as
`{"$dynamodb": {"SS": [...]}}`. A cell is text, as in CSV: a field's text is written as it is, its number too if the
template's field is a number, and anything else as a JSON object. Both are read back as what was written; only a plain
value of a field may be read back as `{"value": ...}`, which has the same effect in a pass.
"""

import base64
import binascii
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from boto3.dynamodb.types import TypeSerializer

from chalicelib.core.numbers import MAX_DIGITS, MAX_SHOWN, NumberError, parse_number
from chalicelib.passes.format.check import override_problem
from chalicelib.passes.format.keys import OVERRIDABLE_KEYS
from chalicelib.passes.template import Template

TYPED = "$dynamodb"
SCALARS = frozenset({str, int, bool, Decimal, type(None)})
SPREADSHEET_ERRORS = frozenset(
    {"#CALC!", "#DIV/0!", "#N/A", "#NAME?", "#NULL!", "#NUM!", "#REF!", "#SPILL!", "#VALUE!", "#GETTING_DATA"}
)
_JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_SERIALIZER = TypeSerializer()


def to_dynamodb(value: object) -> dict[str, Any]:
    """Convert a value to DynamoDB's JSON; rare types with boto3's serializer, which is slower.

    Raises:
        TypeError, ArithmeticError: DynamoDB cannot store the value.
    """
    match value:
        case str():
            return {"S": value}
        case bool():
            return {"BOOL": value}
        case Mapping():
            return {"M": {str(key): to_dynamodb(member) for key, member in value.items()}}
        case list() | tuple():
            return {"L": [to_dynamodb(member) for member in value]}
    return dict(_SERIALIZER.serialize(value))


class CellError(ValueError):
    """A text is not a valid value of its column.

    Args:
        problem: what is wrong.
        path: path within the text's JSON, such as `gate.value`; empty for the whole text.
    """

    def __init__(self, problem: str, path: str = "") -> None:
        super().__init__(f"{path}: {problem}" if path else problem)
        self.problem = problem
        self.path = path

    def within(self, step: str) -> "CellError":
        """Return the same error with its path prefixed by `step`, a key or `[index]`."""
        dot = "" if not self.path or self.path.startswith("[") else "."
        return CellError(self.problem, f"{step}{dot}{self.path}")


@dataclass(frozen=True, slots=True)
class _Unusable:
    """A number in a JSON text that DynamoDB cannot store, or an object that is ambiguous, until its path is known."""

    problem: str


def to_json(value: object) -> str:
    """Return a value of an item as JSON on one line."""
    return json.dumps(_jsonable(value), separators=(",", ":"), ensure_ascii=False)


def from_json(text: str) -> Any:  # noqa: ANN401 - any JSON
    """Parse what `to_json` wrote, or any other JSON; numbers become Decimal or int.

    Raises:
        CellError: the text is not JSON, or contains a number that DynamoDB cannot store, or a key twice in one object.
    """
    return _read(text, _plain)


def from_plain_json(text: str) -> Any:  # noqa: ANN401 - any JSON
    """Parse JSON without the notation for DynamoDB's types; numbers become Decimal or int.

    Raises:
        CellError: as `from_json`.
    """
    return _read(text, _as_it_is)


def field_cell(template: Template | None, key: str, value: object) -> str:
    """Return the cell for a value of `fields`."""
    numeric = holds_number(template, key)
    if isinstance(value, str):
        as_is = value and not _is_object(value) and not (numeric and _JSON_NUMBER.fullmatch(value))
        as_is = as_is and not spreadsheet_leftover(value)
        return value if as_is else to_json({"value": value})
    if isinstance(value, Mapping):
        return to_json(value)
    return to_json(value) if numeric else to_json({"value": value})


def read_field(template: Template | None, key: str, cell: str) -> object:
    """Parse a cell as a value of `fields`: a map, a number if the template's field is one, else the text.

    Raises:
        CellError: the cell is invalid JSON or contains a number that DynamoDB cannot store.
    """
    if _is_object(cell):
        return from_json(cell)
    if holds_number(template, key) and _JSON_NUMBER.fullmatch(cell):
        return _number(cell)
    return cell


def read_override(key: str, cell: str) -> object:
    """Parse a cell as a value of `overrides`, with the type of Apple's key; for other keys, the text.

    Raises:
        CellError: the value does not have the type of the key.
    """
    if key not in OVERRIDABLE_KEYS or key == "userInfo":
        return from_json(cell) if _is_object(cell) else cell
    problem = ""
    for read in (str, from_json):
        try:
            value = read(cell)
        except CellError as error:
            if _JSON_NUMBER.fullmatch(cell):
                problem = str(error)
            continue
        problem = "must not be null" if value is None else override_problem(key, _jsonable(value))
        if not problem:
            return value
    raise CellError(problem)


def spreadsheet_leftover(cell: str) -> str:
    """Return what is wrong with a cell that contains a spreadsheet's formula or error value; else an empty text.

    Formulas such as `="0012"` prevent spreadsheets from dropping leading zeros; as text, their quotes and equals sign
    would become part of the value. A text that really begins with `=` is written as `{"value": "=..."}`.
    """
    if cell.startswith("="):
        return "is a spreadsheet's formula"
    return "is a spreadsheet's error value" if cell in SPREADSHEET_ERRORS else ""


def holds_number(template: Template | None, key: str) -> bool:
    """Return True if the template's field with this key is a number."""
    for place in template.places.get(key, ()) if template else ():
        field = template.content[place.style][place.group][place.index] if template else {}
        value = field.get("value")
        if isinstance(value, int | float) and not isinstance(value, bool):
            return True
        if "numberStyle" in field or "currencyCode" in field:
            return True
    return False


def _is_object(text: str) -> bool:
    if not text.startswith("{"):
        return False
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _jsonable(value: object) -> object:
    """Convert a value to one that JSON can contain exactly."""
    match value:
        case None | bool() | str() | int():
            return value
        case Decimal():
            if value == value.to_integral_value():
                return int(value)
            return float(value) if Decimal(repr(float(value))) == value else {TYPED: {"N": str(value)}}
        case Mapping():
            members = {str(key): _jsonable(member) for key, member in value.items()}
            return {TYPED: {"M": members}} if TYPED in members else members
        case list() | tuple():
            return [_jsonable(member) for member in value]
    (descriptor, content), *_ = _SERIALIZER.serialize(value).items()
    return {TYPED: {descriptor: json.loads(json.dumps(content, default=lambda b: base64.b64encode(b).decode()))}}


def _read(text: str, convert: Callable[[object], object]) -> object:
    try:
        return convert(
            json.loads(
                text,
                parse_int=_whole,
                parse_float=_decimal,
                parse_constant=_constant,
                object_pairs_hook=_object,
            )
        )
    except CellError:
        raise
    except (ValueError, RecursionError) as error:
        raise CellError(f"is not JSON: {error}") from None


def _whole(text: str) -> int | _Unusable:
    if len(text) <= MAX_DIGITS:
        return int(text)
    found = _decimal(text)
    return found if isinstance(found, _Unusable) else int(found)


def _decimal(text: str) -> Decimal | _Unusable:
    """Parse a number that matches JSON's grammar; short numbers without an exponent are never out of range."""
    if len(text) <= MAX_DIGITS and "e" not in text and "E" not in text:
        return Decimal(text)
    try:
        return parse_number(text)
    except NumberError as error:
        return _Unusable(str(error))


def _object(members: list[tuple[str, Any]]) -> dict[str, Any] | _Unusable:
    """Make an object of its members. With a key twice, it is open which value is meant (RFC 8259, section 4)."""
    found = dict(members)
    if len(found) == len(members):
        return found
    twice = next(key for key, count in Counter(key for key, _ in members).items() if count > 1)
    return _Unusable(f"has the key {twice[:MAX_SHOWN]!r} more than once")


def _constant(name: str) -> _Unusable:
    return _Unusable(f"{name} is not a JSON number")


def _number(text: str) -> Decimal:
    try:
        return parse_number(text)
    except NumberError as error:
        raise CellError(str(error)) from None


def _as_it_is(value: object) -> object:
    return _members(value, _as_it_is)


def _plain(value: object) -> object:
    if isinstance(value, dict) and set(value) == {TYPED}:
        return _typed(value[TYPED])
    return _members(value, _plain)


def _members(value: object, convert: Callable[[object], object]) -> object:
    """Convert the members of a value; errors contain the path of the member."""
    match value:
        case _Unusable(problem):
            raise CellError(problem)
        case dict():
            return {
                key: member if type(member) in SCALARS else _converted(str(key), member, convert)
                for key, member in value.items()
            }
        case list():
            return [_converted(f"[{index}]", member, convert) for index, member in enumerate(value)]
    return value


def _converted(step: str, value: object, convert: Callable[[object], object]) -> object:
    try:
        return convert(value)
    except CellError as error:
        raise error.within(step) from None


def _typed(given: object) -> object:
    """Parse a value in DynamoDB's notation, such as `{"SS": ["a", "b"]}`."""
    if isinstance(given, dict) and len(given) == 1:
        ((descriptor, content),) = given.items()
        expected, read = _NOTATION.get(descriptor, (None, None))
        if expected is not None and read is not None and isinstance(content, expected):
            return read(content)
    raise CellError('is not in DynamoDB\'s notation, such as {"N": "1.5"} or {"SS": ["a", "b"]}')


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text)
    except binascii.Error as error:
        raise CellError(f"is not base64: {error}") from None


def _set(read: Callable[[str], object]) -> Callable[[list[object]], object]:
    def members(texts: list[object]) -> object:
        return {_converted(f"[{index}]", text, lambda text: read(str(text))) for index, text in enumerate(texts)}

    return members


def _list(members: list[object]) -> object:
    return [_converted(f"[{index}]", member, _typed) for index, member in enumerate(members)]


_NOTATION: Mapping[str, tuple[type, Callable[[Any], object]]] = {
    "S": (str, str),
    "N": (str, _number),
    "BOOL": (bool, bool),
    "NULL": (bool, lambda _: None),
    "B": (str, _bytes),
    "M": (dict, lambda members: _members(members, _plain)),
    "L": (list, _list),
    "SS": (list, _set(str)),
    "NS": (list, _set(_number)),
    "BS": (list, _set(_bytes)),
}
"""By type descriptor: the type in JSON, and the function that parses it."""

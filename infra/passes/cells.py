"""Values of a pass item as the JSON and the cells of a file, and back.

JSON is exact: what DynamoDB can hold and JSON cannot stands as `{"$dynamodb": {"SS": [...]}}`, in DynamoDB's own
notation. A cell is text, as CSV has it: a field's text stands as it is, its number too where the template's field is a
number, and anything else as a JSON object. Both are read back as what they were written from; only a plain value in a
field may come back as `{"value": it}`, which is the same to a pass.
"""

import base64
import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, NoReturn

from boto3.dynamodb.types import Binary, TypeDeserializer, TypeSerializer
from pydantic import TypeAdapter, ValidationError

from chalicelib.domain.template import Template
from infra.templates.model import Pass

TYPED = "$dynamodb"
_JSON_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
_SERIALIZER, _DESERIALIZER = TypeSerializer(), TypeDeserializer()


def to_dynamodb(value: object) -> dict[str, Any]:
    """A value as DynamoDB takes it; boto3's own serializer, which asks twenty questions of each value, for the rare.

    Raises:
        TypeError, ArithmeticError: DynamoDB cannot hold it.
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
    """A text that cannot be read as what its column holds."""


def to_json(value: object) -> str:
    """A value of an item on one line."""
    return json.dumps(_jsonable(value), separators=(",", ":"), ensure_ascii=False)


def from_json(text: str) -> Any:  # noqa: ANN401 - what it is, is for the caller to find out
    """What `to_json` wrote, or anybody's JSON; numbers as Decimal or int.

    Raises:
        CellError: it is no JSON.
    """
    try:
        return _plain(json.loads(text, parse_float=Decimal, parse_constant=_refuse_constant))
    except (ValueError, ArithmeticError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise CellError(f"is not JSON: {error}") from None


def field_cell(template: Template | None, key: str, value: object) -> str:
    """A value of `fields` as a cell."""
    numeric = holds_number(template, key)
    if isinstance(value, str):
        as_is = value and not _is_object(value) and not (numeric and _JSON_NUMBER.fullmatch(value))
        return value if as_is else to_json({"value": value})
    if isinstance(value, Mapping):
        return to_json(value)
    return to_json(value) if numeric else to_json({"value": value})


def read_field(template: Template | None, key: str, cell: str) -> object:
    """A cell as a value of `fields`: a map, a number where the template's field is one, else the text."""
    if _is_object(cell):
        return from_json(cell)
    if holds_number(template, key) and _JSON_NUMBER.fullmatch(cell):
        return Decimal(cell)
    return cell


def read_override(key: str, cell: str) -> object:
    """A cell as a value of `overrides`, of the type that Apple's key has; of a key that is not Apple's, the text.

    Raises:
        CellError: it is not of that type.
    """
    if key not in Pass.model_fields:
        return from_json(cell) if _is_object(cell) else cell
    described = Pass.model_fields[key]
    typed: TypeAdapter[Any] = TypeAdapter(Annotated[described.annotation, *described.metadata, None])
    problem = ""
    for read in (str, from_json):
        try:
            value = read(cell)
            typed.validate_python(_jsonable(value), strict=True)
        except CellError:
            continue
        except ValidationError as error:
            problem = error.errors()[0]["msg"].removeprefix("Value error, ")
            continue
        return value
    raise CellError(f"{cell!r}: {problem}")


def holds_number(template: Template | None, key: str) -> bool:
    """Whether the template's field of that key is a number."""
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
    """The same in what JSON knows, exactly."""
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


def _plain(value: object) -> object:
    if isinstance(value, list):
        return [_plain(member) for member in value]
    if not isinstance(value, dict):
        return value
    if set(value) != {TYPED}:
        return {key: _plain(member) for key, member in value.items()}
    ((descriptor, content),) = value[TYPED].items()
    if descriptor == "M":
        return {key: _plain(member) for key, member in content.items()}
    if descriptor == "B":
        content = base64.b64decode(content)
    elif descriptor == "BS":
        content = [base64.b64decode(member) for member in content]
    read = _DESERIALIZER.deserialize({descriptor: content})
    if isinstance(read, Binary):
        return bytes(read)
    return {bytes(m) if isinstance(m, Binary) else m for m in read} if isinstance(read, set) else read


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")

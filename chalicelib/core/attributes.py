"""Conversion of DynamoDB's attribute values (`{"S": "text"}`), the form of stream images and responses, to Python's."""

from base64 import b64decode
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from chalicelib.core.errors import RefusedError

AttributeValue = Mapping[str, Any]
"""A mapping with one key, the type descriptor, which decides the form of the value (AWS, "AttributeValue")."""


def plain_item(item: Mapping[str, AttributeValue]) -> dict[str, object]:
    """Convert the attributes of an item to Python values, by name.

    Raises:
        RefusedError: a value is not in DynamoDB's form.
    """
    return {name: plain_value(value) for name, value in item.items()}


def plain_value(value: AttributeValue) -> object:
    """Convert an attribute value to str, Decimal, bool, None, bytes, list, dict or frozenset.

    Raises:
        RefusedError: the value is not in DynamoDB's form.
    """
    try:
        ((descriptor, content),) = value.items()
        return _READERS[descriptor](content)
    except (LookupError, ValueError, TypeError, AttributeError, InvalidOperation) as error:
        raise RefusedError("an attribute value is not in DynamoDB's form, {type: value}") from error


def _binary(content: str | bytes) -> bytes:
    """Read a binary value: base64 text in the stream records that Lambda receives, bytes in botocore's responses."""
    return content if isinstance(content, bytes) else b64decode(content)


_READERS: Mapping[str, Callable[[Any], object]] = {
    "S": str,
    "N": Decimal,
    "BOOL": bool,
    "NULL": lambda _: None,
    "M": plain_item,
    "L": lambda members: [plain_value(member) for member in members],
    "B": _binary,
    "SS": frozenset,
    "NS": lambda members: frozenset(map(Decimal, members)),
    "BS": lambda members: frozenset(map(_binary, members)),
}

"""Parses the values of passes on the command line: `gate=B22` for text, `points:=1200` for any other JSON value."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from chalicelib.core.links import MAX_LIFETIME_SECONDS
from infra.core.moments import parse_duration
from infra.operate.bulk.cells import CellError, from_plain_json

UNSETTABLE = ("fields", "overrides", "images", "attributes")
PATHS = "fields.KEY, overrides.KEY, images.NAME, attributes.NAME"


class CliValueError(ValueError):
    """A value is invalid; the message says how to write it."""


def read_fields(pairs: Iterable[str]) -> dict[str, object]:
    """Parse `key=text` and `key:=JSON`.

    Returns:
        Values for DynamoDB by field key.

    Raises:
        CliValueError: a pair has no key, or the text after `:=` is not JSON.
    """
    fields: dict[str, object] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.rstrip(":"):
            raise CliValueError(f"{pair!r} is not a field; write key=text, or key:=JSON for numbers and maps")
        fields[key.removesuffix(":")] = _json(pair, text) if key.endswith(":") else text
    return fields


def read_overrides(text: str) -> dict[str, object]:
    """Parse a JSON object of top-level keys of pass.json.

    Raises:
        CliValueError: the text is not a JSON object.
    """
    overrides = _json(text, text)
    if not isinstance(overrides, dict):
        raise CliValueError(f'{text!r} is not a JSON object; write one such as {{"relevantDate": "2026-12-01T08:00Z"}}')
    return overrides


def read_unset(names: Iterable[str]) -> tuple[str, ...]:
    """Parse names of values to remove: a field's key, or a path such as `overrides.relevantDate`.

    Returns:
        Paths for `ItemChange.unset`.

    Raises:
        CliValueError: a name is empty, or names what every item must have.
    """
    paths: list[str] = []
    for name in names:
        where, dot, key = name.partition(".")
        path = name if dot and where in UNSETTABLE else f"fields.{name}"
        if not name or (where in UNSETTABLE and dot and not key):
            raise CliValueError(f"{name!r} names no value; write a field's key, or {PATHS}")
        if path in ("attributes.pass_id", "attributes.template"):
            raise CliValueError(f"{name!r}: every item must have it")
        paths.append(path)
    return tuple(paths)


def read_lifetime(text: str) -> timedelta:
    """Parse the lifetime of a link, such as `15m`, `12h`, `7d` or `2w`.

    Raises:
        CliValueError: the text is not a lifetime, or exceeds the maximum lifetime of a link.
    """
    seconds = parse_duration(text)
    if not seconds:
        raise CliValueError(f"{text!r} is not a lifetime; write one such as 15m, 12h, 7d")
    if seconds > MAX_LIFETIME_SECONDS:
        raise CliValueError(f"{text!r} is too long; a link is valid for at most {MAX_LIFETIME_SECONDS // 86_400} days")
    return timedelta(seconds=seconds)


def _json(whole: str, text: str) -> Any:  # noqa: ANN401 - any JSON
    try:
        return from_plain_json(text)
    except CellError as error:
        raise CliValueError(f"{whole!r}: {error}") from None

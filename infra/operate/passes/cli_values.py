"""What a person gives on the command line for a pass: `gate=B22` for texts, `points:=1200` for everything else."""

import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from chalicelib.core.links import MAX_LIFETIME_SECONDS
from infra.operate.bulk.cells import CellError, from_plain_json

_LIFETIME = re.compile(r"([1-9]\d{0,5})([mhd])")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


class CliValueError(ValueError):
    """It cannot be read; the message says how it is written."""


def read_fields(pairs: Iterable[str]) -> dict[str, object]:
    """Values by field key, as DynamoDB takes them.

    Raises:
        CliValueError: a pair is none, or what follows `:=` is not JSON.
    """
    fields: dict[str, object] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.rstrip(":"):
            raise CliValueError(f"{pair!r} is not key=text, nor key:=JSON for numbers and maps")
        fields[key.removesuffix(":")] = _json(pair, text) if key.endswith(":") else text
    return fields


def read_overrides(text: str) -> dict[str, object]:
    """Top-level keys of pass.json, from a JSON object.

    Raises:
        CliValueError: it is none.
    """
    overrides = _json(text, text)
    if not isinstance(overrides, dict):
        raise CliValueError('it must be a JSON object such as {"relevantDate": "2026-12-01T08:00Z"}')
    return overrides


def read_lifetime(text: str) -> timedelta:
    """How long a link works.

    Raises:
        CliValueError: it is not so many minutes, hours or days, or more than a link may live.
    """
    found = _LIFETIME.fullmatch(text)
    if not found:
        raise CliValueError(f"{text!r} is not a lifetime; write minutes, hours or days, as 15m, 12h, 7d")
    lifetime = int(found[1]) * _UNITS[found[2]]
    if lifetime.total_seconds() > MAX_LIFETIME_SECONDS:
        raise CliValueError(f"{text!r}: a link lives at most {MAX_LIFETIME_SECONDS // 86_400} days")
    return lifetime


def _json(whole: str, text: str) -> Any:  # noqa: ANN401 - any JSON
    try:
        return from_plain_json(text)
    except CellError as error:
        raise CliValueError(f"{whole!r}: {error}") from None

"""Tests of parsing the values of passes on the command line."""

from datetime import timedelta
from decimal import Decimal

import pytest

from infra.operate.passes.cli_values import CliValueError, read_fields, read_lifetime, read_overrides


def test_text_and_json_fields_are_parsed() -> None:
    assert read_fields(["gate=B22", "note=a=b", "points:=1200", 'seat:={"label": "S", "value": 1.5}', "empty="]) == {
        "gate": "B22",
        "note": "a=b",
        "points": 1200,
        "seat": {"label": "S", "value": Decimal("1.5")},
        "empty": "",
    }


@pytest.mark.parametrize("pair", ["gate", "=B22", ":=1", ""])
def test_field_without_a_key_is_refused(pair: str) -> None:
    with pytest.raises(CliValueError, match="is not a field; write key=text, or key:=JSON"):
        read_fields([pair])


NUMBERS = ["1e10000000", "1e126", "0.1234567890123456789012345678901234567890123", "Infinity", "NaN", "1" * 5000]


@pytest.mark.parametrize("json", [*NUMBERS, "[" * 100_000, "{", "nul"])
def test_invalid_json_and_numbers_that_dynamodb_cannot_store_are_refused(json: str) -> None:
    with pytest.raises(CliValueError, match=r"points:="):
        read_fields([f"points:={json}"])
    with pytest.raises(CliValueError):
        read_overrides(f'{{"maxDistance": {json}}}')


def test_overrides_are_a_json_object() -> None:
    assert read_overrides('{"maxDistance": 50}') == {"maxDistance": 50}
    with pytest.raises(CliValueError, match="is not a JSON object; write one such as"):
        read_overrides("[1]")


@pytest.mark.parametrize(
    ("text", "lifetime"),
    [
        ("15m", timedelta(minutes=15)),
        ("12h", timedelta(hours=12)),
        ("7d", timedelta(days=7)),
        ("2w", timedelta(days=14)),
    ],
)
def test_lifetime_is_parsed(text: str, lifetime: timedelta) -> None:
    assert read_lifetime(text) == lifetime


@pytest.mark.parametrize("text", ["", "0d", "7", "1.5h", "7y", "-1d", "\u0667d", "1 d"])
def test_invalid_lifetime_is_refused(text: str) -> None:
    with pytest.raises(CliValueError, match="is not a lifetime; write one such as 15m"):
        read_lifetime(text)


def test_lifetime_above_the_maximum_is_refused() -> None:
    with pytest.raises(CliValueError, match="'9999d' is too long; a link is valid for at most"):
        read_lifetime("9999d")

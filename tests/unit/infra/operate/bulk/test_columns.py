"""Tests of rows against Apple's format: null is absent, and values that phones refuse are rejected with their path."""

import json
from pathlib import Path

import pytest

from chalicelib.aws.templates import Templates
from chalicelib.core.errors import RefusedError
from infra.operate.bulk.columns import Columns
from infra.operate.bulk.rows import open_rows
from infra.operate.passes.cli_values import CliValueError, read_fields


def items(path: Path) -> list[object]:
    """Return the item of each row, or the reason why it is refused."""
    file = open_rows(path)
    columns = Columns(
        mapping={}, pass_type="pass.com.acme", template="boarding", templates=Templates(), cells=file.cells
    )
    columns.take(file.columns)
    found: list[object] = []
    for row in file.rows():
        if row.problem:
            found.append(row.problem)
            continue
        try:
            found.append(columns.item(row.values))
        except RefusedError as error:
            found.append(str(error))
    return found


def read_json(tmp_path: Path, *rows: str) -> list[object]:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(rows))
    return items(path)


def read_csv(tmp_path: Path, text: str) -> list[object]:
    path = tmp_path / "rows.csv"
    path.write_text(text)
    return items(path)


def test_null_in_a_row_is_an_absent_value(tmp_path: Path) -> None:
    item = {"pass_id": "pass.com.acme/A", "template": "boarding"}
    assert read_json(tmp_path, '{"serial_number":"A","gate":null}') == [item]
    assert read_json(tmp_path, '{"serial_number":"A","fields":null,"voided":null}') == [item]
    assert read_csv(tmp_path, "serial_number,gate\nA,\n") == [item]


@pytest.mark.parametrize(
    ("row", "path"),
    [
        ({"overrides.relevantDate": 1718000000}, "overrides.relevantDate"),
        ({"overrides.backgroundColor": "Black"}, "overrides.backgroundColor"),
        ({"fields": {"gate": {"textAlignment": "center"}}}, "fields.gate.textAlignment"),
        ({"overrides": {"locations": [{"latitude": None, "longitude": 1.5}]}}, "overrides.locations[0].latitude"),
        ({"gate": "\ud83c"}, "fields.gate"),
    ],
)
def test_row_that_phones_would_refuse_is_rejected_with_its_path(
    tmp_path: Path, row: dict[str, object], path: str
) -> None:
    (reason,) = read_json(tmp_path, json.dumps({"serial_number": "A", **row}))
    assert path in str(reason)


def test_number_of_43_digits_is_rejected_in_a_sentence(tmp_path: Path) -> None:
    digits = "0.1234567890123456789012345678901234567890123"
    (reason,) = read_json(tmp_path, f'{{"serial_number":"A","gate":{digits}}}')
    assert "has 43 digits; DynamoDB stores at most 38" in str(reason)
    with pytest.raises(CliValueError, match="has 43 digits"):
        read_fields([f"gate:={digits}"])
    with pytest.raises(CliValueError, match="has 5000 digits"):
        read_fields(["gate:=" + "1" * 5000])
    with pytest.raises(CliValueError, match="is not JSON"):
        read_fields(["gate:=" + "[" * 100_000])


@pytest.mark.parametrize(
    ("cell", "problem"),
    [("1718000000", "must be a date"), ("soon", "must be a date"), ("2026-12-24T18:30Z", "")],
)
def test_cell_is_parsed_with_the_type_of_apples_key(tmp_path: Path, cell: str, problem: str) -> None:
    (found,) = read_csv(tmp_path, f"serial_number,overrides.relevantDate\nA,{cell}\n")
    if problem:
        assert problem in str(found)
    else:
        assert isinstance(found, dict)
        assert found["overrides"] == {"relevantDate": cell}

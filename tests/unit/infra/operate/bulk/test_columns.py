"""Tests of rows against Apple's format: null is absent, and values that phones refuse are rejected with their path."""

import json
from pathlib import Path
from typing import Any

import pytest

from chalicelib.aws.templates import Templates
from chalicelib.core.errors import ConfigurationError, RefusedError
from infra.operate.bulk.columns import Columns, ColumnsError, MappingError
from infra.operate.bulk.files.kinds import open_rows
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


def columns(mapping: dict[str, str] | None = None, **options: Any) -> Columns:  # noqa: ANN401 - of Columns
    return Columns(
        mapping=mapping or {},
        pass_type="pass.com.acme",
        template="boarding",
        templates=Templates(),
        cells=True,
        **options,
    )


@pytest.mark.parametrize(
    ("target", "nearest"),
    [
        ("gaet", "gate"),
        ("fields.gaet", "fields.gate"),
        ("field.gate", "fields.gate"),
        ("serialnumber", "serial_number"),
        ("overrides.relevantDat", "overrides.relevantDate"),
        ("override.relevantDate", "overrides.relevantDate"),
        ("attribute", "attributes"),
        ("Template", "template"),
    ],
)
def test_typo_in_a_target_is_named_with_the_nearest_target(target: str, nearest: str) -> None:
    with pytest.raises(MappingError) as refused:
        columns({"No": "serial_number", "x": target}).take(["No", "x"])
    message = str(refused.value)
    assert message.startswith(f"--map x={target}: {target!r} is neither a field of template 'boarding'")
    assert f"did you mean {nearest!r}? Then give its target with --map x={nearest}, or ignore it with" in message


def test_typo_in_a_column_is_named_with_the_nearest_column() -> None:
    with pytest.raises(MappingError, match="no column 'Gaet', only 'serial_number', 'Gate'; did you mean 'Gate'"):
        columns({"Gaet": "gate"}).take(["serial_number", "Gate"])


@pytest.mark.parametrize(
    ("column", "nearest"), [("Gate", "gate"), ("Gate, new", "gate"), ("Serial Number", "serial_number")]
)
def test_unmapped_column_is_answered_with_the_nearest_target(column: str, nearest: str) -> None:
    with pytest.raises(ColumnsError, match=f"did you mean '{nearest}'"):
        columns().take(["serial_number", column] if nearest == "gate" else [column])


def test_column_like_nothing_gets_no_suggestion() -> None:
    with pytest.raises(ColumnsError) as refused:
        columns().take(["serial_number", "zzzzzz"])
    assert "did you mean" not in str(refused.value)
    assert "--map zzzzzz=TARGET" in str(refused.value)


def test_row_of_a_pass_type_that_cannot_be_signed_is_refused() -> None:
    def check(pass_type: str) -> None:
        if pass_type != "pass.com.acme":
            raise ConfigurationError(f"pass type {pass_type}: no certificate")

    found = columns(check_pass_type=check)
    found.take(["pass_id", "gate"])
    assert found.item({"pass_id": "pass.com.acme/1", "gate": "A1"})["pass_id"] == "pass.com.acme/1"
    with pytest.raises(ConfigurationError, match=r"pass type pass\.com\.other: no certificate"):
        found.item({"pass_id": "pass.com.other/1", "gate": "A1"})

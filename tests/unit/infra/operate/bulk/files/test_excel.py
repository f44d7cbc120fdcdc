"""Tests of reading Excel workbooks: a cell is read as a person sees it, and what Excel has lost is refused."""

import csv
import zipfile
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from infra.operate.bulk.files.base import LINE, REASON, FileError, Row
from infra.operate.bulk.files.kinds import open_rows

Fill = Callable[[Any], object]


def workbook(path: Path, *rows: list[object], fill: Fill = lambda _: None) -> Path:
    """Write a workbook with one sheet."""
    made = openpyxl.Workbook()
    sheet: Any = made.active
    for row in rows:
        sheet.append(row)
    fill(sheet)
    made.save(path)
    return path


def read(path: Path) -> list[Row]:
    return list(open_rows(path).rows())


def test_cells_have_their_types_and_empty_rows_are_passed_over(tmp_path: Path) -> None:
    path = workbook(
        tmp_path / "a.xlsx",
        ["serial_number", " gate ", "points", "voided", "note"],
        ["A-1", "B22", 12, True, None],
        [None, "", None, None, None],
        ["A-2", None, 1.5, False, "x"],
    )
    rows = read(path)
    assert [(row.number, row.line) for row in rows] == [(1, 2), (2, 4)]
    assert rows[0].values == {"serial_number": "A-1", "gate": "B22", "points": 12, "voided": True, "note": None}
    assert rows[1].values["points"] == Decimal("1.5")


@pytest.mark.parametrize(
    ("value", "number_format", "read_as"),
    [
        (12, "0000", "0012"),
        (12345, "0000", "12345"),
        (12, "General", 12),
        (12.0, "0.00", 12),
        (0.1, "General", Decimal("0.1")),
        (datetime(2026, 12, 24, 18, 30), "yyyy-mm-dd hh:mm", "2026-12-24T18:30:00"),  # noqa: DTZ001 - Excel has no zones
        (date(2026, 12, 24), "yyyy-mm-dd", "2026-12-24"),
        (time(18, 30), "hh:mm", "18:30"),
        ("=1+1", "@", None),
    ],
)
def test_cell_is_read_as_it_is_shown(tmp_path: Path, value: object, number_format: str, read_as: object) -> None:
    def fill(sheet: Any) -> None:  # noqa: ANN401 - of openpyxl
        sheet["A2"] = value
        sheet["A2"].number_format = number_format
        if value == "=1+1":
            sheet["A2"].data_type = "f"

    (row,) = read(workbook(tmp_path / "a.xlsx", ["serial_number"], fill=fill))
    if read_as is None:
        assert row.problem.startswith("column 1: is a formula whose result is not in the file")
    else:
        assert row.values == {"serial_number": read_as}


@pytest.mark.parametrize("value", [1234567890123456, -1234567890123456, 1.5e300])
def test_number_that_excel_has_rounded_is_refused(tmp_path: Path, value: float) -> None:
    (row,) = read(workbook(tmp_path / "a.xlsx", ["serial_number"], [value]))
    assert row.problem == "column 1: is a number of more than 15 digits, which Excel rounds; format the column as text"


def test_stored_result_of_a_formula_is_its_value(tmp_path: Path) -> None:
    """Openpyxl stores no results, so that one is put into the sheet's XML, as Excel does."""
    path = workbook(tmp_path / "a.xlsx", ["serial_number"], ["=1+1"])
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    sheet = members["xl/worksheets/sheet1.xml"]
    assert b"<f>1+1</f><v />" in sheet or b"<f>1+1</f><v></v>" in sheet or b"<f>1+1</f><v/>" in sheet
    for empty in (b"<v />", b"<v></v>", b"<v/>"):
        sheet = sheet.replace(b"<f>1+1</f>" + empty, b"<f>1+1</f><v>2</v>")
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**members, "xl/worksheets/sheet1.xml": sheet}.items():
            archive.writestr(name, content)
    (row,) = read(path)
    assert row.values == {"serial_number": 2}


def test_value_outside_of_the_named_columns_is_refused(tmp_path: Path) -> None:
    (row,) = read(workbook(tmp_path / "a.xlsx", ["serial_number", None], ["A", None, "x"]))
    assert row.problem == "has a value in column 3, which has no name in the first row"


@pytest.mark.parametrize("head", [[], ["a", "a"], ["a", None, "b"]], ids=["empty", "twice", "unnamed"])
def test_first_row_must_name_the_columns(tmp_path: Path, head: list[object]) -> None:
    with pytest.raises(FileError, match=r"the first row must|must have rows"):
        open_rows(workbook(tmp_path / "a.xlsx", head, [1, 2, 3] if head else []))


def test_rows_in_two_sheets_are_refused_and_hidden_sheets_are_not_read(tmp_path: Path) -> None:
    def fill(sheet: Any) -> None:  # noqa: ANN401 - of openpyxl
        sheet.parent.create_sheet("Notes").append(["x"])

    with pytest.raises(FileError, match="must have rows in one visible sheet; it has 'Sheet', 'Notes'"):
        open_rows(workbook(tmp_path / "a.xlsx", ["serial_number"], ["A"], fill=fill))

    def hide(sheet: Any) -> None:  # noqa: ANN401 - of openpyxl
        fill(sheet)
        sheet.parent["Notes"].sheet_state = "hidden"

    assert len(read(workbook(tmp_path / "b.xlsx", ["serial_number"], ["A"], fill=hide))) == 1


def test_refused_rows_become_csv_that_can_be_imported(tmp_path: Path) -> None:
    file = open_rows(
        workbook(tmp_path / "a.xlsx", ["serial_number", "note"], ["A", 'x "y"'], ["B", None], ["=C1", "z"])
    )
    text = file.rejects_header() + "".join(file.rejected(row, "is wrong") for row in file.rows())
    path = tmp_path / f"a.rejected{file.rejects_suffix}"
    path.write_text(text)
    assert list(csv.DictReader(path.open())) == [
        {LINE: "2", REASON: "is wrong", "serial_number": "A", "note": 'x "y"'},
        {LINE: "3", REASON: "is wrong", "serial_number": "B", "note": ""},
        {LINE: "4", REASON: "is wrong", "serial_number": "", "note": "z"},
    ]
    assert [row.values["serial_number"] for row in read(path)] == ["A", "B", None]

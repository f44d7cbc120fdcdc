"""Excel workbooks of rows (.xlsx), read with openpyxl.

A cell has the value that Excel stored, as a person sees it: a number that is formatted with leading zeros is text with
these zeros, a date is text in ISO 8601, and a formula is its stored result.
"""

import csv
import io
import math
import re
import zipfile
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import closing
from datetime import date, datetime, time
from decimal import Decimal
from importlib import import_module
from itertools import zip_longest
from pathlib import Path
from typing import Any

from infra.operate.bulk.files.base import LINE, REASON, FileError, Row, RowFile, readable, without_tokens

ZEROS = re.compile(r"0{2,}")
"""A number format that shows leading zeros, such as `0000`."""
MAX_EXACT = 10**15
"""Excel stores numbers with 15 digits ("Excel specifications and limits")."""
MAX_UNPACKED_BYTES = 500_000_000
"""A sheet of a million rows with ten cells has about this size."""


class ExcelFile(RowFile):
    """A workbook with one sheet of rows, whose first row has the column names."""

    cells = True
    rejects_suffix = ".csv"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._openpyxl = import_openpyxl()
        with readable(path, "not an Excel workbook"):
            with zipfile.ZipFile(path) as archive:
                size = sum(member.file_size for member in archive.infolist())
            if size > MAX_UNPACKED_BYTES:
                raise FileError(f"{path}: unpacks to {size:,} bytes, over {MAX_UNPACKED_BYTES:,}; use .csv or .parquet")
            self._sheet = self._find_sheet()
            with closing(self._records()) as records:
                names = next(records, (0, [], ""))
        columns = ["" if cell is None else str(cell).strip() for cell in names[1]]
        while columns and not columns[-1]:
            columns.pop()
        if not columns or "" in columns or len(set(columns)) < len(columns):
            raise FileError(f"{path}: the first row must give each column a different name; nothing was written")
        self._columns = tuple(columns)
        with readable(path, "a damaged Excel workbook"):
            self.size = self._count()

    @property
    def columns(self) -> tuple[str, ...]:
        return self._columns

    def rows(self) -> Iterator[Row]:
        width = len(self._columns)
        with readable(self.path, "a damaged Excel workbook"):
            records = self._records()
            next(records)
            for number, (line, cells, unread) in enumerate(records, 1):
                unnamed = next((i for i, cell in enumerate(cells[width:], width + 1) if cell is not None), None)
                problem = unread
                if unnamed is not None:
                    problem = f"has a value in column {unnamed}, which has no name in the first row"
                values = dict(zip_longest(self._columns, cells[:width]))  # of a refused row too, for the reject file
                yield Row(number, line, "", values, problem, line)

    def rejects_header(self) -> str:
        return _csv_line([LINE, REASON, *self._columns])

    def rejected(self, row: Row, reason: str, *, token_columns: Collection[str] = ()) -> str:
        cells = without_tokens(row.values, token_columns).values()
        return _csv_line([str(row.line), reason, *("" if cell is None else str(cell) for cell in cells)])

    def _find_sheet(self) -> str:
        """Return the name of the only visible sheet that has cells."""
        workbook = self._openpyxl.load_workbook(self.path, read_only=True, data_only=True)
        try:
            found = [
                sheet.title
                for sheet in workbook.worksheets
                if sheet.sheet_state == "visible" and any(any(c is not None for c in row) for row in _head(sheet))
            ]
        finally:
            workbook.close()
        if len(found) != 1:
            listed = ", ".join(map(repr, found)) or "none"
            raise FileError(
                f"{self.path}: must have rows in one visible sheet; it has {listed}. Delete or hide the others"
            )
        return str(found[0])

    def _count(self) -> int:
        return max((line for line, _, _ in self._records()), default=0)

    def _records(self) -> Generator[tuple[int, list[Any], str]]:
        """Yield the number of each row that is not empty, its cells, and why it cannot be read."""
        books = [
            self._openpyxl.load_workbook(self.path, read_only=True, data_only=data_only) for data_only in (True, False)
        ]
        try:
            stored, written = (book[self._sheet].iter_rows() for book in books)
            for line, (results, formulas) in enumerate(zip(stored, written, strict=True), 1):
                cells, problem = [], ""
                for number, (result, formula) in enumerate(zip(results, formulas, strict=True), 1):
                    try:
                        cells.append(self._value(result, formula))
                    except ValueError as error:
                        cells.append(None)
                        problem = problem or f"column {number}: {error}"
                if problem or any(cell is not None for cell in cells):
                    yield line, cells, problem
        finally:
            for book in books:
                book.close()

    def _value(self, result: Any, formula: Any) -> object:  # noqa: ANN401 - cells of openpyxl
        """Return a cell's value.

        Raises:
            ValueError: it is a formula whose result is not stored, or a number that Excel has rounded.
        """
        value = result.value
        if value is None and formula.data_type == "f":
            raise ValueError("is a formula whose result is not in the file; open it in Excel and save it")
        if value in (None, ""):
            return None
        if isinstance(value, bool | str):
            return value
        if isinstance(value, datetime | date | time):
            is_day = self._openpyxl.styles.numbers.is_datetime(result.number_format) == "date"
            return _time_text(value.date() if is_day and isinstance(value, datetime) else value)
        if isinstance(value, int | float) and math.isfinite(value):
            return _number(value, result.number_format or "")
        raise ValueError(f"has a value of type {type(value).__name__}; write it as text")


def _time_text(value: datetime | date | time) -> str:
    """Return ISO 8601; a time without seconds has none."""
    if isinstance(value, time):
        return value.isoformat(timespec="auto" if value.second or value.microsecond else "minutes")
    return value.isoformat(timespec="seconds") if isinstance(value, datetime) else value.isoformat()


def _number(value: float, number_format: str) -> object:
    """Return a number, or its text if it is shown with leading zeros.

    Raises:
        ValueError: Excel has rounded it.
    """
    if abs(value) >= MAX_EXACT:
        raise ValueError("is a number of more than 15 digits, which Excel rounds; format the column as text")
    if value != int(value):
        return Decimal(repr(value))
    if value >= 0 and ZEROS.fullmatch(number_format):
        return f"{int(value):0{len(number_format)}d}"
    return int(value)


def import_openpyxl() -> Any:  # noqa: ANN401 - a module
    """Import openpyxl.

    Raises:
        FileError: it is not installed.
    """
    try:
        import_module("openpyxl.styles.numbers")
        return import_module("openpyxl")
    except ImportError:
        raise FileError("Excel files need openpyxl; install it with: pip install -e '.[bulk]'") from None


def _head(sheet: Any) -> Iterator[tuple[object, ...]]:  # noqa: ANN401 - of openpyxl
    rows: Iterator[tuple[object, ...]] = sheet.iter_rows(values_only=True)
    return rows


def _csv_line(cells: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()

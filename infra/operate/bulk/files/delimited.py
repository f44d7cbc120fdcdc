"""CSV files of rows."""

import csv
import io
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from infra.operate.bulk.files.base import (
    LINE,
    NOT_REPEATED,
    REASON,
    FileError,
    Row,
    may_hold_token,
    without_tokens,
)
from infra.operate.bulk.files.text import MAX_LINE_LENGTH, Lines, TextFile

DELIMITERS = ",;\t|"
SEPARATOR_LINE = re.compile(r'\ufeff*("?)sep=([^\r\n"])\1[\r\n]*', re.IGNORECASE)
"""A line before the header that declares the delimiter to Excel."""
SAMPLED_RECORDS = 20
"""Number of records at the beginning from which the delimiter is detected."""


class CsvFile(TextFile):
    """CSV (RFC 4180) with a header row.

    The delimiter is declared by a line such as `sep=;` before the header; otherwise it is the one of comma, semicolon,
    tab and bar that splits the header and the first rows into the same number of cells. Unnamed columns at the end must
    be empty.
    """

    cells = True
    newline = ""
    rejects_suffix = ".csv"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        csv.field_size_limit(MAX_LINE_LENGTH)
        with self.lines() as lines:
            first = next(lines, "")
            self._separator = SEPARATOR_LINE.fullmatch(first)
            if not self._separator:
                lines.give_back([first])
            self._delimiter = self._separator[2] if self._separator else self._detect_delimiter()
            header = _record(lines, self._delimiter)
        if header is None or header.cells is None or not any(name.strip() for name in header.cells):
            raise FileError(f"{path}: the first line must contain the column names; nothing was written")
        self._header = header
        names = [name.strip().strip("\ufeff") for name in header.cells]
        while names and not names[-1]:
            names.pop()
        self._columns = tuple(names)
        if "" in names or len(set(names)) < len(names):
            raise FileError(f"{path}: the first line must give each column a different name; nothing was written")

    @property
    def columns(self) -> tuple[str, ...]:
        return self._columns

    def rows(self) -> Iterator[Row]:
        number = 0
        with self.lines() as lines:
            if self._separator:
                next(lines)
            _record(lines, self._delimiter)
            while (record := _record(lines, self._delimiter)) is not None:
                if record.is_blank:
                    continue
                number += 1
                values: dict[str, object] = {}
                problem = record.problem or _unreadable(record.text) or self._mismatch(record.cells or [])
                if not problem and record.cells is not None:
                    values = {c: cell or None for c, cell in zip(self._columns, record.cells, strict=False)}
                yield Row(number, record.line, record.text, values, problem, lines.position)

    def rejects_header(self) -> str:
        separator = f"sep={self._delimiter}\n" if self._separator else ""
        return separator + self._reject_line(LINE, REASON, self._header.text)

    def rejected(self, row: Row, reason: str, *, token_columns: Collection[str] = ()) -> str:
        if not may_hold_token(row, token_columns):
            return self._reject_line(str(row.line), reason, row.text)
        if row.problem:
            return self._reject_line(str(row.line), f"{reason}; {NOT_REPEATED}", "")
        text = io.StringIO()
        cells = without_tokens(row.values, token_columns).values()
        csv.writer(text, delimiter=self._delimiter, lineterminator="").writerow(cells)
        return self._reject_line(str(row.line), reason, text.getvalue())

    def _mismatch(self, cells: list[str]) -> str:
        """Return why cells do not match the columns; empty if they do."""
        width = len(self._columns)
        if len(cells) < width:
            return f"has {len(cells)} cells, the header has {width}"
        unnamed = next((number for number, cell in enumerate(cells[width:], width + 1) if cell), None)
        if unnamed is None:
            return ""
        if len(cells) == len(self._header.cells or ()):
            return f"has a value in column {unnamed}, which has no name in the header"
        return f"has {len(cells)} cells, the header has {width}"

    def _detect_delimiter(self) -> str:
        return max(DELIMITERS, key=self._score)

    def _score(self, delimiter: str) -> tuple[int, int]:
        """Return how well a delimiter matches the file.

        Returns:
            The number of records with as many cells as the header, and that number of cells; (0, 1) or less if the
            header does not contain the delimiter outside quotes.
        """
        with self.lines() as lines:
            records = [record for _ in range(SAMPLED_RECORDS) if (record := _record(lines, delimiter)) is not None]
        header = records[0].cells if records else None
        if not header or len(header) == 1:
            return 0, len(header or ())
        return sum(record.cells is not None and len(record.cells) == len(header) for record in records), len(header)

    def _reject_line(self, line: str, reason: str, text: str) -> str:
        quoted = reason.replace('"', '""')
        return self._delimiter.join((line, f'"{quoted}"', text)) + "\n"


def _unreadable(text: str) -> str:
    """Return why a record cannot be what a person wrote; empty if it can."""
    return "contains a NUL character, as in a damaged file; write the row again" if "\0" in text else ""


@dataclass(frozen=True, slots=True)
class _Record:
    line: int
    text: str
    cells: list[str] | None
    problem: str = ""

    @property
    def is_blank(self) -> bool:
        """True if the record contains only delimiters and spaces."""
        return self.cells is not None and not any(map(str.strip, self.cells))


def _record(lines: Lines, delimiter: str) -> _Record | None:
    """Read the next record, which spans several lines if it has line breaks in quotes.

    Returns:
        The record; if its quotes are not balanced, its first line with a problem. None at the end of the file.
    """
    taken: list[str] = []

    def take() -> Iterator[str]:
        for line in lines:
            taken.append(line)
            yield line

    start = lines.number + 1
    try:
        cells = next(csv.reader(take(), delimiter=delimiter, strict=True))
    except StopIteration:
        return None
    except csv.Error as error:
        lines.give_back(taken[1:])
        return _Record(start, taken[0].rstrip("\r\n"), None, f"is not valid CSV: {error}")
    return _Record(start, "".join(taken).rstrip("\r\n"), cells)

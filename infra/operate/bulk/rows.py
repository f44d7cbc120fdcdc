"""Reads CSV, JSON lines and Parquet files row by row, with the line number and the original text of each row.

A file is read twice: once to validate its encoding and its columns before anything is written, and once for its rows.
Neither needs more memory for a larger file.
"""

import codecs
import csv
import hashlib
import io
import json
import math
import re
import shlex
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Self

from chalicelib.core.errors import RefusedError
from infra.operate.bulk.cells import CellError, from_json, to_json

MAX_LINE_LENGTH = 4_000_000
"""In characters. An item has at most 400 KB, and no encoding of it is ten times as long."""
MAX_COLUMNS = 10_000
CHUNK_BYTES = 1 << 20
DELIMITERS = ",;\t|"
NOT_REPEATED = "the row is not repeated here, because it may contain an authentication token"
SEPARATOR_LINE = re.compile(r'\ufeff*("?)sep=([^\r\n"])\1[\r\n]*', re.IGNORECASE)
"""A line before the header that declares the delimiter to Excel."""
SAMPLED_RECORDS = 20
"""Number of records at the beginning from which the delimiter is detected."""
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16's, which is a prefix of it
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
NULS = ((b"\0\0\0x", "utf-32-be"), (b"x\0\0\0", "utf-32-le"), (b"\0x\0x", "utf-16-be"), (b"x\0x\0", "utf-16-le"))
"""Encodings without a mark, by the zero bytes of the first characters, which are ASCII (RFC 4627, section 3)."""
LINE, REASON, TEXT = "passwire_line", "passwire_reason", "passwire_text"
"""Columns of a reject file."""
TOKEN = "authentication_token"
LEFT_OUT = "(left out)"
"""Replaces an authentication token in a reject file. It is too short for a token, so an import refuses it."""


class FileError(RefusedError):
    """A file cannot be read as rows; nothing was written."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Args:
        number: number of the row, from 1.
        line: number of the line at which the row begins; for Parquet, the number of the row in the file.
        text: the row as written in the file.
        values: values by column; None for an empty cell.
        problem: why the row has no values; empty if it has.
        position: how far the file is read after this row; at most `RowFile.size`.
    """

    number: int
    line: int
    text: str = field(repr=False)
    values: Mapping[str, object] = field(repr=False)
    problem: str
    position: int


class RowFile(ABC):
    """A validated file of rows.

    Args:
        path: the file.

    Raises:
        FileError: the file is invalid.
    """

    cells: ClassVar[bool]
    """True if values are text to parse."""
    rejects_suffix: ClassVar[str] = ".jsonl"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = path.stat().st_size
        if not self.size:
            raise FileError(f"{path}: the file is empty; give one with rows")
        self.digest = self._digest()

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """Columns of all rows."""

    @abstractmethod
    def rows(self) -> Iterator[Row]:
        """Yield the rows in order."""

    def rejects_header(self) -> str:
        """Return the header of a reject file for this file; empty if it needs none."""
        return ""

    def rejected(self, row: Row, reason: str, *, token_columns: Collection[str] = ()) -> str:
        """Format a row for the reject file: as written, without authentication tokens, with its line and the reason.

        Args:
            row: a row of this file.
            reason: why the row is refused.
            token_columns: columns with authentication tokens. If there are any, an unreadable row is left out, since it
                may contain a token anywhere.
        """
        if not row.problem:
            return to_json({LINE: row.line, REASON: reason, **_without_tokens(row.values, token_columns)}) + "\n"
        if _may_hold_token(row, token_columns):
            return to_json({LINE: row.line, REASON: f"{reason}; {NOT_REPEATED}"}) + "\n"
        return self._unread(row, reason) + "\n"

    def _unread(self, row: Row, reason: str) -> str:
        return to_json({LINE: row.line, REASON: reason, TEXT: row.text})

    def _digest(self) -> str:
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


class _TextFile(RowFile):
    """A text file in UTF-8, or in UTF-16 or UTF-32 as spreadsheets and Windows' tools write them."""

    newline: ClassVar[str]
    """The line ending, as the parameter `newline` of `open`: `""` for any of CR, LF and CRLF."""

    def _digest(self) -> str:
        self._encoding = _encoding(self.path)
        decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(self._encoding)(), translate=True)
        digest, line, length = hashlib.sha256(), 1, 0
        with self.path.open("rb") as file:
            for chunk in iter(lambda: file.read(CHUNK_BYTES), b""):
                digest.update(chunk)
                try:
                    text = decoder.decode(chunk)
                except UnicodeDecodeError as error:
                    raise self._wrong_encoding(error, line) from None
                first, last = text.find("\n"), text.rfind("\n")
                if length + (len(text) if first < 0 else first) > MAX_LINE_LENGTH:
                    raise FileError(
                        f"{self.path}, line {line}: longer than {MAX_LINE_LENGTH:,} characters; split the line"
                    )
                length = length + len(text) if last < 0 else len(text) - last - 1
                line += text.count("\n")
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            raise FileError(
                f"{self.path}, line {line}: ends in the middle of a character; get a complete copy of the file"
            ) from None
        return digest.hexdigest()

    def _wrong_encoding(self, error: UnicodeDecodeError, line: int) -> FileError:
        """Return an error that names the invalid byte and its line.

        Args:
            error: raised by the decoder; its `object` contains the bytes that were decoded.
            line: number of the line at which those bytes begin.
        """
        before = error.object[: error.start].decode(self._encoding, errors="ignore")
        line += before.replace("\r\n", "\n").replace("\r", "\n").count("\n")
        name = self._encoding.upper().removesuffix("-SIG")
        advice = ""
        if name == "UTF-8":
            source = shlex.quote(self.path.name)
            target = shlex.quote(f"utf8-{self.path.name}")
            advice = f", or convert it from WINDOWS-1252: iconv -f WINDOWS-1252 -t UTF-8 {source} > {target}"
        return FileError(
            f"{self.path}, line {line}: byte 0x{error.object[error.start]:02x} is not {name}; nothing was written. "
            f"Save the file as UTF-8{advice}"
        )

    def _lines(self) -> "_Lines":
        return _Lines(self.path, encoding=self._encoding, newline=self.newline)


class CsvFile(_TextFile):
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
        with self._lines() as lines:
            first = next(lines, "")
            self._separator = SEPARATOR_LINE.fullmatch(first)
            if not self._separator:
                lines.give_back([first])
            self._delimiter = self._separator[2] if self._separator else self._detect_delimiter()
            header = _record(lines, self._delimiter)
        if header is None or header.cells is None or not any(header.cells):
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
        with self._lines() as lines:
            if self._separator:
                next(lines)
            _record(lines, self._delimiter)
            while (record := _record(lines, self._delimiter)) is not None:
                if record.is_blank:
                    continue
                number += 1
                values: dict[str, object] = {}
                problem = record.problem or self._mismatch(record.cells or [])
                if not problem and record.cells is not None:
                    values = {c: cell or None for c, cell in zip(self._columns, record.cells, strict=False)}
                yield Row(number, record.line, record.text, values, problem, lines.position)

    def rejects_header(self) -> str:
        separator = f"sep={self._delimiter}\n" if self._separator else ""
        return separator + self._reject_line(LINE, REASON, self._header.text)

    def rejected(self, row: Row, reason: str, *, token_columns: Collection[str] = ()) -> str:
        if not _may_hold_token(row, token_columns):
            return self._reject_line(str(row.line), reason, row.text)
        if row.problem:
            return self._reject_line(str(row.line), f"{reason}; {NOT_REPEATED}", "")
        text = io.StringIO()
        cells = _without_tokens(row.values, token_columns).values()
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
        with self._lines() as lines:
            records = [record for _ in range(SAMPLED_RECORDS) if (record := _record(lines, delimiter)) is not None]
        header = records[0].cells if records else None
        if not header or len(header) == 1:
            return 0, len(header or ())
        return sum(record.cells is not None and len(record.cells) == len(header) for record in records), len(header)

    def _reject_line(self, line: str, reason: str, text: str) -> str:
        quoted = reason.replace('"', '""')
        return self._delimiter.join((line, f'"{quoted}"', text)) + "\n"


class JsonLinesFile(_TextFile):
    """A file with one JSON object per line."""

    cells = False
    newline = "\n"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        found: dict[str, None] = {}
        for row in self.rows():
            found.update(dict.fromkeys(row.values or _members(row.text)))
            if len(found) > MAX_COLUMNS:
                raise FileError(
                    f"{path}, line {row.line}: more than {MAX_COLUMNS:,} different keys up to this line; each key is a "
                    "column, so use the same keys in every line"
                )
        self._columns = tuple(found)

    @property
    def columns(self) -> tuple[str, ...]:
        return self._columns

    def rows(self) -> Iterator[Row]:
        number = 0
        with self._lines() as lines:
            for text in lines:
                if not text.strip():
                    continue
                number += 1
                values, problem = {}, ""
                try:
                    values = from_json(text)
                    if not isinstance(values, dict):
                        values, problem = {}, "is not a JSON object"
                except CellError as error:
                    problem = str(error)
                yield Row(number, lines.number, text.rstrip("\r\n"), values, problem, lines.position)

    def _unread(self, row: Row, reason: str) -> str:
        members = row.text.strip()
        if not _members(members):
            return super()._unread(row, reason)
        # valid JSON with an unsupported number, which is kept as written
        return f"{to_json({LINE: row.line, REASON: reason})[:-1]},{members[1:]}"


class ParquetFile(RowFile):
    """An Apache Parquet file, read with pyarrow."""

    cells = True
    ROWS_AT_ONCE = 500

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        arrow, self._parquet = import_parquet()
        try:
            with self._parquet.ParquetFile(path) as file:
                self._columns = tuple(map(str, file.schema_arrow.names))
                self.size = file.metadata.num_rows
        except (arrow.ArrowException, OSError) as error:
            raise FileError(f"{path}: not a Parquet file ({error}); export it again") from None

    @property
    def columns(self) -> tuple[str, ...]:
        return self._columns

    def rows(self) -> Iterator[Row]:
        number = line = 0
        with self._parquet.ParquetFile(self.path) as file:
            for batch in file.iter_batches(self.ROWS_AT_ONCE):
                for found in batch.to_pylist():
                    line += 1
                    values = {str(column): _from_parquet(value) for column, value in found.items()}
                    if all(value is None for value in values.values()):
                        continue
                    number += 1
                    yield Row(number, line, "", values, "", line)

    def rejected(self, row: Row, reason: str, *, token_columns: Collection[str] = ()) -> str:
        values = {
            column: value if isinstance(value, str | Decimal | int | bool | list | dict | bytes | None) else str(value)
            for column, value in row.values.items()
        }
        return super().rejected(replace(row, values=values), reason, token_columns=token_columns)


KINDS: Mapping[str, type[RowFile]] = {".csv": CsvFile, ".jsonl": JsonLinesFile, ".parquet": ParquetFile}
"""Kinds of files by the suffix of their names."""


def open_rows(path: Path) -> RowFile:
    """Open and validate a file of rows.

    Raises:
        FileError: the file is invalid.
    """
    kind_of(path)
    return KINDS[path.suffix.lower()](path)


def kind_of(path: Path) -> str:
    """Return the suffix of a file's name, such as `.csv`.

    Raises:
        FileError: the suffix is unknown.
    """
    if path.suffix.lower() not in KINDS:
        raise FileError(f"{path}: the name must end in one of {', '.join(KINDS)}")
    return path.suffix.lower()


def import_parquet() -> tuple[Any, Any]:
    """Import pyarrow and its Parquet module.

    Raises:
        FileError: pyarrow is not installed.
    """
    try:  # imported here, since it is larger than all other modules together
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        raise FileError("Parquet needs pyarrow; install it with: .venv/bin/python -m pip install pyarrow") from None


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


class _Lines(Iterator[str]):
    """Iterates over the lines of a file and counts them; lines can be returned to be read again."""

    def __init__(self, path: Path, *, encoding: str, newline: str) -> None:
        self._bytes = path.open("rb")
        self._file = io.TextIOWrapper(self._bytes, encoding, newline=newline)
        self._returned: deque[str] = deque()
        self.number = 0

    @property
    def position(self) -> int:
        """Number of bytes read from the file, rounded up to the size of the buffer."""
        return self._bytes.tell()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __next__(self) -> str:
        if self._returned:
            line = self._returned.popleft()
        else:
            line = self._file.readline()
            if not line:
                raise StopIteration
        self.number += 1
        return line

    def give_back(self, lines: list[str]) -> None:
        """Return the lines that were read last, to be read again."""
        self._returned.extendleft(reversed(lines))
        self.number -= len(lines)


def _encoding(path: Path) -> str:
    """Detect the encoding of a text file from its first bytes; the default is UTF-8."""
    with path.open("rb") as file:
        start = file.read(4)
    for mark, encoding in BYTE_ORDER_MARKS:
        if start.startswith(mark):
            return encoding
    pattern = bytes(byte and ord("x") for byte in start)
    return next((encoding for nuls, encoding in NULS if pattern == nuls), "utf-8")


def _may_hold_token(row: Row, token_columns: Collection[str]) -> bool:
    return bool(token_columns) or TOKEN in row.text


def _without_tokens(values: Mapping[str, object], token_columns: Collection[str]) -> dict[str, object]:
    """Return a row's values with `LEFT_OUT` in place of each authentication token."""
    return {
        column: LEFT_OUT if column in token_columns and value is not None else _without_token(value)
        for column, value in values.items()
    }


def _without_token(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: LEFT_OUT if key == TOKEN else _without_token(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_without_token(member) for member in value]
    return LEFT_OUT if isinstance(value, str) and TOKEN in value else value


def _members(text: str) -> dict[str, object]:
    """Return the members of a JSON object, with numbers as text; empty if the text is not a JSON object."""
    try:
        found = json.loads(text, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _record(lines: _Lines, delimiter: str) -> _Record | None:
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


def _from_parquet(value: object) -> object:
    """Convert a value for DynamoDB; NaN, which pandas writes for a missing value, becomes None."""
    if isinstance(value, float):
        return Decimal(repr(value)) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _from_parquet(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_from_parquet(member) for member in value]
    return None if value == "" else value

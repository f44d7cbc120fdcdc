"""Files of rows: CSV, JSON lines and Parquet, read a row at a time, each row with its line and as it stands there.

A file is read twice: once to know that it is sound (its encoding, its columns) before anything is written, and once
for its rows. Neither takes more memory for a larger file.
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
"""In characters: an item has 400 KB at most, and no way to write it down takes ten times that."""
MAX_COLUMNS = 10_000
CHUNK_BYTES = 1 << 20
DELIMITERS = ",;\t|"
NOT_REPEATED = "the row is not repeated here, because it may hold an authentication token"
SEPARATOR_LINE = re.compile(r'\ufeff*("?)sep=([^\r\n"])\1[\r\n]*', re.IGNORECASE)
"""The line by which a file tells Excel its delimiter, before the header."""
SAMPLED_RECORDS = 20
"""So many records at the beginning show which delimiter a file has."""
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16's, which is its beginning
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
NULS = ((b"\0\0\0x", "utf-32-be"), (b"x\0\0\0", "utf-32-le"), (b"\0x\0x", "utf-16-be"), (b"x\0x\0", "utf-16-le"))
"""Without a mark: where the zero bytes of the first characters are, which are ASCII (RFC 4627, section 3)."""
LINE, REASON, TEXT = "passwire_line", "passwire_reason", "passwire_text"
"""What a reject file says of a row."""
TOKEN = "authentication_token"
LEFT_OUT = "(left out)"
"""Stands for an authentication token in a reject file; it is too short for one, and an import refuses it."""


class FileError(RefusedError):
    """A file that cannot be read as rows: nothing was written."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Args:
        number: among the rows, from 1.
        line: of the file, where the row begins; of a Parquet file the row's number.
        text: as it stands in the file.
        values: by column; None for an empty cell.
        problem: why it has no values; empty where it has.
        position: how far the file is read after it, of `RowFile.size`.
    """

    number: int
    line: int
    text: str = field(repr=False)
    values: Mapping[str, object] = field(repr=False)
    problem: str
    position: int


class RowFile(ABC):
    """A file of rows that is sound.

    Args:
        path: where it is.

    Raises:
        FileError: it is not.
    """

    cells: ClassVar[bool]
    """Whether values are text to be read."""
    rejects_suffix: ClassVar[str] = ".jsonl"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = path.stat().st_size
        if not self.size:
            raise FileError(f"{path}: is empty")
        self.digest = self._digest()

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """Of all rows."""

    @abstractmethod
    def rows(self) -> Iterator[Row]:
        """Each row, in order."""

    def rejects_header(self) -> str:
        """The first line of a file of this one's rejected rows; empty where it has none."""
        return ""

    def rejected(self, row: Row, reason: str, *, token_columns: Collection[str] = ()) -> str:
        """A row in such a file: as it stood, but for authentication tokens, with its line and what is wrong.

        Args:
            row: of this file.
            reason: what is wrong with it.
            token_columns: those that hold authentication tokens. A row that was not read is left out where there are
                some, since they may be anywhere in it.
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
    """Lines of text: UTF-8, or UTF-16 and UTF-32 as spreadsheets and Windows' tools write them."""

    newline: ClassVar[str]
    """What ends a line, as `open` takes it: `""` for any of CR, LF and CRLF."""

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
                    raise FileError(f"{self.path}, line {line}: is over {MAX_LINE_LENGTH} characters long")
                length = length + len(text) if last < 0 else len(text) - last - 1
                line += text.count("\n")
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            raise FileError(
                f"{self.path}, line {line}: ends in half a character; the file was cut off: get it whole"
            ) from None
        return digest.hexdigest()

    def _wrong_encoding(self, error: UnicodeDecodeError, line: int) -> FileError:
        """Name the byte and its line.

        Args:
            error: its `object` is what was being decoded.
            line: in which that begins.
        """
        before = error.object[: error.start].decode(self._encoding, errors="ignore")
        line += before.replace("\r\n", "\n").replace("\r", "\n").count("\n")
        name = self._encoding.upper().removesuffix("-SIG")
        advice = ""
        if name == "UTF-8":
            from_ = shlex.quote(self.path.name)
            to = shlex.quote(f"utf8-{self.path.name}")
            advice = f", or if it is WINDOWS-1252 with: iconv -f WINDOWS-1252 -t UTF-8 {from_} > {to}"
        return FileError(
            f"{self.path}, line {line}: byte 0x{error.object[error.start]:02x} is not {name}; save the file as UTF-8"
            f"{advice}; nothing was written"
        )

    def _lines(self) -> "_Lines":
        return _Lines(self.path, encoding=self._encoding, newline=self.newline)


class CsvFile(_TextFile):
    """CSV (RFC 4180) with a header row.

    The delimiter is that of a line `sep=;` before the header, else the one of comma, semicolon, tab and bar by which
    the header and the first rows fall into the same number of cells. Columns at the end without a name hold nothing.
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
            self._delimiter = self._separator[2] if self._separator else self._sniffed()
            header = _record(lines, self._delimiter)
        if header is None or header.cells is None or not any(header.cells):
            raise FileError(f"{path}: its first line must name the columns; nothing was written")
        self._header = header
        names = [name.strip().strip("\ufeff") for name in header.cells]
        while names and not names[-1]:
            names.pop()
        self._columns = tuple(names)
        if "" in names or len(set(names)) < len(names):
            raise FileError(f"{path}: its first line must give each column a name of its own; nothing was written")

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
                problem = record.problem or self._misfit(record.cells or [])
                if not problem and record.cells is not None:
                    values = {c: cell or None for c, cell in zip(self._columns, record.cells, strict=False)}
                yield Row(number, record.line, record.text, values, problem, lines.position)

    def rejects_header(self) -> str:
        separator = f"sep={self._delimiter}\n" if self._separator else ""
        return separator + self._told(LINE, REASON, self._header.text)

    def rejected(self, row: Row, reason: str, *, token_columns: Collection[str] = ()) -> str:
        if not _may_hold_token(row, token_columns):
            return self._told(str(row.line), reason, row.text)
        if row.problem:
            return self._told(str(row.line), f"{reason}; {NOT_REPEATED}", "")
        text = io.StringIO()
        cells = _without_tokens(row.values, token_columns).values()
        csv.writer(text, delimiter=self._delimiter, lineterminator="").writerow(cells)
        return self._told(str(row.line), reason, text.getvalue())

    def _misfit(self, cells: list[str]) -> str:
        """Say why cells do not fit the columns; empty where they do."""
        width = len(self._columns)
        if len(cells) < width:
            return f"has {len(cells)} cells, the header has {width}"
        unnamed = next((number for number, cell in enumerate(cells[width:], width + 1) if cell), None)
        if unnamed is None:
            return ""
        if len(cells) == len(self._header.cells or ()):
            return f"has a value in column {unnamed}, which the header gives no name"
        return f"has {len(cells)} cells, the header has {width}"

    def _sniffed(self) -> str:
        return max(DELIMITERS, key=self._agreement)

    def _agreement(self, delimiter: str) -> tuple[int, int]:
        """How well a delimiter explains the file: records that have the header's number of cells; then that number.

        (0, 1) or less for one that the header does not hold outside quotes.
        """
        with self._lines() as lines:
            records = [record for _ in range(SAMPLED_RECORDS) if (record := _record(lines, delimiter)) is not None]
        header = records[0].cells if records else None
        if not header or len(header) == 1:
            return 0, len(header or ())
        return sum(record.cells is not None and len(record.cells) == len(header) for record in records), len(header)

    def _told(self, line: str, reason: str, text: str) -> str:
        quoted = reason.replace('"', '""')
        return self._delimiter.join((line, f'"{quoted}"', text)) + "\n"


class JsonLinesFile(_TextFile):
    """A JSON object on each line."""

    cells = False
    newline = "\n"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        found: dict[str, None] = {}
        for row in self.rows():
            found.update(dict.fromkeys(row.values or _members(row.text)))
            if len(found) > MAX_COLUMNS:
                raise FileError(f"{path}, line {row.line}: over {MAX_COLUMNS} different keys are no columns")
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
                        values, problem = {}, "is no JSON object"
                except CellError as error:
                    problem = str(error)
                yield Row(number, lines.number, text.rstrip("\r\n"), values, problem, lines.position)

    def _unread(self, row: Row, reason: str) -> str:
        members = row.text.strip()
        if not _members(members):
            return super()._unread(row, reason)
        # JSON, but with a number that cannot be read: it stays as it is
        return f"{to_json({LINE: row.line, REASON: reason})[:-1]},{members[1:]}"


class ParquetFile(RowFile):
    """Apache Parquet, through pyarrow."""

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
            raise FileError(f"{path}: is no Parquet file: {error}") from None

    @property
    def columns(self) -> tuple[str, ...]:
        return self._columns

    def rows(self) -> Iterator[Row]:
        number = line = 0
        with self._parquet.ParquetFile(self.path) as file:
            for batch in file.iter_batches(self.ROWS_AT_ONCE):
                for found in batch.to_pylist():
                    line += 1
                    values = {str(column): _of_parquet(value) for column, value in found.items()}
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
"""By the ending of a file's name."""


def open_rows(path: Path) -> RowFile:
    """A file of rows, sound.

    Raises:
        FileError: it is none.
    """
    kind_of(path)
    return KINDS[path.suffix.lower()](path)


def kind_of(path: Path) -> str:
    """The ending of a file's name.

    Raises:
        FileError: it is none that is known.
    """
    if path.suffix.lower() not in KINDS:
        raise FileError(f"{path}: the name must end in one of {', '.join(KINDS)}")
    return path.suffix.lower()


def import_parquet() -> tuple[Any, Any]:
    """The modules of pyarrow and its Parquet module.

    Raises:
        FileError: they are not installed.
    """
    try:  # here, because it is larger than all the rest together
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
        """Whether it is an empty line, or has nothing but delimiters and spaces."""
        return self.cells is not None and not any(map(str.strip, self.cells))


class _Lines(Iterator[str]):
    """The lines of a file, numbered; some can be given back."""

    def __init__(self, path: Path, *, encoding: str, newline: str) -> None:
        self._bytes = path.open("rb")
        self._file = io.TextIOWrapper(self._bytes, encoding, newline=newline)
        self._returned: deque[str] = deque()
        self.number = 0

    @property
    def position(self) -> int:
        """How many bytes of the file are read, to the next few kilobytes."""
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
        """Let these, the last that were read, come again."""
        self._returned.extendleft(reversed(lines))
        self.number -= len(lines)


def _encoding(path: Path) -> str:
    """How a text file is encoded, by its first bytes; UTF-8 where they do not say."""
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
    """A row's values, with `LEFT_OUT` for each authentication token."""
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
    """The members of a JSON object whose numbers may be any; empty where it is none."""
    try:
        found = json.loads(text, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _record(lines: _Lines, delimiter: str) -> _Record | None:
    """The next record, of as many lines as its quotes hold; where these do not match, its first line alone is wrong.

    None at the end.
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
        return _Record(start, taken[0].rstrip("\r\n"), None, f"is broken: {error}")
    return _Record(start, "".join(taken).rstrip("\r\n"), cells)


def _of_parquet(value: object) -> object:
    """A value as DynamoDB takes it; NaN is how pandas writes that there is none."""
    if isinstance(value, float):
        return Decimal(repr(value)) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _of_parquet(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_of_parquet(member) for member in value]
    return None if value == "" else value

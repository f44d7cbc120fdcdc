"""Files of rows: CSV, JSON lines and Parquet, read a row at a time, each row with its line and as it stands there.

A file is read twice: once to know that it is sound (its encoding, its columns) before anything is written, and once
for its rows. Neither takes more memory for a larger file.
"""

import codecs
import csv
import hashlib
import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Self

from chalicelib.domain.errors import RefusedError
from infra.passes.cells import CellError, from_json, to_json

MAX_LINE_BYTES = 4_000_000
"""An item has 400 KB at most, and no way to write it down takes ten times that."""
MAX_COLUMNS = 10_000
CHUNK_BYTES = 1 << 20
DELIMITERS = ",;\t"
LINE, REASON, TEXT = "passwire_line", "passwire_reason", "passwire_text"
"""What a reject file says of a row."""


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

    def rejected(self, row: Row, reason: str) -> str:
        """A row in such a file: as it stood, with its line and what is wrong."""
        said = {LINE: row.line, REASON: reason}
        return to_json({**said, **row.values} if not row.problem else {**said, TEXT: row.text}) + "\n"

    def _digest(self) -> str:
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


class _TextFile(RowFile):
    """Lines of UTF-8."""

    def _digest(self) -> str:
        digest, decoder, line, length = hashlib.sha256(), codecs.getincrementaldecoder("utf-8")(), 1, 0
        with self.path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
                first, last = chunk.find(b"\n"), chunk.rfind(b"\n")
                if length + (len(chunk) if first < 0 else first) > MAX_LINE_BYTES:
                    raise FileError(f"{self.path}, line {line}: is over {MAX_LINE_BYTES} bytes long")
                length = length + len(chunk) if last < 0 else len(chunk) - last - 1
                try:
                    decoder.decode(chunk)
                except UnicodeDecodeError as error:
                    at = error.start - (len(error.object) - len(chunk))
                    raise self._wrong_encoding(chunk, line + chunk.count(b"\n", 0, max(at, 0)), at) from None
                line += chunk.count(b"\n")
        if decoder.getstate()[0]:
            raise FileError(f"{self.path}, line {line}: ends in half a character; the file was cut off: get it whole")
        return digest.hexdigest()

    def _wrong_encoding(self, chunk: bytes, line: int, at: int) -> FileError:
        encoding = "UTF-16" if chunk[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "WINDOWS-1252"
        what = "the file" if encoding == "UTF-16" else f"byte 0x{chunk[max(at, 0)]:02x}"
        return FileError(
            f"{self.path}, line {line}: {what} is not UTF-8; save the file as UTF-8, or if it is {encoding} with: "
            f"iconv -f {encoding} -t UTF-8 {self.path.name} > utf8-{self.path.name}; nothing was written"
        )

    def _lines(self) -> "_Lines":
        return _Lines(self.path)


class CsvFile(_TextFile):
    """CSV (RFC 4180) with a header row; the delimiter is the one of comma, semicolon and tab that the header has."""

    cells = True
    rejects_suffix = ".csv"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        csv.field_size_limit(MAX_LINE_BYTES)
        with self._lines() as lines:
            first = next(lines, "")
            lines.give_back([first])
            self._delimiter = max(DELIMITERS, key=first.count)
            header = _record(lines, self._delimiter)
        if header is None or header.cells is None or not any(header.cells):
            raise FileError(f"{path}: its first line must name the columns; nothing was written")
        self._header = header
        self._columns = tuple(name.strip() for name in header.cells)
        if "" in self._columns or len(set(self._columns)) < len(self._columns):
            raise FileError(f"{path}: its first line must give each column a name of its own; nothing was written")

    @property
    def columns(self) -> tuple[str, ...]:
        return self._columns

    def rows(self) -> Iterator[Row]:
        number = 0
        with self._lines() as lines:
            _record(lines, self._delimiter)
            while (record := _record(lines, self._delimiter)) is not None:
                if record.cells == []:
                    continue  # an empty line
                number += 1
                values: dict[str, object] = {}
                problem = record.problem
                if record.cells is not None and len(record.cells) != len(self._columns):
                    problem = f"has {len(record.cells)} cells, the header has {len(self._columns)}"
                elif record.cells is not None:
                    values = {c: cell or None for c, cell in zip(self._columns, record.cells, strict=True)}
                yield Row(number, record.line, record.text, values, problem, lines.position)

    def rejects_header(self) -> str:
        return self._told(LINE, REASON, self._header.text)

    def rejected(self, row: Row, reason: str) -> str:
        return self._told(str(row.line), reason, row.text)

    def _told(self, line: str, reason: str, text: str) -> str:
        quoted = reason.replace('"', '""')
        return self._delimiter.join((line, f'"{quoted}"', text)) + "\n"


class JsonLinesFile(_TextFile):
    """A JSON object on each line."""

    cells = False

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        found: dict[str, None] = {}
        for row in self.rows():
            found.update(dict.fromkeys(row.values))
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
        number = 0
        with self._parquet.ParquetFile(self.path) as file:
            for batch in file.iter_batches(self.ROWS_AT_ONCE):
                for found in batch.to_pylist():
                    number += 1
                    values = {str(column): _of_parquet(value) for column, value in found.items()}
                    yield Row(number, number, "", values, "", number)

    def rejected(self, row: Row, reason: str) -> str:
        values = {
            column: value if isinstance(value, str | Decimal | int | bool | list | dict | bytes | None) else str(value)
            for column, value in row.values.items()
        }
        return to_json({LINE: row.line, REASON: reason, **values}) + "\n"


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


class _Lines(Iterator[str]):
    """The lines of a file, numbered; some can be given back."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("rb")
        self._returned: deque[str] = deque()
        self.number = 0
        self.position = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __next__(self) -> str:
        if self._returned:
            line = self._returned.popleft()
        else:
            raw = self._file.readline()
            if not raw:
                raise StopIteration
            line = raw.decode("utf-8-sig" if self.position == 0 else "utf-8")
            self.position += len(raw)
        self.number += 1
        return line

    def give_back(self, lines: list[str]) -> None:
        """Let these, the last that were read, come again."""
        self._returned.extendleft(reversed(lines))
        self.number -= len(lines)


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

"""Rows of a file, whatever its format, and the form of refused rows.

A file is read twice: once to validate its encoding and its columns before anything is written, and once for its rows.
Neither needs more memory for a larger file.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from chalicelib.core.errors import RefusedError
from infra.operate.bulk.cells import to_json

NOT_REPEATED = "the row is not repeated here, because it may contain an authentication token"
LINE, REASON, TEXT = "passwire_line", "passwire_reason", "passwire_text"
"""Columns of a reject file."""
TOKEN = "authentication_token"
LEFT_OUT = "(left out)"
"""Replaces an authentication token in a reject file. It is too short for a token, so an import refuses it."""


class FileError(RefusedError):
    """A file cannot be read as rows; nothing was written."""


@contextmanager
def readable(path: Path, problem: str) -> Iterator[None]:
    """Report what a library raises while it reads a file. Damaged bytes raise errors of any parser and decompressor.

    Args:
        path: the file.
        problem: what the file is not, or where it is damaged.

    Raises:
        FileError: anything but an interruption was raised.
    """
    try:
        yield
    except RefusedError:
        raise
    except Exception as error:  # noqa: BLE001 - see above
        detail = " ".join(f"{error}".split()) or type(error).__name__
        raise FileError(f"{path}: {problem} ({detail}); save it again") from None


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
            return to_json({LINE: row.line, REASON: reason, **without_tokens(row.values, token_columns)}) + "\n"
        if may_hold_token(row, token_columns):
            return to_json({LINE: row.line, REASON: f"{reason}; {NOT_REPEATED}"}) + "\n"
        return self._unread(row, reason) + "\n"

    def _unread(self, row: Row, reason: str) -> str:
        return to_json({LINE: row.line, REASON: reason, TEXT: row.text})

    def _digest(self) -> str:
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def may_hold_token(row: Row, token_columns: Collection[str]) -> bool:
    return bool(token_columns) or TOKEN in row.text


def without_tokens(values: Mapping[str, object], token_columns: Collection[str]) -> dict[str, object]:
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

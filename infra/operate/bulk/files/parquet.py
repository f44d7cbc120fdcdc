"""Apache Parquet files of rows."""

import math
from collections.abc import Collection, Iterator
from dataclasses import replace
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

from infra.operate.bulk.files.base import FileError, Row, RowFile, readable


class ParquetFile(RowFile):
    """An Apache Parquet file, read with pyarrow."""

    cells = True
    ROWS_AT_ONCE = 500

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        _, self._parquet = import_parquet()
        with readable(path, "not a Parquet file"), self._parquet.ParquetFile(path) as file:
            self._columns = tuple(map(str, file.schema_arrow.names))
            self.size = file.metadata.num_rows

    @property
    def columns(self) -> tuple[str, ...]:
        return self._columns

    def rows(self) -> Iterator[Row]:
        number = line = 0
        with readable(self.path, "a damaged Parquet file"), self._parquet.ParquetFile(self.path) as file:
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


def import_parquet() -> tuple[Any, Any]:
    """Import pyarrow and its Parquet module.

    Raises:
        FileError: pyarrow is not installed.
    """
    try:  # imported here, since it is larger than all other modules together
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        raise FileError("Parquet needs pyarrow; install it with: .venv/bin/python -m pip install pyarrow") from None


def _from_parquet(value: object) -> object:
    """Convert a value for DynamoDB; NaN, which pandas writes for a missing value, becomes None."""
    if isinstance(value, float):
        return Decimal(repr(value)) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _from_parquet(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_from_parquet(member) for member in value]
    return None if value == "" else value

"""Kinds of files of rows, by the suffix of their names."""

from collections.abc import Collection, Mapping
from pathlib import Path

from infra.operate.bulk.files.base import FileError, RowFile
from infra.operate.bulk.files.delimited import CsvFile
from infra.operate.bulk.files.excel import ExcelFile
from infra.operate.bulk.files.json_lines import JsonLinesFile
from infra.operate.bulk.files.parquet import ParquetFile

KINDS: Mapping[str, type[RowFile]] = {
    ".csv": CsvFile,
    ".jsonl": JsonLinesFile,
    ".parquet": ParquetFile,
    ".xlsx": ExcelFile,
}
WRITTEN = (".csv", ".jsonl", ".parquet")
"""Kinds that an export writes."""


def open_rows(path: Path) -> RowFile:
    """Open and validate a file of rows.

    Raises:
        FileError: the file is invalid.
    """
    return KINDS[kind_of(path, KINDS)](path)


def kind_of(path: Path, kinds: Collection[str]) -> str:
    """Return the suffix of a file's name, such as `.csv`.

    Raises:
        FileError: it is not one of these.
    """
    suffix = path.suffix.lower()
    if suffix not in kinds:
        advice = "; save it as .xlsx" if suffix == ".xls" else ""
        raise FileError(f"{path}: the name must end in one of {', '.join(kinds)}{advice}")
    return suffix

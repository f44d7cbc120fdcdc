"""Files of pass items, and what is read from them with the template `member`."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from chalicelib.aws.templates import Templates
from chalicelib.core.errors import RefusedError
from chalicelib.passes.item import PassItem
from infra.operate.bulk.columns import Columns
from infra.operate.bulk.files.kinds import open_rows
from infra.operate.bulk.importing import Imported, import_passes
from infra.operate.bulk.plan import ImportPlan
from infra.stage.stage import Stage

TYPE = "pass.com.example"
TOKEN = "tokentokentokentoken"


@dataclass(frozen=True)
class Read:
    """Result of reading a file: items by serial number, and reasons of refused rows by line."""

    items: Mapping[str, Any]
    refused: Mapping[int, str]

    @property
    def fields(self) -> dict[str, Any]:
        return {serial_number: item.get("fields", {}) for serial_number, item in self.items.items()}


def unchanged(item: dict[str, Any]) -> object:
    return item


def as_pass(item: dict[str, Any]) -> object:
    """Return what a pass shows of an item: a cell's value may be read back as `{"value": ...}`; all else is exact."""
    return PassItem.parse(item), {name: value for name, value in item.items() if name != "fields"}


FORMATS = pytest.mark.parametrize(
    ("suffix", "normalize"), [("jsonl", unchanged), ("csv", as_pass), ("parquet", as_pass)]
)


def file(tmp_path: Path, content: bytes | str, name: str = "members.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(path: Path, templates: Templates, **mapping: str) -> Read:
    rows = open_rows(path)
    columns = Columns(mapping=mapping, pass_type=TYPE, template="member", templates=templates, cells=rows.cells)
    columns.take(rows.columns)
    items: dict[str, Any] = {}
    refused: dict[int, str] = {}
    for row in rows.rows():
        if row.problem:
            refused[row.line] = row.problem
            continue
        try:
            item = columns.item(row.values)
        except RefusedError as error:
            refused[row.line] = str(error)
        else:
            items[item["pass_id"].removeprefix(f"{TYPE}/")] = item
    return Read(items, refused)


def imports(path: Path, table: str, folder: Path, **plan: Any) -> Imported:  # noqa: ANN401 - values of ImportPlan
    options = replace(ImportPlan(Stage("test", {"PassesTableName": table}), pass_type=TYPE, template="member"), **plan)
    return import_passes(open_rows(path), options, Templates(folder=folder), on_rows=lambda _: None, on_progress=print)

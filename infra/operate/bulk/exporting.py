"""Exports passes from the passes table to a file that `importing.py` can read.

Parallel scans write the table to a temporary file of JSON lines beside the target. The target is created from it, and
gets its name only when it is complete. The columns of CSV and Parquet are those of the items found.

Authentication tokens in items are left out unless requested; everything else is exported.
"""

import csv
import queue
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from botocore.config import Config

from chalicelib.aws.templates import Templates
from chalicelib.core.errors import PasswireError
from chalicelib.passes.template import Template
from infra.core.private_files import PRIVATE
from infra.operate.bulk.cells import field_cell, from_json, to_json
from infra.operate.bulk.columns import ATTRIBUTES, MAPS
from infra.operate.bulk.files.kinds import WRITTEN, kind_of
from infra.operate.bulk.files.parquet import import_parquet
from infra.stage import aws
from infra.stage.stage import Stage

SEGMENTS = 4
PAGES_AHEAD = 8
"""Maximum number of pages that are read and not yet written."""
ROWS_AT_ONCE = 5000
SECRET = "authentication_token"


@dataclass(frozen=True, slots=True)
class Exported:
    """Result of an export.

    Args:
        passes: number of passes written.
        tokens_left_out: number of passes whose authentication token was left out.
    """

    passes: int
    tokens_left_out: int


def export_passes(
    stage: Stage,
    target: Path,
    templates: Templates,
    *,
    leave_out: Iterable[str] = (SECRET,),
    on_rows: Callable[[int], object],
) -> Exported:
    """Write all passes of a table to a file, in no particular order; arguments and errors as for `write_passes`."""
    return write_passes(_scanned(stage.table("passes")), target, templates, leave_out=leave_out, on_rows=on_rows)


def write_passes(
    pages: Iterable[Sequence[Mapping[str, Any]]],
    target: Path,
    templates: Templates,
    *,
    leave_out: Iterable[str] = (SECRET,),
    on_rows: Callable[[int], object],
) -> Exported:
    """Write items to a file, which is created or replaced only when it is complete.

    Args:
        pages: lists of items.
        target: the file; the suffix of its name selects the format.
        templates: templates of the stage, which define the types of fields.
        leave_out: attributes that are not written.
        on_rows: called with the number of items of each page.

    Raises:
        FileError: the format is unknown, or pyarrow is not installed.
    """
    kind = kind_of(target, WRITTEN)
    if kind == ".parquet":
        import_parquet()
    left_out = set(leave_out)
    passes = tokens = 0
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as work:
        lines = Path(work) / "passes.jsonl"
        found: dict[str, None] = {}
        with lines.open("w", encoding="utf-8", newline="\n") as file:
            for page in pages:
                for item in page:
                    tokens += SECRET in item and SECRET in left_out
                    row = _row({name: value for name, value in item.items() if name not in left_out})
                    file.write(to_json(row) + "\n")
                    if kind != ".jsonl":
                        found.update(dict.fromkeys(_spread(row)))
                passes += len(page)
                on_rows(len(page))
        complete = lines
        if kind != ".jsonl":
            complete = Path(work) / f"passes{kind}"
            rows = _cells(lines, templates)
            columns = [*(name for name in ATTRIBUTES if name in found), *sorted(set(found) - set(ATTRIBUTES))]
            (_write_csv if kind == ".csv" else _write_parquet)(complete, columns or list(ATTRIBUTES[:1]), rows)
        complete.chmod(PRIVATE)  # contains personal data
        complete.rename(target)
    return Exported(passes, tokens)


def _row(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item by the columns of `columns.py`, with the pipeline's own attributes under `attributes`."""
    known = {name: item[name] for name in (*ATTRIBUTES, *MAPS[:3]) if name in item}
    own = {name: value for name, value in item.items() if name not in known}
    return {**known, **({"attributes": own} if own else {})}


def _spread(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with a column for each field, unless its fields are invalid."""
    fields = row.get("fields")
    if not isinstance(fields, dict) or not fields or not all(map(_is_field, fields.items())):
        return dict(row)
    rest = {name: value for name, value in row.items() if name != "fields"}
    return {**rest, **{f"fields.{key}": value for key, value in fields.items()}}


def _is_field(entry: tuple[str, object]) -> bool:
    key, value = entry
    return bool(key) and value is not None and not isinstance(value, bool | list | set | bytes)


def _cells(lines: Path, templates: Templates) -> Iterator[dict[str, str]]:
    known: dict[str, Template | None] = {}
    with lines.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            row = from_json(line)
            name = row.get("template")
            if isinstance(name, str) and name not in known:
                known[name] = _template(templates, name)
            yield {
                column: _cell(known.get(str(name)), column, value)
                for column, value in _spread(row).items()
                if value is not None or column not in ATTRIBUTES  # NULL means absent, as an empty cell does
            }


def _template(templates: Templates, name: str) -> Template | None:
    """Return a template; None if it does not exist or is invalid, in which case its passes are exported as they are."""
    try:
        return templates.get(name)
    except PasswireError:
        return None


def _cell(template: Template | None, column: str, value: object) -> str:
    where, _, key = column.partition(".")
    if where == "fields" and key:
        return field_cell(template, key, value)
    if column in MAPS:
        return to_json(value)
    return value if isinstance(value, str) else to_json(value)


def _write_csv(path: Path, columns: list[str], rows: Iterable[Mapping[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\r\n")
        writer.writeheader()
        writer.writerows(rows)


def _write_parquet(path: Path, columns: list[str], rows: Iterable[Mapping[str, str]]) -> None:
    arrow, parquet = import_parquet()
    schema = arrow.schema([(column, arrow.string()) for column in columns])
    with parquet.ParquetWriter(path, schema) as writer:
        for chunk in _in_chunks(rows, ROWS_AT_ONCE):
            writer.write_table(arrow.Table.from_pylist(chunk, schema=schema))


def _in_chunks(rows: Iterable[Mapping[str, str]], size: int) -> Iterator[list[Mapping[str, str]]]:
    remaining = iter(rows)
    while chunk := list(islice(remaining, size)):
        yield chunk


def _scanned(table_name: str) -> Iterator[list[dict[str, Any]]]:
    """Yield pages of the table's items, in no particular order."""
    resource = aws.resource("dynamodb", config=Config(max_pool_connections=SEGMENTS))
    table = resource.Table(table_name)
    pages: queue.Queue[list[dict[str, Any]] | BaseException | None] = queue.Queue(PAGES_AHEAD)
    stop = threading.Event()

    def scan(segment: int) -> None:
        start: dict[str, Any] = {}
        try:
            while not stop.is_set():
                page = table.scan(Segment=segment, TotalSegments=SEGMENTS, ConsistentRead=True, **start)
                _put(pages, page["Items"], stop)
                if "LastEvaluatedKey" not in page:
                    break
                start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
        except BaseException as error:  # noqa: BLE001 - raised again by the reader of the queue
            _put(pages, error, stop)
        else:
            _put(pages, None, stop)

    with ThreadPoolExecutor(SEGMENTS) as scanners:
        for segment in range(SEGMENTS):
            scanners.submit(scan, segment)
        try:
            unfinished = SEGMENTS
            while unfinished:
                match pages.get():
                    case None:
                        unfinished -= 1
                    case BaseException() as error:
                        raise error
                    case page:
                        yield page
        finally:
            stop.set()


def _put(pages: "queue.Queue[Any]", page: object, stop: threading.Event) -> None:
    """Put a page into the queue, unless the export has stopped."""
    while not stop.is_set():
        try:
            pages.put(page, timeout=0.2)
        except queue.Full:
            continue
        return

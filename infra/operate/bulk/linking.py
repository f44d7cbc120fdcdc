"""Writes download links of many passes to a CSV file: for the rows of an import, or for all passes of a type.

Anyone who has such a file can add the passes, so only its owner can read it.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from chalicelib.aws.templates import Templates
from chalicelib.core.identifiers import PassId
from infra.core.private_files import open_private
from infra.operate.bulk.cells import to_json
from infra.operate.bulk.files.base import RowFile
from infra.operate.bulk.plan import ImportPlan, columns_of, item_of
from infra.operate.passes.links import DownloadLink
from infra.stage import aws
from infra.stage.stage import Stage

Sign = Callable[[Sequence[PassId]], DownloadLink]
LINK = "link"
COLUMNS = ("pass_id", LINK)


def write_import_links(
    file: RowFile, plan: ImportPlan, templates: Templates, target: Path, sign: Sign, *, on_rows: Callable[[int], object]
) -> int:
    """Write the accepted rows of an imported file with a column `link`; authentication tokens are left out.

    Args:
        file: the rows that were imported.
        plan: options of the import.
        templates: templates of the stage.
        target: the CSV file, which gets its name only when it is complete.
        sign: makes the link of a pass.
        on_rows: called with the position in the imported file.

    Returns:
        The number of links.
    """
    columns = columns_of(file, plan, templates, upload=False)
    kept = [column for column in file.columns if column not in columns.token_columns and column != LINK]

    def lines() -> Iterator[list[str]]:
        for row in file.rows():
            item, _ = item_of(row, columns)
            on_rows(row.position)
            if item is not None:
                link = sign([PassId.parse(item["pass_id"])])
                yield [*(_cell(row.values.get(column)) for column in kept), link.url]

    partial = target.with_name(f"{target.name}.partial")
    partial.unlink(missing_ok=True)
    with open_private(partial, "xb") as opened:
        count = _append(opened, [[*kept, LINK]]) + _append(opened, lines()) - 1
    partial.rename(target)
    return count


def write_links(
    stage: Stage, pass_type: str, target: Path, sign: Sign, *, on_links: Callable[[int], object]
) -> tuple[int, int]:
    """Write a link for each pass of a type: columns `pass_id` and `link`.

    An interrupted run leaves `target.partial`. The next run keeps its links and adds those of the other passes.

    Args:
        stage: the stage.
        pass_type: pass type identifier.
        target: the CSV file, which gets its name only when it is complete.
        sign: makes the link of a pass.
        on_links: called with the number of links after each page of passes.

    Returns:
        The number of links in the file, and how many of them an interrupted run had written.
    """
    partial = target.with_name(f"{target.name}.partial")
    written = _resume(partial)
    resumed = len(written)
    with open_private(partial, "ab") as opened:
        if not opened.tell():
            _append(opened, [COLUMNS])
        for page in _pages(stage, pass_type):
            new = [pass_id for pass_id in page if pass_id not in written]
            _append(opened, ([str(pass_id), sign([pass_id]).url] for pass_id in new))
            opened.flush()
            written.update(new)
            on_links(len(written))
    partial.rename(target)
    return len(written), resumed


def _pages(stage: Stage, pass_type: str) -> Iterator[list[PassId]]:
    table = aws.resource("dynamodb").Table(stage.table("passes"))
    request: dict[str, Any] = {
        "ProjectionExpression": "pass_id",
        "FilterExpression": "begins_with(pass_id, :type)",
        "ExpressionAttributeValues": {":type": f"{pass_type}/"},
        "ConsistentRead": True,
    }
    while True:
        page = table.scan(**request)
        yield [PassId.parse(item["pass_id"]) for item in page["Items"]]
        if "LastEvaluatedKey" not in page:
            return
        request["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def _resume(partial: Path) -> set[PassId]:
    """Return the passes that an interrupted run wrote, after cutting off a line that it did not finish."""
    if not partial.exists():
        return set()
    content = partial.read_bytes()
    complete = content[: content.rfind(b"\r\n") + 2] if b"\r\n" in content else b""
    if len(complete) < len(content):
        partial.write_bytes(complete)
    rows = csv.reader(io.StringIO(complete.decode(), newline=""))
    return {PassId.parse(row[0]) for row in rows if len(row) == len(COLUMNS) and tuple(row) != COLUMNS}


def _append(opened: BinaryIO, rows: Iterable[Sequence[str]]) -> int:
    """Append rows to a file, and return their number."""
    text = io.TextIOWrapper(opened, encoding="utf-8", newline="")
    writer, count = csv.writer(text, lineterminator="\r\n"), 0
    for row in rows:
        writer.writerow(row)
        count += 1
    text.detach()
    return count


def _cell(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else to_json(value)

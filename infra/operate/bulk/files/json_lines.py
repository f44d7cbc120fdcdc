"""Files of rows with one JSON object per line."""

import json
from collections.abc import Iterator
from pathlib import Path

from infra.operate.bulk.cells import CellError, from_json, to_json
from infra.operate.bulk.files.base import LINE, REASON, FileError, Row
from infra.operate.bulk.files.text import TextFile

MAX_COLUMNS = 10_000


class JsonLinesFile(TextFile):
    """A file with one JSON object per line."""

    cells = False
    newline = "\n"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        found: dict[str, None] = {}
        first: Row | None = None
        for row in self.rows():
            first = first or row
            found.update(dict.fromkeys(row.values or _members(row.text)))
            if len(found) > MAX_COLUMNS:
                raise FileError(
                    f"{path}, line {row.line}: more than {MAX_COLUMNS:,} different keys up to this line; each key is a "
                    "column, so use the same keys in every line"
                )
        if first is not None and not found:
            raise FileError(
                f"{path}, line {first.line}: {first.problem or 'has no members'}; write one JSON object per line, such "
                'as {"serial_number": "7K2M9Q", "gate": "B22"}'
            )
        self._columns = tuple(found)

    @property
    def columns(self) -> tuple[str, ...]:
        return self._columns

    def rows(self) -> Iterator[Row]:
        number = 0
        with self.lines() as lines:
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


def _members(text: str) -> dict[str, object]:
    """Return the members of a JSON object, with numbers as text; empty if the text is not a JSON object."""
    try:
        found = json.loads(text, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}

r"""All that the command line prints, with nothing in it that a terminal would act on.

Item values, device logs, names of files and templates, answers of AWS: they come from outside, and may hold escape
sequences that move the cursor, rewrite lines or change the window's title, marks that turn text around, or rich's own
markup. Such a character is shown as its escape, `\x1b`. JSON needs none of this: what `json.dumps` writes is ASCII.
"""

import json
import os
import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.status import Status
from rich.text import Text

GAP = "  "
"""Between the columns of a table."""
JOINERS = "\u200c\u200d"
"""They join or part letters and emoji; `isprintable` calls them control characters."""


def printable(text: str) -> str:
    """One line of text as a terminal may get it: control and format characters, line breaks too, as their escapes."""
    return text if text.isprintable() else "".join(map(_shown, text))


def printable_lines(text: str) -> str:
    """The same, with its line feeds and tabs left as they are."""
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))


def write_line(text: str) -> None:
    """Print one line."""
    print(printable(text), flush=True)


def write_text(text: str) -> None:
    """Print text of several lines."""
    print(printable_lines(text), flush=True)


def write_table(head: Sequence[str], rows: Sequence[Sequence[str | Text]], *, numbers: Sequence[str] = ()) -> None:
    """Print a table with a header; a terminal that is too narrow gets each row as a block of lines.

    Args:
        head: the names of the columns; the first one names the row.
        rows: a cell per column.
        numbers: the columns that are aligned at the right.
    """
    console = standard_output()
    width = console.width if console.is_terminal or "COLUMNS" in os.environ else None
    cells = [[_as_text(cell) for cell in row] for row in (head, *rows)]
    widths = [max(cell.cell_len for cell in column) for column in zip(*cells, strict=True)]
    if width is None or sum(widths) + len(GAP) * (len(widths) - 1) <= width:
        for row in cells:
            for cell, size, name in zip(row, widths, head, strict=True):
                cell.align("right" if name in numbers else "left", size)
            line = Text(GAP).join(row)
            line.rstrip()
            console.print(line)
        return
    indent = max(map(len, head[1:]), default=0)
    for row in cells[1:]:
        console.print(row[0])
        for name, cell in zip(head[1:], row[1:], strict=True):
            console.print(Text.assemble(f"  {name:{indent}}  ", cell))


def write_values(values: Sequence[tuple[str, str | Text]]) -> None:
    """Print names and their values, one per line, aligned."""
    console = standard_output()
    indent = max((len(name) for name, _ in values), default=0)
    for name, value in values:
        console.print(Text.assemble(f"{printable(name):{indent}}  ", _as_text(value)))


def write_json(value: object, *, indent: int | None = 2, default: Callable[[Any], object] | None = None) -> None:
    """Print a value as JSON, for scripts.

    Args:
        value: of what JSON knows.
        indent: None for all on one line.
        default: makes JSON of what it does not know.
    """
    print(json.dumps(value, indent=indent, default=default), flush=True)


class PlainConsole(Console):
    """rich's console, which takes strings as they are: without markup, highlighting, wrapping or control characters.

    Colors come with `Text` or `styled`.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, soft_wrap=True, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **options: Any) -> Text:  # noqa: ANN401 - rich's own
        """Escape everything that is printed, each cell of a table included."""
        return super().render_str(printable_lines(text), **{**options, "markup": False, "emoji": False})

    def status(self, status: RenderableType, **options: Any) -> Status:  # noqa: ANN401 - options of rich
        """A line that shows that something is going on."""
        return super().status(self.render_str(status) if isinstance(status, str) else status, **options)


def standard_output() -> PlainConsole:
    """For what a command was asked for."""
    return PlainConsole()


def standard_error() -> PlainConsole:
    """For progress, warnings and errors."""
    return PlainConsole(stderr=True)


@contextmanager
def progress(activity: str, *columns: ProgressColumn, total: float | None = None) -> Iterator[Callable[..., None]]:
    """Show a line of progress on standard error if that is a terminal.

    Args:
        activity: shown at the beginning of the line, such as `restoring`.
        columns: of rich, after the activity; a bar if the total is known, else a spinner.
        total: number of steps, None if it is not known.

    Yields:
        A function that takes `advance` (steps since its last call), `completed` (steps so far) and `description`.
    """
    console = standard_error()
    shape: tuple[ProgressColumn, ...] = (SpinnerColumn(),) if total is None else (BarColumn(),)
    shown = (*shape, TextColumn(activity), *columns, TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*shown, console=console, transient=True, disable=not console.is_terminal) as bar:
        task: TaskID = bar.add_task("", total=total)

        def update(**changes: Any) -> None:  # noqa: ANN401 - of rich
            if "description" in changes:
                changes["description"] = printable(changes["description"])
            bar.update(task, **changes)

        yield update


def is_interactive(stream: TextIO | None = None) -> bool:
    """Return True if a person can answer questions: standard input is a terminal."""
    return (stream or sys.stdin).isatty()


def styled(word: str, style: str, rest: str = "") -> Text:
    """A word in a color, and plain text behind it."""
    return Text.assemble((printable(word), style), printable_lines(rest))


def _as_text(cell: str | Text) -> Text:
    return cell if isinstance(cell, Text) else Text(printable(cell))


def _shown(character: str) -> str:
    if character.isprintable() or character in JOINERS:
        return character
    if unicodedata.category(character) == "Zs":
        return " "
    return character.encode("unicode_escape").decode()

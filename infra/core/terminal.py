r"""All that the command line prints, with nothing in it that a terminal would act on.

Item values, device logs, names of files and templates, answers of AWS: they come from outside, and may hold escape
sequences that move the cursor, rewrite lines or change the window's title, marks that turn text around, or rich's own
markup. Such a character is shown as its escape, `\x1b`. JSON needs none of this: what `json.dumps` writes is ASCII.
"""

import json
import unicodedata
from collections.abc import Callable
from typing import Any

from rich.console import Console, RenderableType
from rich.status import Status
from rich.text import Text

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


def styled(word: str, style: str, rest: str = "") -> Text:
    """A word in a color, and plain text behind it."""
    return Text.assemble((printable(word), style), printable_lines(rest))


def _shown(character: str) -> str:
    if character.isprintable() or character in JOINERS:
        return character
    if unicodedata.category(character) == "Zs":
        return " "
    return character.encode("unicode_escape").decode()

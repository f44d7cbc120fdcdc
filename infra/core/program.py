"""The name of this program, for messages that tell a person what to run next.

`passwire` and `python -m infra` are the same program. A message names it as it was called, with the global options that
were given, so that the line can be copied.
"""

import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

NAME = "passwire"
MODULE = "python -m infra"

_options: ContextVar[tuple[str, ...]] = ContextVar("global options of this call", default=())


def name() -> str:
    """Return the name that this program was called by: `passwire` or `python -m infra`."""
    called = Path(sys.argv[0])
    return MODULE if (called.parent.name, called.name) == ("infra", "__main__.py") else NAME


def called() -> str:
    """Return how a shell calls this program again: its name, or its path if the PATH does not lead to it."""
    given = Path(sys.argv[0])
    if name() == MODULE or given.name != NAME or given.parent == Path():
        return name()
    found = shutil.which(NAME)
    return NAME if found is not None and Path(found).resolve() == given.resolve() else shlex.quote(sys.argv[0])


def command(*arguments: str) -> str:
    """Return a command line of this program, quoted for a shell.

    Args:
        arguments: such as `"deploy", "--stage", "dev"`; a first argument of several words, such as `"cert import"`, is
            not quoted.
    """
    first, *rest = arguments
    words = [called(), first]
    if rest:
        words.append(shlex.join(rest))
    if options := _options.get():
        words.append(shlex.join(options))
    return " ".join(words)


def renamed(text: str) -> str:
    """Return a help text, which is written with `passwire`, with the name that this program was called by."""
    return text.replace(f"Example: {NAME} ", f"Example: {called()} ").replace(f"$({NAME} ", f"$({called()} ")


@contextmanager
def called_with(options: tuple[str, ...]) -> Iterator[None]:
    """Add global options, such as `("--profile", "work")`, to every command line within the context."""
    before = _options.set(options)
    try:
        yield
    finally:
        _options.reset(before)

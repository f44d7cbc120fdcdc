"""The one rule for files that commands write and read: `-` is standard output or input, and nothing is overwritten.

Paths are checked before any work is done.
"""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.core.errors import InvalidValueError
from infra.core.private_files import open_private

STANDARD = "-"


class PathError(InvalidValueError):
    """A path cannot be written or read; nothing was done."""


def check_new(path: Path, *, overwrite: bool | None = None) -> None:
    """Check that a file can be created.

    Args:
        path: the file; `-` is standard output.
        overwrite: an existing file may be replaced; None if the command never replaces one.

    Raises:
        PathError: its folder is missing, or it exists.
    """
    if str(path) == STANDARD:
        return
    if not path.parent.is_dir():
        raise PathError(f"{path}: there is no folder {path.parent}; create it first")
    if path.is_dir():
        raise PathError(f"{path}: is a folder; give the name of a file")
    if path.exists() and not overwrite:
        raise PathError(f"{path}: exists; give another name" + (", or add --overwrite" if overwrite is False else ""))


@contextmanager
def spooled_output(name: str) -> Iterator[Path]:
    """Yield the path of a temporary file that is copied to standard output at the end of the context.

    Args:
        name: the name of the file.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        yield path
        with path.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.buffer.flush()


@contextmanager
def spooled_input(name: str) -> Iterator[Path]:
    """Yield the path of a temporary file with the content of standard input, which only its owner can read.

    Args:
        name: the name of the file.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        with open_private(path, "xb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield path

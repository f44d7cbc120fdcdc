"""The one rule for files that commands write and read: `-` is standard output or input, and nothing is overwritten.

Paths are checked before any work is done.
"""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from infra.core.errors import InvalidValueError
from infra.core.private_files import open_private

STANDARD = "-"
STANDARD_INPUT = "standard input"
"""Name of the file `-` in messages."""


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


def check_standard_input(*paths: Path | None) -> None:
    """Check that at most one of the files to read is standard input.

    Raises:
        PathError: more of them are.
    """
    if [str(path) for path in paths].count(STANDARD) > 1:
        raise PathError("-: standard input can be read only once; give the other files by name")


def check_inputs(*paths: Path | None) -> None:
    """Check files to read: all exist, and at most one is standard input.

    Raises:
        PathError: they do not.
    """
    check_standard_input(*paths)
    for path in paths:
        if path is None or str(path) == STANDARD:
            continue
        if path.is_dir():
            raise PathError(f"{path}: is a folder; give a file")
        if not path.exists():  # also a pipe is a file to read, such as that of a shell's <(...)
            raise PathError(f"{path}: no such file")


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Yield a file to read, or standard input for `-`.

    Raises:
        OSError: the file cannot be read.
    """
    if str(path) == STANDARD:
        yield sys.stdin.buffer
        return
    with path.open("rb") as file:
        yield file


@contextmanager
def input_file(path: Path, name: str) -> Iterator[Path]:
    """Yield the path of a file to read: the file itself, or a temporary file with the content of standard input.

    Args:
        path: the file, or `-`.
        name: name of the temporary file.

    Raises:
        PathError: there is no such file.
    """
    if str(path) == STANDARD:
        with spooled_input(name) as spooled:
            yield spooled
        return
    check_inputs(path)
    yield path


@contextmanager
def output_file(path: Path, name: str) -> Iterator[Path]:
    """Yield the path of a file to write: the file itself, or a temporary file that is copied to standard output.

    Args:
        path: the file, or `-`.
        name: name of the temporary file.
    """
    if str(path) == STANDARD:
        with spooled_output(name) as spooled:
            yield spooled
    else:
        yield path


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

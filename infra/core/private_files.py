"""Files that only their owner may read: they hold keys, tokens, or what people are called."""

import os
from pathlib import Path
from typing import BinaryIO

PRIVATE = 0o600


def private_descriptor(path: str | Path, flags: int) -> int:
    """Open a file as `os.open` does, private from its first moment; one that is there already becomes private."""
    descriptor = os.open(path, flags, PRIVATE)
    try:
        os.fchmod(descriptor, PRIVATE)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def open_private(path: Path, mode: str) -> BinaryIO:
    """Open a private file.

    Args:
        path: where it is, or will be.
        mode: of `open`, for bytes: `"ab"`, `"xb"`, ...

    Raises:
        OSError: as `open`.
    """
    file: BinaryIO = open(path, mode, opener=private_descriptor)  # type: ignore[assignment]  # noqa: SIM115 - the caller closes it
    return file

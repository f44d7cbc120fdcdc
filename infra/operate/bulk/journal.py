"""The journal of an import: a small file beside the imported one, with one line per finished request.

A line is one write to the kernel, so it survives the end of the process. If a machine loses power, rows whose lines are
lost are written again, which changes nothing.
"""

import errno
import fcntl
import json
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from chalicelib.core.errors import RefusedError
from infra.core.private_files import private_descriptor


class ImportRunsError(RefusedError):
    """Another process is importing the same file into the same stage."""


@dataclass(frozen=True, slots=True)
class Settled:
    """Rows that are either written or refused.

    Args:
        first: number of the first row.
        last: number of the last row; all rows between them are settled.
        written: number of rows written.
        rejected: number of rows refused.
        rejects_size: size of the reject file, in bytes, with the refused rows.
    """

    first: int
    last: int
    written: int
    rejected: int
    rejects_size: int


class Journal:
    """The journal of importing one file into one stage; locked while it is open.

    Attributes:
        resumed: True if an interrupted import with the same key had a journal.
        replaced: True if the journal of an import with another key was discarded.

    Args:
        path: the journal's file.
        key: identifies the content and the options of the import.

    Raises:
        ImportRunsError: another process has the journal open.
    """

    def __init__(self, path: Path, key: str) -> None:
        self._path = path
        self._file = private_descriptor(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise ImportRunsError(f"{path}: another import of this file is running; wait until it ends") from None
        self.replaced = self.resumed = False
        self.written = self.rejected = self.rejects_size = 0
        self._through = 0
        self._beyond: dict[int, int] = {}
        self._read(key)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    @property
    def rows(self) -> int:
        """Number of settled rows."""
        return self.written + self.rejected

    def is_settled(self, number: int) -> bool:
        """Return True if the row with this number is settled."""
        return number <= self._through or any(first <= number <= last for first, last in self._beyond.items())

    def record(self, settled: Settled) -> None:
        """Record settled rows.

        Raises:
            OSError: the disk is full.
        """
        s = settled
        line = f"{s.first} {s.last} {s.written} {s.rejected} {s.rejects_size}\n".encode()
        if os.write(self._file, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        self._add(settled)

    def remove(self) -> None:
        """Delete the journal of a complete import, so that the next import starts with the first row."""
        self._path.unlink()

    def _read(self, key: str) -> None:
        size = 0
        with os.fdopen(os.dup(self._file), "rb") as file:
            file.seek(0)
            head = file.readline()
            if _key(head) == key:
                self.resumed = True
                size = len(head)
                for line in file:
                    numbers = line.split()
                    if not line.endswith(b"\n") or len(numbers) != len(fields(Settled)):
                        break  # an incomplete line: the process was killed, or the disk was full
                    self._add(Settled(*map(int, numbers)))
                    size += len(line)
            else:
                self.replaced = head != b""
        os.ftruncate(self._file, size)
        if not size:
            os.write(self._file, json.dumps({"key": key}).encode() + b"\n")

    def _add(self, settled: Settled) -> None:
        self.written += settled.written
        self.rejected += settled.rejected
        self.rejects_size = max(self.rejects_size, settled.rejects_size)
        self._beyond[settled.first] = settled.last
        while (last := self._beyond.pop(self._through + 1, None)) is not None:
            self._through = last
        self._beyond = {first: last for first, last in self._beyond.items() if last > self._through}


def _key(head: bytes) -> str | None:
    try:
        content: Any = json.loads(head)
        return str(content["key"])
    except (ValueError, KeyError, TypeError):
        return None

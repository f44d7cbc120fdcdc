"""What an import has done, in a small file beside the one that it reads: a line for each request that was settled.

A line is one write to the kernel, so it outlives the process however that ends. What a machine that loses its power
forgets of it is written again, which changes nothing.
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
    """Another process imports the same file into the same stage."""


@dataclass(frozen=True, slots=True)
class Settled:
    """Rows that are dealt with for good.

    Args:
        first: the number of the first.
        last: and of the last; all between are settled.
        written: how many of them stand in the table.
        rejected: how many of them were refused.
        rejects_size: bytes of the reject file with theirs in it.
    """

    first: int
    last: int
    written: int
    rejected: int
    rejects_size: int


class Journal:
    """The journal of one file into one stage; held alone, for as long as it is open.

    Args:
        path: of the journal.
        key: names the content and the meaning of the file: what was noted under another is forgotten.

    Raises:
        ImportRunsError: another process has it open.
    """

    def __init__(self, path: Path, key: str) -> None:
        self._path = path
        self._file = private_descriptor(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise ImportRunsError(f"{path}: another import of this file runs; wait for it") from None
        self.of_another = self.resumed = False
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
        """How many were settled when the journal was opened, and since."""
        return self.written + self.rejected

    def settled(self, number: int) -> bool:
        """Whether a row is."""
        return number <= self._through or any(first <= number <= last for first, last in self._beyond.items())

    def note(self, settled: Settled) -> None:
        """Write down what was settled."""
        s = settled
        line = f"{s.first} {s.last} {s.written} {s.rejected} {s.rejects_size}\n".encode()
        if os.write(self._file, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        self._add(settled)

    def remove(self) -> None:
        """The file is imported whole: the next import of it begins anew."""
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
                        break  # the last thing that a killed process did, or that a full disk took
                    self._add(Settled(*map(int, numbers)))
                    size += len(line)
            else:
                self.of_another = head != b""
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

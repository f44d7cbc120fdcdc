"""The file with the refused rows of an import, which can be corrected and imported."""

from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from infra.core.private_files import open_private


class RejectFile:
    """Refused rows, in a private file that is created for the first of them.

    Args:
        path: of the file.
        header: its first lines.
        recorded_bytes: size of the rows of an interrupted run that its journal records; other content is removed.
    """

    def __init__(self, path: Path, *, header: str, recorded_bytes: int) -> None:
        self.path = path
        self._header = header
        self._file: BinaryIO | None = None
        if recorded_bytes:
            self._file = open_private(path, "ab")
            self.truncate(recorded_bytes)
        else:
            path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, text: str) -> None:
        """Append a refused row."""
        if self._file is None:
            self._file = open_private(self.path, "ab")
            self._file.write(self._header.encode())
        self._file.write(text.encode())

    def size(self) -> int:
        """Write what was added to the disk, and return the size in bytes; 0 without a row."""
        if self._file is None:
            return 0
        self._file.flush()
        return self._file.tell()

    def truncate(self, size: int) -> None:
        """Remove the rows after the first `size` bytes."""
        if self._file is not None:
            self._file.flush()
            self._file.truncate(size)

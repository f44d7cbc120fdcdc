"""Text files of rows: their encoding and their lines."""

import codecs
import hashlib
import io
import shlex
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Self

from infra.operate.bulk.files.base import FileError, RowFile

MAX_LINE_LENGTH = 4_000_000
"""In characters. An item has at most 400 KB, and no encoding of it is ten times as long."""
CHUNK_BYTES = 1 << 20
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16's, which is a prefix of it
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
NULS = ((b"\0\0\0x", "utf-32-be"), (b"x\0\0\0", "utf-32-le"), (b"\0x\0x", "utf-16-be"), (b"x\0x\0", "utf-16-le"))
"""Encodings without a mark, by the zero bytes of the first characters, which are ASCII (RFC 4627, section 3)."""


class TextFile(RowFile):
    """A text file in UTF-8, or in UTF-16 or UTF-32 as spreadsheets and Windows' tools write them."""

    newline: ClassVar[str]
    """The line ending, as the parameter `newline` of `open`: `""` for any of CR, LF and CRLF."""

    def _digest(self) -> str:
        self._encoding = _encoding(self.path)
        decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(self._encoding)(), translate=True)
        digest, line, length = hashlib.sha256(), 1, 0
        with self.path.open("rb") as file:
            for chunk in iter(lambda: file.read(CHUNK_BYTES), b""):
                digest.update(chunk)
                try:
                    text = decoder.decode(chunk)
                except UnicodeDecodeError as error:
                    raise self._wrong_encoding(error, line) from None
                first, last = text.find("\n"), text.rfind("\n")
                if length + (len(text) if first < 0 else first) > MAX_LINE_LENGTH:
                    raise FileError(
                        f"{self.path}, line {line}: longer than {MAX_LINE_LENGTH:,} characters; split the line"
                    )
                length = length + len(text) if last < 0 else len(text) - last - 1
                line += text.count("\n")
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            raise FileError(
                f"{self.path}, line {line}: ends in the middle of a character; get a complete copy of the file"
            ) from None
        return digest.hexdigest()

    def _wrong_encoding(self, error: UnicodeDecodeError, line: int) -> FileError:
        """Return an error that names the invalid byte and its line.

        Args:
            error: raised by the decoder; its `object` contains the bytes that were decoded.
            line: number of the line at which those bytes begin.
        """
        before = error.object[: error.start].decode(self._encoding, errors="ignore")
        line += before.replace("\r\n", "\n").replace("\r", "\n").count("\n")
        name = self._encoding.upper().removesuffix("-SIG")
        advice = ""
        if name == "UTF-8":
            source = shlex.quote(self.path.name)
            target = shlex.quote(f"utf8-{self.path.name}")
            advice = f", or convert it from WINDOWS-1252: iconv -f WINDOWS-1252 -t UTF-8 {source} > {target}"
        return FileError(
            f"{self.path}, line {line}: byte 0x{error.object[error.start]:02x} is not {name}; nothing was written. "
            f"Save the file as UTF-8{advice}"
        )

    def lines(self) -> "Lines":
        return Lines(self.path, encoding=self._encoding, newline=self.newline)


class Lines(Iterator[str]):
    """Iterates over the lines of a file and counts them; lines can be returned to be read again."""

    def __init__(self, path: Path, *, encoding: str, newline: str) -> None:
        self._bytes = path.open("rb")
        self._file = io.TextIOWrapper(self._bytes, encoding, newline=newline)
        self._returned: deque[str] = deque()
        self.number = 0

    @property
    def position(self) -> int:
        """Number of bytes read from the file, rounded up to the size of the buffer."""
        return self._bytes.tell()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __next__(self) -> str:
        if self._returned:
            line = self._returned.popleft()
        else:
            line = self._file.readline()
            if not line:
                raise StopIteration
        self.number += 1
        return line

    def give_back(self, lines: list[str]) -> None:
        """Return the lines that were read last, to be read again."""
        self._returned.extendleft(reversed(lines))
        self.number -= len(lines)


def _encoding(path: Path) -> str:
    """Detect the encoding of a text file from its first bytes; the default is UTF-8."""
    with path.open("rb") as file:
        start = file.read(4)
    for mark, encoding in BYTE_ORDER_MARKS:
        if start.startswith(mark):
            return encoding
    pattern = bytes(byte and ord("x") for byte in start)
    return next((encoding for nuls, encoding in NULS if pattern == nuls), "utf-8")

"""Requests' header blocks read at the speed that a benchmark needs: a block like the one before costs two look-ups.

Clients send the same headers with every push but for `:path`. As long as they leave the dynamic table alone, what
stands before and after a path in a block means what it meant the last time.
"""

from functools import lru_cache

from hpack import HPACKError
from hpack.huffman_table import decode_huffman

from chalicelib.apns import header_blocks
from chalicelib.apns.header_blocks import ADDED, INDEXED, SIZE_UPDATE, HeaderBlockError, integer
from infra.local.apns.values import Headers

MAX_KEPT = 1000
_PATH = b":path"
_huffman = lru_cache(maxsize=1 << 17)(decode_huffman)


class RequestBlocks(header_blocks.HeaderBlocks):
    """The reading end of one client's compression."""

    def __init__(self) -> None:
        super().__init__(_huffman)
        self._kept: dict[tuple[bytes, bytes], Headers] = {}
        self._touched = False

    def read_request(self, block: bytes) -> tuple[bytes, Headers]:
        """The path, and all other headers in their order; the same tuple where they are the same as before.

        Raises:
            HeaderBlockError: it cannot be read.
        """
        try:
            return self._read(block)
        except (IndexError, HPACKError) as error:
            raise HeaderBlockError(str(error)) from error

    def _read(self, block: bytes) -> tuple[bytes, Headers]:
        path = b""
        self._touched = False
        around: tuple[bytes, bytes] | None = None
        headers: list[tuple[bytes, bytes]] = []
        position, end = 0, len(block)
        while position < end:
            first = block[position]
            if first >= INDEXED:
                index, position = integer(block, position, 0x7F)
                name, value = self.entry(index)
            elif first >= ADDED:
                name, value, position = self.literal(block, position, 0x3F)
                self.add(name, value)
            elif first >= SIZE_UPDATE:
                size, position = integer(block, position, 0x1F)
                self.resize(size)
                continue
            else:
                start = position
                name, value, position = self.literal(block, position, 0x0F)
                if name == _PATH:
                    around = (block[:start], block[position:])
                    known = self._kept.get(around)
                    if known is not None:
                        return value, known
            if name == _PATH:
                path = value
            else:
                headers.append((name, value))
        result = tuple(headers)
        if around is not None and not self._touched and len(self._kept) < MAX_KEPT:
            self._kept[around] = result
        return path, result

    def add(self, name: bytes, value: bytes) -> None:
        self._touch()
        super().add(name, value)

    def resize(self, size: int) -> None:
        self._touch()
        super().resize(size)

    def _touch(self) -> None:
        self._touched = True
        self._kept.clear()

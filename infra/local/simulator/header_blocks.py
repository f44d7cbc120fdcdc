"""HPACK (RFC 7541) read at the speed that a benchmark needs: a block like the one before costs two look-ups.

Clients send the same headers with every push but for `:path`. As long as they leave the dynamic table alone, what
stands before and after a path in a block means what it meant the last time.
"""

from collections import deque
from functools import lru_cache

from hpack import HPACKError
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

from infra.local.simulator.values import Headers

TABLE_BYTES = 4096
"""SETTINGS_HEADER_TABLE_SIZE; what every peer starts with."""
MAX_KEPT = 1000
_ENTRY_OVERHEAD = 32
_PATH = b":path"
_STATIC: list[tuple[bytes, bytes]] = list(HeaderTable.STATIC_TABLE)
_MAX_INTEGER_BYTES = 4
_INDEXED, _ADDED, _SIZE_UPDATE = 0x80, 0x40, 0x20
"""The least first byte of each kind of field; below is a literal that is not added to the table (section 6)."""

_huffman = lru_cache(maxsize=1 << 17)(decode_huffman)


class HeaderBlockError(Exception):
    """The block means nothing; the connection is lost (RFC 9113, section 4.3)."""


class HeaderBlocks:
    """The reading end of one connection's compression."""

    def __init__(self) -> None:
        self._table: deque[tuple[bytes, bytes]] = deque()
        self._size = 0
        self._limit = TABLE_BYTES
        self._kept: dict[tuple[bytes, bytes], Headers] = {}
        self._touched = False

    def read(self, block: bytes) -> tuple[bytes, Headers]:
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
            if first >= _INDEXED:
                index, position = _integer(block, position, 0x7F)
                name, value = self._entry(index)
            elif first >= _ADDED:
                name, value, position = self._literal(block, position, 0x3F)
                self._add(name, value)
            elif first >= _SIZE_UPDATE:
                size, position = _integer(block, position, 0x1F)
                self._resize(size)
                continue
            else:
                start = position
                name, value, position = self._literal(block, position, 0x0F)
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

    def _entry(self, index: int) -> tuple[bytes, bytes]:
        if not index:
            raise HeaderBlockError("index 0")
        return _STATIC[index - 1] if index <= len(_STATIC) else self._table[index - len(_STATIC) - 1]

    def _literal(self, block: bytes, position: int, mask: int) -> tuple[bytes, bytes, int]:
        index, position = _integer(block, position, mask)
        if index:
            name = self._entry(index)[0]
        else:
            name, position = _string(block, position)
        value, position = _string(block, position)
        return name, value, position

    def _add(self, name: bytes, value: bytes) -> None:
        self._touch()
        self._table.appendleft((name, value))
        self._size += len(name) + len(value) + _ENTRY_OVERHEAD
        self._evict()

    def _resize(self, size: int) -> None:
        if size > TABLE_BYTES:
            raise HeaderBlockError("table too large")
        self._touch()
        self._limit = size
        self._evict()

    def _touch(self) -> None:
        self._touched = True
        self._kept.clear()

    def _evict(self) -> None:
        while self._size > self._limit:
            name, value = self._table.pop()
            self._size -= len(name) + len(value) + _ENTRY_OVERHEAD


def _integer(block: bytes, position: int, mask: int) -> tuple[int, int]:
    """RFC 7541, section 5.1."""
    value = block[position] & mask
    position += 1
    if value < mask:
        return value, position
    for shift in range(0, 7 * _MAX_INTEGER_BYTES, 7):
        byte = block[position]
        position += 1
        value += (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, position
    raise HeaderBlockError("integer too large")


def _string(block: bytes, position: int) -> tuple[bytes, int]:
    """RFC 7541, section 5.2."""
    huffman = block[position] & 0x80
    length, position = _integer(block, position, 0x7F)
    raw = block[position : position + length]
    if len(raw) < length:
        raise HeaderBlockError("string too short")
    return (_huffman(raw) if huffman else raw), position + length

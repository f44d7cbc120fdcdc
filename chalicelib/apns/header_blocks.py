"""Decodes HPACK header blocks (RFC 7541) of one connection, without the checks that pushes do not need.

The decoder of `hpack` reads the same blocks, but it took half of the time of a push. Its static table and its Huffman
decoder are used here.
"""

from collections import deque
from collections.abc import Callable

from hpack import HPACKError
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

TABLE_BYTES = 4096
"""SETTINGS_HEADER_TABLE_SIZE: the initial value, which this client does not change."""
INDEXED, ADDED, SIZE_UPDATE = 0x80, 0x40, 0x20
"""Lowest first byte of each kind of field; a lower byte starts a literal that is not indexed (section 6)."""
_ENTRY_OVERHEAD = 32
_STATIC: list[tuple[bytes, bytes]] = list(HeaderTable.STATIC_TABLE)
_MAX_INTEGER_BYTES = 4


class HeaderBlockError(Exception):
    """The block cannot be decoded, so the connection must be closed (RFC 9113, section 4.3)."""


class HeaderBlocks:
    """Decoder with the dynamic table of one peer.

    Args:
        huffman: decodes a string.
    """

    def __init__(self, huffman: Callable[[bytes], bytes] = decode_huffman) -> None:
        self._huffman = huffman
        self._table: deque[tuple[bytes, bytes]] = deque()
        self._size = 0
        self._limit = TABLE_BYTES

    def read(self, block: bytes) -> list[tuple[bytes, bytes]]:
        """Decode all fields in their order.

        Raises:
            HeaderBlockError: invalid block.
        """
        fields: list[tuple[bytes, bytes]] = []
        position, end = 0, len(block)
        try:
            while position < end:
                first = block[position]
                if first >= INDEXED:
                    index, position = integer(block, position, 0x7F)
                    fields.append(self.entry(index))
                elif first >= ADDED:
                    name, value, position = self.literal(block, position, 0x3F)
                    self.add(name, value)
                    fields.append((name, value))
                elif first >= SIZE_UPDATE:
                    size, position = integer(block, position, 0x1F)
                    self.resize(size)
                else:
                    name, value, position = self.literal(block, position, 0x0F)
                    fields.append((name, value))
        except (IndexError, HPACKError) as error:
            raise HeaderBlockError(str(error)) from error
        return fields

    def entry(self, index: int) -> tuple[bytes, bytes]:
        """Return an entry of the static table or, after it, of the dynamic table (section 2.3.3)."""
        if not index:
            raise HeaderBlockError("index 0")
        return _STATIC[index - 1] if index <= len(_STATIC) else self._table[index - len(_STATIC) - 1]

    def literal(self, block: bytes, position: int, mask: int) -> tuple[bytes, bytes, int]:
        """Decode a literal: name, value, and the position of the next field (section 6.2)."""
        index, position = integer(block, position, mask)
        if index:
            name = self.entry(index)[0]
        else:
            name, position = self._string(block, position)
        value, position = self._string(block, position)
        return name, value, position

    def add(self, name: bytes, value: bytes) -> None:
        """Add a field to the dynamic table (section 4.4)."""
        self._table.appendleft((name, value))
        self._size += len(name) + len(value) + _ENTRY_OVERHEAD
        self._evict()

    def resize(self, size: int) -> None:
        """Change the size of the dynamic table (section 6.3)."""
        if size > TABLE_BYTES:
            raise HeaderBlockError("table too large")
        self._limit = size
        self._evict()

    def _evict(self) -> None:
        while self._size > self._limit:
            name, value = self._table.pop()
            self._size -= len(name) + len(value) + _ENTRY_OVERHEAD

    def _string(self, block: bytes, position: int) -> tuple[bytes, int]:
        """Decode a string: the string, and the position after it (section 5.2)."""
        huffman = block[position] & 0x80
        length, position = integer(block, position, 0x7F)
        end = position + length
        raw = block[position:end]
        if len(raw) < length:
            raise HeaderBlockError("string too short")
        return (self._huffman(raw) if huffman else raw), end


def integer(block: bytes, position: int, mask: int) -> tuple[int, int]:
    """Decode an integer: the number, and the position after it (section 5.1)."""
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

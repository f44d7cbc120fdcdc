"""Decodes the header blocks of requests with `hpack`, and those that differ only in `:path` by comparing bytes.

Clients are tested with this stand-in, so it shares no code with the push client's reader (`chalicelib/apns`). `hpack`
alone takes longer for a request than a fast client takes for a push, so that benchmarks would measure it instead.

A client sends the same headers with every push except for `:path`. If a block left the dynamic table as it was, the
bytes before and after the path's string keep their meaning until the table changes. A later block that begins and ends
with the same bytes, and has exactly one string between them, has the same headers and that string as its path.
"""

from dataclasses import dataclass
from functools import lru_cache

from hpack import Decoder, HPACKError
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hpack.huffman_table import decode_huffman

from infra.local.apns.values import Headers

MAX_SHAPES = 8
"""The number of blocks that are remembered; a client uses one or two at a time."""
HUFFMAN = 0x80
MAX_SHORT_STRING = 0x7E
"""The longest string whose length fits into one byte (RFC 7541, section 5.1)."""
MIN_PATH_BYTES = 8
"""Shorter paths are not searched for in a block, since other bytes could equal them by chance."""
_PATH = b":path"
_encode_huffman = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH).encode
_decode_huffman = lru_cache(maxsize=1 << 17)(decode_huffman)


class InvalidBlockError(Exception):
    """A header block is invalid, which ends the connection (RFC 9113, section 4.3)."""


@dataclass(frozen=True, slots=True)
class _Shape:
    """The bytes around the path's string in a block, and the headers that they mean."""

    before: bytes
    after: bytes
    headers: Headers


class RequestBlocks:
    """Decodes the requests of one connection, in their order."""

    def __init__(self) -> None:
        self._decoder = Decoder()
        self._shapes: list[_Shape] = []

    def read_request(self, block: bytes) -> tuple[bytes, Headers]:
        """Decode a block.

        Returns:
            The path, empty without `:path`, and all other headers in their order: the same tuple as before if the
            block differs from an earlier one only in its path.

        Raises:
            InvalidBlockError: the block is invalid.
        """
        for shape in self._shapes:
            if block.startswith(shape.before) and block.endswith(shape.after):
                path = _only_string(block[len(shape.before) : len(block) - len(shape.after)])
                if path is not None:
                    return path, shape.headers
        return self._decode(block)

    def _decode(self, block: bytes) -> tuple[bytes, Headers]:
        table = self._decoder.header_table
        size, entries = table.maxsize, list(table.dynamic_entries)
        try:
            fields = [(bytes(name), bytes(value)) for name, value in self._decoder.decode(block, raw=True)]
        except (HPACKError, IndexError) as error:
            raise InvalidBlockError(f"invalid header block: {error}") from error
        paths = [value for name, value in fields if name == _PATH]
        headers = tuple(field for field in fields if field[0] != _PATH)
        if (table.maxsize, list(table.dynamic_entries)) != (size, entries):
            self._shapes.clear()
        elif len(paths) == 1 and len(paths[0]) >= MIN_PATH_BYTES and not _occurs(paths[0], [*headers, *entries]):
            self._shapes[MAX_SHAPES - 1 :] = []
            self._shapes[:0] = _shapes(block, paths[0], headers)
        return paths[-1] if paths else b"", headers


def _occurs(path: bytes, fields: list[tuple[bytes, bytes]]) -> bool:
    return any(path in name or path in value for name, value in fields)


def _shapes(block: bytes, path: bytes, headers: Headers) -> list[_Shape]:
    """The shape of a block, if the path's string is found in it exactly once."""
    found: list[_Shape] = []
    for flag, string in ((0, path), (HUFFMAN, _encode_huffman(path))):
        if string and len(string) <= MAX_SHORT_STRING:
            before, literal, after = block.partition(bytes([flag | len(string)]) + string)
            found += [_Shape(before, after, headers)] if literal else []
    return found if len(found) == 1 else []


def _only_string(data: bytes) -> bytes | None:
    """The value of a string literal (RFC 7541, section 5.2), or None unless the bytes are exactly one short string."""
    if not data or data[0] & ~HUFFMAN != len(data) - 1 or len(data) - 1 > MAX_SHORT_STRING:
        return None
    if not data[0] & HUFFMAN:
        return data[1:]
    try:
        return _decode_huffman(data[1:])
    except HPACKError:
        return None

"""Header blocks read back, with hpack's encoder as a second opinion."""

import contextlib

import pytest
from hpack import Encoder, NeverIndexedHeaderTuple
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.apns.header_blocks import HeaderBlockError, HeaderBlocks

NAMES = [b":status", b"apns-id", b"apns-unique-id", b"retry-after", b"x" * 200]
FIELDS = st.tuples(st.sampled_from(NAMES), st.binary(max_size=200))
BLOCKS = st.lists(
    st.tuples(st.lists(FIELDS, max_size=8), st.booleans(), st.booleans(), st.none() | st.integers(0, 4096))
)


@given(BLOCKS)
def test_blocks_of_hpack_are_decoded(
    blocks: list[tuple[list[tuple[bytes, bytes]], bool, bool, int | None]],
) -> None:
    """Whatever a peer indexes, never indexes or compresses, and however it resizes its table."""
    encoder, reader = Encoder(), HeaderBlocks()
    for fields, huffman, indexed, table_size in blocks:
        if table_size is not None:
            encoder.header_table_size = table_size
        given_fields = [field if indexed else NeverIndexedHeaderTuple(*field) for field in fields]
        assert reader.read(encoder.encode(given_fields, huffman=huffman)) == fields


@given(st.binary(max_size=60))
def test_invalid_block_raises_header_block_error(block: bytes) -> None:
    """Any bytes are read or refused with the one error for it."""
    with contextlib.suppress(HeaderBlockError):
        HeaderBlocks().read(block)


@pytest.mark.parametrize(
    "block",
    [b"\x80", b"\xff\xff\xff\xff\xff\x7f", b"\xc0", b"\x00\x05ab", b"\x3f\xff\x7f", b"\x00\x81\xff\x01a", b"\x00"],
    ids=["index 0", "huge index", "not in the table", "short string", "huge table", "bad Huffman", "cut off"],
)
def test_violations_of_rfc_7541_are_refused(block: bytes) -> None:
    """Each mistake that a decoder must treat as an error (RFC 7541)."""
    with pytest.raises(HeaderBlockError):
        HeaderBlocks().read(block)

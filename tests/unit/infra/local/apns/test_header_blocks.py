"""The stand-in's reader of header blocks, compared with what hpack's encoder was given."""

import contextlib

import pytest
from hpack import Encoder, NeverIndexedHeaderTuple
from hypothesis import given
from hypothesis import strategies as st

from infra.local.apns.header_blocks import InvalidBlockError, RequestBlocks

Field = tuple[bytes, bytes]
NAMES = [b":path", b":method", b"apns-topic", b"authorization", b"x" * 40]
FIELDS = st.tuples(st.sampled_from(NAMES), st.binary(max_size=40))
PATHS = st.binary(min_size=1, max_size=140).map(lambda token: b"/3/device/" + token)
REST = st.sampled_from(
    [
        [(b":method", b"POST"), (b"apns-topic", b"pass.one")],
        [(b":method", b"POST"), (b"apns-topic", b"pass.two"), (b"apns-priority", b"5")],
        [(b":method", b"POST"), (b"apns-id", b"/3/device/")],
        [],
    ]
)


@given(st.lists(st.tuples(st.lists(FIELDS, max_size=8), st.booleans(), st.booleans()), max_size=12))
def test_any_fields_are_read_as_they_were_encoded(blocks: list[tuple[list[Field], bool, bool]]) -> None:
    encoder, reader = Encoder(), RequestBlocks()
    for fields, huffman, indexed in blocks:
        encoded = [field if indexed else NeverIndexedHeaderTuple(*field) for field in fields]
        path, headers = reader.read_request(encoder.encode(encoded, huffman=huffman))
        assert path == ([value for name, value in fields if name == b":path"] or [b""])[-1]
        assert list(headers) == [field for field in fields if field[0] != b":path"]


@given(st.lists(st.tuples(PATHS, REST, st.booleans(), st.booleans(), st.integers(0, 3)), min_size=2, max_size=20))
def test_requests_that_share_headers_are_read_as_they_were_encoded(
    requests: list[tuple[bytes, list[Field], bool, bool, int]],
) -> None:
    """The path is at any place, indexed or not, compressed or not, also after the dynamic table has changed."""
    encoder, reader = Encoder(), RequestBlocks()
    for path, rest, huffman, indexed, place in requests:
        path_field = (b":path", path) if indexed else NeverIndexedHeaderTuple(b":path", path)
        block = encoder.encode([*rest[:place], path_field, *rest[place:]], huffman=huffman)
        assert reader.read_request(block) == (path, tuple(rest))


@pytest.mark.parametrize("huffman", [True, False])
def test_headers_that_stay_the_same_are_decoded_once(*, huffman: bool) -> None:
    encoder, reader = Encoder(), RequestBlocks()

    def read(topic: bytes, path: bytes) -> tuple[bytes, tuple[Field, ...]]:
        path_field = NeverIndexedHeaderTuple(b":path", path)
        block = encoder.encode([(b":method", b"POST"), path_field, (b"apns-topic", topic)], huffman=huffman)
        return reader.read_request(block)

    read(b"one", b"/3/device/00")
    first, second = read(b"one", b"/3/device/01"), read(b"one", b"/3/device/02")
    assert (first[0], second[0]) == (b"/3/device/01", b"/3/device/02")
    assert first[1] is second[1]
    assert dict(read(b"two", b"/3/device/03")[1])[b"apns-topic"] == b"two"
    assert dict(read(b"one", b"/3/device/04")[1])[b"apns-topic"] == b"one"


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused_with_one_error(block: bytes) -> None:
    with contextlib.suppress(InvalidBlockError):
        RequestBlocks().read_request(block)

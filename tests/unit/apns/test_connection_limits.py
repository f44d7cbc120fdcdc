"""The connection without a socket, with peers that break the protocol or send without end."""

import itertools
import struct
import tracemalloc
from collections.abc import Callable, Iterator

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings
import pytest
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
)
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.apns.connection import (
    Answered,
    Connection,
    ConnectionBrokenError,
    PeerExcessiveError,
    PingAnswered,
)
from tests.support.http2_peer import HEADERS, Peer, greeted, talk


@pytest.mark.parametrize(
    "frame",
    [
        PushPromiseFrame(1, promised_stream_id=2),
        HeadersFrame(2, b"\x88", flags=["END_HEADERS"]),
        HeadersFrame(7, b"\x88", flags=["END_HEADERS"]),
        HeadersFrame(1, b"\xff\xff\xff\xff\xff\xff", flags=["END_HEADERS"]),
        HeadersFrame(1, b"\xc0", flags=["END_HEADERS"]),
        ContinuationFrame(1, b"\x88"),
        DataFrame(1, b"before its headers"),
        DataFrame(9, b"for no request"),
        RstStreamFrame(3),
        SettingsFrame(0, settings={4: 2**31}),
        DataFrame(1, b"x" * 16385),
    ],
    ids=lambda frame: f"{type(frame).__name__} on stream {frame.stream_id}",
)
def test_protocol_violation_breaks_the_connection(frame: Frame) -> None:
    """A protocol violation raises ConnectionBrokenError and nothing else."""
    connection = greeted(Peer())
    connection.request(b"/1", HEADERS)
    with pytest.raises(ConnectionBrokenError):
        connection.receive(frame.serialize())


def test_other_frame_in_an_unfinished_header_block_breaks_the_connection() -> None:
    """No other frame is allowed between HEADERS and its CONTINUATION (RFC 9113, section 6.10)."""
    connection = greeted(Peer())
    connection.request(b"/1", HEADERS)
    connection.receive(HeadersFrame(1, b"\x88").serialize())
    with pytest.raises(ConnectionBrokenError):
        connection.receive(PingFrame(0, b"12345678").serialize())


def test_responses_before_a_broken_frame_count() -> None:
    """Answers that came in the same read as a broken frame are not lost with it."""
    connection = greeted(Peer())
    stream = connection.request(b"/1", HEADERS)
    answer = HeadersFrame(stream, b"\x88", flags=["END_HEADERS", "END_STREAM"]).serialize()
    with pytest.raises(ConnectionBrokenError) as caught:
        connection.receive(answer + b"\xff" * 32)
    assert caught.value.events == [Answered(stream, {b":status": b"200"}, b"")]


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_parsed_or_break_the_connection(noise: bytes, as_frames: bool) -> None:  # noqa: FBT001
    """Nothing that a peer can send raises anything but ConnectionBrokenError, and no request ends twice."""
    connection = greeted(Peer())
    streams = [connection.request(b"/1", HEADERS) for _ in range(3)]
    data = noise
    if as_frames:  # types and flags at random on streams that exist, so that more than the length check is met
        cut = [noise[start : start + 8] for start in range(0, len(noise), 8)]
        data = b"".join(
            bytes([0, 0, len(part) - 2, part[0] % 10, part[1], 0, 0, 0, streams[len(part) % 3]]) + part[2:]
            for part in cut
            if len(part) > 2
        )
    try:
        events = connection.receive(data)
    except ConnectionBrokenError as error:
        events = error.events
    ended = [event.stream_id for event in events if not isinstance(event, PingAnswered)]
    assert len(ended) == len(set(ended))
    assert set(ended) <= set(streams)


MAX_FLOOD_BYTES = 4 << 20
"""Limit for the memory of a connection, for any data from the peer."""


def _headers_without_end(streams: list[int]) -> Iterator[bytes]:
    """HEADERS with a name of their own, again and again on every open stream."""
    for number in range(1_000_000):
        block = b"\x00\x10%016d\x7f\x00" % number + b"v" * 127
        yield HeadersFrame(streams[number % len(streams)], block, flags=["END_HEADERS"]).serialize()


def _interim_responses(streams: list[int]) -> Iterator[bytes]:
    for number in range(1_000_000):
        block = b"\x08\x03103\x00\x10%016d\x7f\x00" % number + b"v" * 127
        yield HeadersFrame(streams[number % len(streams)], block, flags=["END_HEADERS"]).serialize()


def _bodies_without_end(streams: list[int]) -> Iterator[bytes]:
    for stream in streams:
        yield HeadersFrame(stream, b"\x8d", flags=["END_HEADERS"]).serialize()
    for number in range(1_000_000):
        yield DataFrame(streams[number % len(streams)], b"x" * 1000).serialize()


def _a_block_without_end(streams: list[int]) -> Iterator[bytes]:
    yield HeadersFrame(streams[0], b"\x00\x01n\x01v").serialize()
    for _ in range(1_000_000):
        yield ContinuationFrame(streams[0], b"\x00\x01n\x01v" * 100).serialize()


def _pings(_: list[int]) -> Iterator[bytes]:
    yield from itertools.repeat(PingFrame(0, b"12345678").serialize(), 1_000_000)


def _empty_settings(_: list[int]) -> Iterator[bytes]:
    yield from itertools.repeat(SettingsFrame(0).serialize(), 1_000_000)


def _settings_of_every_kind(_: list[int]) -> Iterator[bytes]:
    for kind in range(0x1000, 0xFFFF):
        yield struct.pack(">HBBBLHL", 0, 6, 4, 0, 0, kind, 1)


def _one_frame_of_settings(_: list[int]) -> Iterator[bytes]:
    settings = b"".join(struct.pack(">HL", kind, 1) for kind in range(0x1000, 0x1A00))
    yield struct.pack(">HBBBL", len(settings) >> 8, len(settings) & 0xFF, 4, 0, 0) + settings


def _frames_of_an_ended_stream(streams: list[int]) -> Iterator[bytes]:
    yield HeadersFrame(streams[0], b"\x88", flags=["END_HEADERS", "END_STREAM"]).serialize()
    for _ in range(1_000_000):
        yield DataFrame(streams[0], b"x").serialize()


def _frames_of_unknown_kinds(streams: list[int]) -> Iterator[bytes]:
    for _ in range(1_000_000):
        yield struct.pack(">HBBBL", 0, 8, 0xFA, 0, streams[0]) + b"12345678"


def _receive_all(connection: Connection, frames: Iterator[bytes]) -> None:
    for frame in frames:
        connection.receive(frame)
        assert tracemalloc.get_traced_memory()[0] < MAX_FLOOD_BYTES


@pytest.mark.parametrize(
    "flood",
    [
        _headers_without_end,
        _interim_responses,
        _bodies_without_end,
        _a_block_without_end,
        _pings,
        _empty_settings,
        _settings_of_every_kind,
        _one_frame_of_settings,
        _frames_of_an_ended_stream,
        _frames_of_unknown_kinds,
    ],
    ids=lambda flood: flood.__name__.strip("_"),
)
def test_flood_is_limited_and_breaks_the_connection(flood: Callable[[list[int]], Iterator[bytes]]) -> None:
    """Little of a flood is stored, and the peer gets ENHANCE_YOUR_CALM.

    Nothing that this side owes the peer is written while it floods.
    """
    connection = greeted(Peer())
    streams = [connection.request(b"/3/device/1", HEADERS) for _ in range(1000)]
    connection.data_to_send()
    tracemalloc.start()
    try:
        with pytest.raises(PeerExcessiveError):
            _receive_all(connection, flood(streams))
        assert tracemalloc.get_traced_memory()[1] < MAX_FLOOD_BYTES
    finally:
        tracemalloc.stop()
    goodbye = GoAwayFrame(0, error_code=h2.errors.ErrorCodes.ENHANCE_YOUR_CALM).serialize()
    assert connection.data_to_send().endswith(goodbye)


def test_response_resets_the_count_of_other_frames() -> None:
    """A connection that answers is kept, however many frames it carries in its life."""
    peer = Peer()
    connection = greeted(peer)
    noise = PingFrame(0, b"12345678").serialize() * 1000
    for _ in range(12):
        stream = connection.request(b"/1", HEADERS)
        talk(connection, peer)
        peer.answers(stream, 503, b'{"reason": "Shutdown"}')
        assert [type(event) for event in connection.receive(noise + peer.h2.data_to_send())] == [Answered]
        connection.data_to_send()


def test_abandoned_responses_do_not_count_against_the_limit() -> None:
    """Responses that were given up do not count against those that follow."""
    connection = greeted(Peer())
    for _ in range(200):
        stream = connection.request(b"/1", HEADERS)
        connection.receive(HeadersFrame(stream, b"\x8d", flags=["END_HEADERS"]).serialize())
        connection.receive(DataFrame(stream, b"x" * 10_000).serialize())
        connection.abandon(stream)
        connection.data_to_send()
    assert connection.capacity == 1000

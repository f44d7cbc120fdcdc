"""The connection without a socket, against h2's server as a second opinion, and against peers that misbehave."""

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
from hpack import Encoder
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
    WindowUpdateFrame,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.apns.connection import (
    Answered,
    Connection,
    ConnectionBrokenError,
    ConnectionEvent,
    Headers,
    PeerExcessiveError,
    PingAnswered,
    RequestRefused,
    Reset,
    Unprocessed,
)

MAX_STREAMS = h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS
HEADERS: Headers = (
    (b":method", b"POST"),
    (b":scheme", b"https"),
    (b":authority", b"api.push.apple.com:443"),
    (b"apns-topic", b"pass.com.example"),
    (b"authorization", b"bearer abc.def.ghi"),
)


class Peer:
    """h2's idea of a server, and what it understood."""

    def __init__(self, **initial: int) -> None:
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        settings = h2.settings.Settings(client=False, initial_values={MAX_STREAMS: 1000})
        for name, value in initial.items():
            settings[h2.settings.SettingCodes[name]] = value
        settings.acknowledge()
        self.h2.local_settings = settings
        self.h2.initiate_connection()
        self.requests: dict[int, dict[str, str]] = {}
        self.bodies: dict[int, bytes] = {}

    def takes(self, data: bytes) -> None:
        for event in self.h2.receive_data(data):
            match event:
                case h2.events.RequestReceived():
                    self.requests[event.stream_id] = {str(name): str(value) for name, value in event.headers}
                case h2.events.DataReceived():
                    self.bodies[event.stream_id] = self.bodies.get(event.stream_id, b"") + event.data

    def answers(self, stream_id: int, status: int = 200, body: bytes = b"") -> None:
        headers = [(":status", str(status)), ("apns-id", f"id-{stream_id}")]
        self.h2.send_headers(stream_id, headers, end_stream=not body)
        if body:
            self.h2.send_data(stream_id, body, end_stream=True)

    def allows(self, streams: int) -> None:
        self.h2.update_settings({MAX_STREAMS: streams})


def talk(connection: Connection, peer: Peer) -> list[ConnectionEvent]:
    """Carry bytes to and fro until neither side has more to say."""
    events: list[ConnectionEvent] = []
    while True:
        to_peer = connection.data_to_send()
        peer.takes(to_peer)
        to_us = peer.h2.data_to_send()
        events += connection.receive(to_us)
        if not to_peer and not to_us:
            return events


def greeted(peer: Peer) -> Connection:
    connection = Connection()
    talk(connection, peer)
    return connection


def test_h2_understands_every_request() -> None:
    """Another implementation reads method, path, headers and body of each request, the first and the thousandth."""
    peer = Peer()
    connection = greeted(peer)
    paths = [b"/3/device/" + b"a" * length for length in (1, 64, 116, 117, 200, 1000)] * 20
    streams = {connection.request(path, HEADERS): path for path in paths}
    talk(connection, peer)
    constant = {name.decode(): value.decode() for name, value in HEADERS}
    assert peer.requests == {stream: {":path": path.decode(), **constant} for stream, path in streams.items()}
    assert set(peer.bodies.values()) == {b"{}"}


@given(st.lists(st.sampled_from([0, 1, 2, 3]), max_size=30), st.sampled_from([0, 64, 200, 4096]))
def test_headers_are_decoded_for_any_topics_and_table_size(topics: list[int], table_size: int) -> None:
    """Whatever order topics come in, and however small the peer's header table, each request says what was meant."""
    peer = Peer(HEADER_TABLE_SIZE=table_size)
    connection = greeted(peer)
    meant = {}
    for number, topic in enumerate(topics):
        headers = (*HEADERS[:3], (b"apns-topic", b"pass.com.example.%d" % topic))
        meant[connection.request(b"/3/device/%d" % number, headers)] = f"pass.com.example.{topic}"
    talk(connection, peer)
    assert {stream: headers["apns-topic"] for stream, headers in peer.requests.items()} == meant


def test_requests_follow_a_shrinking_header_table() -> None:
    """The peer may change its table's size at any time; the requests after that are read as meant."""
    peer = Peer()
    connection = greeted(peer)
    for number, size in enumerate((4096, 0, 4096, 100)):
        peer.h2.update_settings({h2.settings.SettingCodes.HEADER_TABLE_SIZE: size})
        talk(connection, peer)
        streams = [connection.request(b"/3/device/%d" % number, HEADERS) for _ in range(3)]
        talk(connection, peer)
        constant = {name.decode(): value.decode() for name, value in HEADERS}
        assert [peer.requests[stream] for stream in streams] == [{":path": f"/3/device/{number}", **constant}] * 3


def test_path_is_never_indexed() -> None:
    """A push token is sent as a literal that no intermediary may index: it would outlive its request."""
    peer = Peer()
    connection = greeted(peer)
    for number in range(3):
        connection.request(b"/3/device/secret-%d" % number, HEADERS)
    talk(connection, peer)
    entries = peer.h2.decoder.header_table.dynamic_entries
    assert entries
    assert b":path" not in {bytes(name) for name, _ in entries}


def test_response_belongs_to_its_stream() -> None:
    """Status, headers and body of each answer belong to its stream."""
    peer = Peer()
    connection = greeted(peer)
    first, second = connection.request(b"/1", HEADERS), connection.request(b"/2", HEADERS)
    talk(connection, peer)
    peer.answers(second, 410, b'{"reason": "Unregistered"}')
    peer.answers(first)
    assert talk(connection, peer) == [
        Answered(second, {b":status": b"410", b"apns-id": b"id-3"}, b'{"reason": "Unregistered"}'),
        Answered(first, {b":status": b"200", b"apns-id": b"id-1"}, b""),
    ]


@settings(max_examples=50)
@given(st.data())
def test_events_do_not_depend_on_the_sizes_of_reads(data: st.DataObject) -> None:
    """The same bytes in any pieces are the same events."""
    peer = Peer()
    connection = greeted(peer)
    streams = [connection.request(b"/3/device/1", HEADERS) for _ in range(4)]
    peer.takes(connection.data_to_send())
    for stream in streams:
        peer.answers(stream, 503, b'{"reason": "Shutdown"}')
    sent = peer.h2.data_to_send()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=12)))
    events: list[ConnectionEvent] = []
    for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
        events += connection.receive(sent[start:end])
    assert [event.stream_id for event in events if isinstance(event, Answered)] == streams


def test_one_request_is_allowed_before_settings() -> None:
    """Before the peer's SETTINGS there is room for one request, after them for what they allow."""
    peer = Peer()
    connection = Connection()
    assert connection.capacity == 1
    connection.request(b"/1", HEADERS)
    assert connection.capacity == 0
    talk(connection, peer)
    assert connection.capacity == 999


def test_capacity_follows_changed_settings() -> None:
    """1000, 1, 1000: after each SETTINGS there is room for what they say and no more, open requests counted."""
    peer = Peer()
    connection = greeted(peer)
    stream = connection.request(b"/1", HEADERS)
    talk(connection, peer)
    seen = [connection.capacity]
    for allowed in (1, 0, 2, 1000):
        peer.allows(allowed)
        talk(connection, peer)
        seen.append(connection.capacity)
    peer.answers(stream)
    talk(connection, peer)
    assert [*seen, connection.capacity] == [999, 0, 0, 1, 999, 1000]


def test_flow_control_window_is_respected() -> None:
    """No more bodies are sent than the peer's window holds; as it opens, there is room again."""
    window, body = 65_535, len(b"{}")  # RFC 9113, section 6.9.2: the window of a new connection
    connection = greeted(Peer())
    sent = 0
    while (room := connection.capacity) > 0:
        streams = [connection.request(b"/1", HEADERS) for _ in range(room)]
        connection.data_to_send()
        sent += len(streams)
        connection.receive(b"".join(_ok(stream) for stream in streams))
    assert sent == window // body
    connection.receive(WindowUpdateFrame(0, window_increment=20).serialize())
    assert connection.capacity == 10


def _ok(stream: int) -> bytes:
    return HeadersFrame(stream, b"\x88", flags=["END_HEADERS", "END_STREAM"]).serialize()


def test_window_of_received_bodies_is_returned() -> None:
    """A peer can send errors without end: their size is returned to the window."""
    peer = Peer()
    connection = greeted(peer)
    for _ in range(200):
        stream = connection.request(b"/1", HEADERS)
        talk(connection, peer)
        peer.answers(stream, 400, b"x" * 1000)
        talk(connection, peer)
    assert peer.h2.outbound_flow_control_window > 60000


def test_ping_is_answered_in_both_directions() -> None:
    """We ask and hear; the peer asks and hears."""
    peer = Peer()
    connection = greeted(peer)
    connection.ping()
    peer.h2.ping(b"are you ")
    assert talk(connection, peer) == [PingAnswered()]


def test_streams_after_goaways_last_are_unprocessed() -> None:
    """Streams above GOAWAY's last were not touched; those below it are still answered, and no new one is begun."""
    peer = Peer()
    connection = greeted(peer)
    streams = [connection.request(b"/1", HEADERS) for _ in range(3)]
    talk(connection, peer)
    goodbye = GoAwayFrame(0, last_stream_id=streams[1])
    peer.answers(streams[0])
    peer.answers(streams[1])
    events = connection.receive(goodbye.serialize() + peer.h2.data_to_send())
    assert [(type(event), event.stream_id) for event in events if not isinstance(event, PingAnswered)] == [
        (Unprocessed, streams[2]),
        (Answered, streams[0]),
        (Answered, streams[1]),
    ]
    assert connection.closing
    assert connection.capacity == 0


@pytest.mark.parametrize(
    ("code", "kind"),
    [(h2.errors.ErrorCodes.REFUSED_STREAM, RequestRefused), (h2.errors.ErrorCodes.INTERNAL_ERROR, Reset)],
)
def test_reset_code_distinguishes_refused_requests(code: int, kind: type[ConnectionEvent]) -> None:
    """REFUSED_STREAM promises that nothing was done; any other code leaves it open."""
    peer = Peer()
    connection = greeted(peer)
    stream = connection.request(b"/1", HEADERS)
    talk(connection, peer)
    peer.h2.reset_stream(stream, code)
    (event,) = talk(connection, peer)
    assert isinstance(event, kind)
    assert connection.capacity == 1000


def test_abandoned_request_is_reset_and_its_late_response_ignored() -> None:
    """The peer hears that it may stop; an answer that is received after that changes nothing."""
    peer = Peer()
    connection = greeted(peer)
    given_up, kept = connection.request(b"/1", HEADERS), connection.request(b"/2", HEADERS)
    peer.takes(connection.data_to_send())
    peer.answers(given_up, 503, b'{"reason": "Shutdown"}')
    peer.answers(kept)
    connection.abandon(given_up)
    connection.abandon(given_up)
    events = connection.receive(peer.h2.data_to_send())
    assert [event.stream_id for event in events if isinstance(event, Answered)] == [kept]
    assert RstStreamFrame(given_up, error_code=8).serialize() in connection.data_to_send()


def test_unusual_responses_are_parsed() -> None:
    """Padding, a priority, a block in two frames, an interim response and trailers are all HTTP/2."""
    connection = greeted(Peer())
    stream = connection.request(b"/1", HEADERS)
    encoder = Encoder()
    interim = HeadersFrame(stream, encoder.encode([(":status", "103")]), flags=["END_HEADERS"])
    block = encoder.encode([(":status", "410"), ("apns-id", "x" * 50)])
    headers = HeadersFrame(stream, block[:5], flags=["PADDED", "PRIORITY"], pad_length=7, depends_on=0)
    more = ContinuationFrame(stream, block[5:], flags=["END_HEADERS"])
    body = DataFrame(stream, b'{"reason"', flags=["PADDED"], pad_length=3)
    rest = DataFrame(stream, b":1}")
    trailers = HeadersFrame(stream, encoder.encode([("grpc", "no")]), flags=["END_HEADERS", "END_STREAM"])
    frames: list[Frame] = [interim, headers, more, body, rest, trailers]
    (event,) = connection.receive(b"".join(frame.serialize() for frame in frames))
    assert isinstance(event, Answered)
    assert event.headers[b":status"] == b"410"
    assert event.body == b'{"reason":1}'


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
    for _ in range(50):
        stream = connection.request(b"/1", HEADERS)
        talk(connection, peer)
        peer.answers(stream, 503, b'{"reason": "Shutdown"}')
        noise = b"".join(PingFrame(0, b"12345678").serialize() for _ in range(1000))
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

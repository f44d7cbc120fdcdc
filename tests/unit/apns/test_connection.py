"""The connection without a socket, against h2's server as a second opinion."""

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
    RstStreamFrame,
    WindowUpdateFrame,
)
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.apns.connection import (
    Answered,
    Connection,
    ConnectionEvent,
    PingAnswered,
    RequestRefused,
    Reset,
    Unprocessed,
)
from tests.support.http2_peer import HEADERS, Peer, greeted, talk


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

"""One HTTP/2 connection to APNs, without I/O: bytes in, events out. `client.py` owns the socket and the clock.

Theory of operation
-------------------
`h2` is the state machine; what is done here is to ask it for little. A push is one request stream: HEADERS and a DATA
frame of two bytes. Three costs that h2 has for every client are taken away, since this client is of one kind:

* The header block. All headers but `:path` are the same for every push of a topic. They are encoded once, which puts
  them into the HPACK table (RFC 7541, section 2.3.2); after that a block is `:path` as a literal that is never indexed,
  for it holds a push token (RFC 7541, section 7.1.3), and the same few index bytes.
* Counting open streams. h2 scans all of them at every request; they are counted here as they open and end.
* Checking our own headers, and normalizing APNs'.

How many streams may be open is the peer's to say at any time (RFC 9113, section 5.1.2). Before its first SETTINGS it is
one: APNs with token authentication allows no more until a push has succeeded.

What happened to a request that was not answered is said precisely, since it decides whether a phone is woken twice:
`Unprocessed` only where the peer promises that it did nothing (REFUSED_STREAM, or above GOAWAY's last stream; RFC 9113,
sections 6.8 and 8.7), `Reset` where it may have.
"""

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
from hpack import Encoder, NeverIndexedHeaderTuple

BODY = b"{}"
"""A pass's push is empty (Apple, "Adding a Web Service to Update Passes")."""
_NEVER_INDEXED_PATH = 0x14
"""Literal never indexed, with the name of the static table's entry 4, `:path` (RFC 7541, sections 6.2.3 and A)."""
_MAX_SHORT_LENGTH = 126
_STREAMS_BEFORE_SETTINGS = 1

Headers = tuple[tuple[bytes, bytes], ...]


class ConnectionBrokenError(Exception):
    """The peer broke the protocol; the connection is of no more use."""


@dataclass(frozen=True, slots=True)
class Answered:
    """APNs answered a request."""

    stream_id: int
    headers: dict[bytes, bytes]
    body: bytes


@dataclass(frozen=True, slots=True)
class Unprocessed:
    """The peer promises that it did nothing with the request: it may be sent again."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class Reset:
    """The peer gave up on the request; what it did with it before is unknown."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class PingAnswered:
    """The peer is there."""


Event = Answered | Unprocessed | Reset | PingAnswered


@dataclass(slots=True)
class _Response:
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)


class Connection:
    """The client's side of one connection, from its preface to its end."""

    def __init__(self) -> None:
        self._h2 = _Multiplexer()
        self._h2.initiate_connection()
        self._responses: dict[int, _Response] = {}
        self._settled = False
        self.closing = False
        """The peer sent GOAWAY: no new request may be sent, those that are open may still be answered."""

    @property
    def open_requests(self) -> int:
        return len(self._responses)

    @property
    def capacity(self) -> int:
        """How many requests may be sent now."""
        if self.closing:
            return 0
        allowed = self._h2.remote_settings.max_concurrent_streams if self._settled else _STREAMS_BEFORE_SETTINGS
        window = self._h2.outbound_flow_control_window // len(BODY)
        return int(max(0, min(allowed - len(self._responses), window)))

    def request(self, path: bytes, headers: Headers) -> int:
        """Start a request; needs `capacity`.

        Args:
            path: the value of `:path`.
            headers: all others, pseudo-headers first. The same value for many requests is what makes them cheap.

        Returns:
            The id of its stream, by which events name it.
        """
        stream_id = self._h2.get_next_available_stream_id()
        self._h2.send_headers(stream_id, (NeverIndexedHeaderTuple(b":path", path), *headers))
        self._h2.send_data(stream_id, BODY, end_stream=True)
        self._responses[stream_id] = _Response()
        self._h2.open_requests = len(self._responses)
        return stream_id

    def ping(self) -> None:
        """Ask whether the peer is there; `PingAnswered` says so."""
        self._h2.ping(b"passwire")

    def abandon(self, stream_id: int) -> None:
        """Give a request up that the peer does not answer."""
        self._h2.reset_stream(stream_id, h2.errors.ErrorCodes.CANCEL)
        self._end(stream_id)

    def data_to_send(self) -> bytes:
        """What the socket must take, once."""
        return self._h2.data_to_send()

    def receive(self, data: bytes) -> list[Event]:
        """What the bytes mean, in their order.

        Raises:
            ConnectionBrokenError: they are no HTTP/2, or are not allowed where they stand. `data_to_send` has what to
                tell the peer; open requests are as good as `Reset`.
        """
        try:
            received = self._h2.receive_data(data)
        except h2.exceptions.ProtocolError as error:
            raise ConnectionBrokenError(f"HTTP/2: {type(error).__name__}") from error
        events: list[Event] = []
        for event in received:
            self._handle(event, events)
        return events

    def _handle(self, event: h2.events.Event, events: list[Event]) -> None:  # noqa: C901 - one case an event
        match event:
            case h2.events.ResponseReceived():
                response = self._responses.get(event.stream_id)
                if response is not None:
                    response.headers.update(_plain(event.headers))
            case h2.events.DataReceived():
                response = self._responses.get(event.stream_id)
                if response is not None:
                    response.body += event.data
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded():
                response = self._responses.get(event.stream_id)
                if response is not None:
                    self._end(event.stream_id)
                    events.append(Answered(event.stream_id, response.headers, bytes(response.body)))
            case h2.events.StreamReset():
                if self._end(event.stream_id):
                    refused = event.error_code == h2.errors.ErrorCodes.REFUSED_STREAM
                    events.append(Unprocessed(event.stream_id) if refused else Reset(event.stream_id))
            case h2.events.RemoteSettingsChanged():
                self._settled = True
            case h2.events.PingAckReceived():
                events.append(PingAnswered())
            case h2.events.ConnectionTerminated():
                self.closing = True
                for stream_id in [s for s in self._responses if s > (event.last_stream_id or 0)]:
                    self._end(stream_id)
                    events.append(Unprocessed(stream_id))

    def _end(self, stream_id: int) -> bool:
        """Forget a request; False where it had ended before."""
        ended = self._responses.pop(stream_id, None) is not None
        self._h2.drop(stream_id)
        self._h2.open_requests = len(self._responses)
        return ended


class _Multiplexer(h2.connection.H2Connection):
    """h2's connection, which is told how many streams are open, and drops each as it ends."""

    def __init__(self) -> None:
        config = h2.config.H2Configuration(
            client_side=True,
            header_encoding=None,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
            validate_inbound_headers=False,
            normalize_inbound_headers=False,
        )
        super().__init__(config=config)
        self.encoder = _PushEncoder()
        self.open_requests = 0

    @property
    def open_outbound_streams(self) -> int:
        return self.open_requests

    def drop(self, stream_id: int) -> None:
        """What h2 does when it scans: frames that come late for the stream are still told from frames for none."""
        stream = self.streams.pop(stream_id, None)
        if stream is not None:
            self._closed_streams[stream_id] = stream.closed_by


class _PushEncoder(Encoder):
    """HPACK for requests that differ in `:path` alone, which comes first.

    The index bytes of the others hold as long as nothing is added to the table and its size stays; both end them.
    """

    def __init__(self) -> None:
        super().__init__()
        self._constant: list[Any] | None = None
        self._block = b""

    @property
    def header_table_size(self) -> int:
        return int(self.header_table.maxsize)

    @header_table_size.setter
    def header_table_size(self, value: int) -> None:
        self._constant = None
        Encoder.header_table_size.fset(self, value)  # type: ignore[attr-defined]  # mypy has no properties as values

    def encode(self, headers: Iterable[Any], huffman: bool = True) -> bytes:  # noqa: FBT001, FBT002 - hpack's
        path, *constant = headers
        if constant != self._constant:
            return self._learn(path, constant, huffman=huffman)
        value: bytes = path[1]
        if len(value) > _MAX_SHORT_LENGTH:
            return super().encode([path], huffman=huffman) + self._block
        return bytes((_NEVER_INDEXED_PATH, len(value))) + value + self._block

    def _learn(self, path: Any, constant: list[Any], *, huffman: bool) -> bytes:  # noqa: ANN401 - a header tuple
        """Encode in full, which fills the table, and find the bytes that the same headers have from then on."""
        first = super().encode([path, *constant], huffman=huffman)
        scratch = Encoder()
        scratch.header_table = copy.deepcopy(self.header_table)
        block = scratch.encode(constant, huffman=huffman)
        # A table too small to hold them all would change with each block: then there are no such bytes.
        holds = scratch.header_table.dynamic_entries == self.header_table.dynamic_entries
        self._constant, self._block = (constant, block) if holds else (None, b"")
        return first


def _plain(headers: Iterable[tuple[Any, Any]]) -> dict[bytes, bytes]:
    return {bytes(name): bytes(value) for name, value in headers}

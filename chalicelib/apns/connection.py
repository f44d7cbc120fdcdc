"""One HTTP/2 connection to APNs, without I/O: bytes in, events out. `client.py` owns the socket and the clock.

Theory of operation
-------------------
`h2` handles the connection: preface, SETTINGS and their effects, PING, flow control (RFC 9113, sections 3.4 and 6).
This module handles the streams and their headers (`header_blocks.py`). All streams have the same form: HEADERS and two
bytes of DATA are sent, HEADERS and for an error DATA are received. So a few lines are enough here, while a general
state machine supports every other form too, which took three quarters of the time. Besides, after a GOAWAY h2 refuses
the responses that the peer still owes to older streams (section 6.8); here they count.

All headers but `:path` are the same for every push of a topic. They are encoded once, which adds them to the HPACK
table (RFC 7541, section 2.3.2). After that, a block consists of `:path` as a literal that is never indexed, because it
contains a push token (RFC 7541, section 7.1.3), and the same few index bytes.

The peer can change the number of streams that may be open at any time (RFC 9113, section 5.1.2). Before its first
SETTINGS it is one: APNs with token authentication allows no more until a push has succeeded.

The events of requests without a response are precise, because they decide if a device gets the push twice:
`RequestRefused` and `Unprocessed` only if the peer promises that it did nothing (REFUSED_STREAM; above GOAWAY's last
stream; RFC 9113, sections 8.7 and 6.8), `Reset` if it may have processed the request.

A peer cannot cause unlimited memory use or work (RFC 9113, section 10.5). Unfinished responses, a header block, and
settings are limited in bytes. Frames that do not complete a request (PING, SETTINGS, interim responses, frames for
streams that have ended) are limited in number. A peer that exceeds a limit gets GOAWAY with ENHANCE_YOUR_CALM, and the
connection is closed. `client.py` writes the acknowledgements for the peer and limits them too.
"""

import copy
import struct
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
from hpack import Encoder, NeverIndexedHeaderTuple

from chalicelib.apns.header_blocks import HeaderBlockError, HeaderBlocks

BODY = b"{}"
"""A pass's push is empty (Apple, "Adding a Web Service to Update Passes")."""

Headers = tuple[tuple[bytes, bytes], ...]

_STREAMS_BEFORE_SETTINGS = 1
_MAX_STREAM_ID = 2**31 - 1
_MAX_FRAME_BYTES = 16384
"""SETTINGS_MAX_FRAME_SIZE: the initial value, which this client does not change."""
_MAX_BODY_BYTES = 16384
"""Limit per response. A response of APNs has about 100."""
_MAX_HEADER_BYTES = 16384
"""Limit per response, counted as in RFC 9113, section 6.5.2. A response of APNs has about 200."""
_MAX_KEPT_BYTES = 1 << 20
"""Limit for headers and bodies of all unfinished responses."""
_MAX_FRUITLESS_FRAMES = 10_000
"""Limit for frames in a row that do not complete a request. 1,000 open requests may be answered with two or three
frames each, of which only the last completes a request."""
_MAX_SETTINGS_BYTES = 6 * 32
"""Limit per SETTINGS frame: 32 settings. RFC 9113 defines six."""
_MAX_SETTINGS = 128
"""Limit for the kinds of settings that a peer sends; h2 stores each."""
_ENTRY_OVERHEAD = 32

_FRAME = struct.Struct(">HBBBL")
"""Length (24 bits, in two parts), type, flags, stream (RFC 9113, section 4.1)."""
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PUSH_PROMISE, _GOAWAY, _WINDOW_UPDATE, _CONTINUATION = 0, 1, 3, 4, 5, 7, 8, 9
_END_STREAM, _END_HEADERS, _PADDED, _PRIORITY = 0x1, 0x4, 0x8, 0x20
_PRIORITY_BYTES = 5
_NEVER_INDEXED_PATH = 0x14
"""Literal never indexed, with the name of the static table's entry 4, `:path` (RFC 7541, sections 6.2.3 and A)."""
_MAX_SHORT_LENGTH = 126
"""Longest string whose length is one byte (RFC 7541, section 5.1)."""


@dataclass(frozen=True, slots=True)
class Answered:
    """APNs answered a request."""

    stream_id: int
    headers: dict[bytes, bytes]
    body: bytes


@dataclass(frozen=True, slots=True)
class RequestRefused:
    """The peer promises that it did not process this request, so it may be sent again."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class Unprocessed:
    """The peer closes the connection and promises that it did not process this request: send it on another one."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class Reset:
    """The peer gave up the request and may have processed it."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class PingAnswered:
    """The peer answered a PING."""


ConnectionEvent = Answered | RequestRefused | Unprocessed | Reset | PingAnswered


class ConnectionBrokenError(Exception):
    """The peer violated the protocol; the connection cannot be used any longer.

    Args:
        message: how.
        code: what GOAWAY tells the peer.
        events: what it had said before; open requests are as good as `Reset`.
    """

    def __init__(self, message: str, code: h2.errors.ErrorCodes = h2.errors.ErrorCodes.PROTOCOL_ERROR) -> None:
        super().__init__(message)
        self.code = code
        self.events: list[ConnectionEvent] = []


class PeerExcessiveError(ConnectionBrokenError):
    """The peer exceeded a limit; the connection cannot be used any longer."""

    def __init__(self, message: str) -> None:
        super().__init__(message, h2.errors.ErrorCodes.ENHANCE_YOUR_CALM)


@dataclass(slots=True)
class _Response:
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    header_bytes: int = 0

    @property
    def kept_bytes(self) -> int:
        return self.header_bytes + len(self.body)


class Connection:
    """The client's side of one connection."""

    def __init__(self) -> None:
        config = h2.config.H2Configuration(client_side=True, header_encoding=None)
        self._h2 = h2.connection.H2Connection(config)
        self._h2.local_settings = h2.settings.Settings(
            client=True, initial_values={h2.settings.SettingCodes.ENABLE_PUSH: 0}
        )
        self._blocks = HeaderBlocks()
        self._encoder = _RequestEncoder()
        self._h2.encoder = self._encoder
        self._h2.initiate_connection()
        self._allowed = _STREAMS_BEFORE_SETTINGS
        self._next_stream = 1
        self._open: dict[int, _Response | None] = {}
        self._block: tuple[int, int, bytes] | None = None
        self._out = bytearray()
        self._rest = b""
        self._kept_bytes = 0
        self._fruitless_frames = 0
        self._consumed = 0
        self.closing = False
        """True after GOAWAY: no new request may be sent, but open ones may still be answered."""

    @property
    def capacity(self) -> int:
        """Number of requests that may be sent now."""
        if self.closing:
            return 0
        window = self._h2.outbound_flow_control_window // len(BODY)
        return max(0, min(self._allowed - len(self._open), window))

    def request(self, path: bytes, headers: Headers) -> int:
        """Start a request; needs `capacity`.

        Args:
            path: the value of `:path`.
            headers: all others, pseudo-headers first. The same value for many requests is what makes them cheap.

        Returns:
            The id of its stream, by which events name it.
        """
        stream_id = self._next_stream
        self._next_stream += 2
        self.closing = self.closing or self._next_stream > _MAX_STREAM_ID
        block = self._encoder.request(path, headers)
        length = len(block)
        self._out += _FRAME.pack(length >> 8, length & 0xFF, _HEADERS, _END_HEADERS, stream_id)
        self._out += block
        self._out += _FRAME.pack(0, len(BODY), _DATA, _END_STREAM, stream_id)
        self._out += BODY
        self._h2.outbound_flow_control_window -= len(BODY)
        self._open[stream_id] = None
        return stream_id

    def ping(self) -> None:
        """Send a PING; the peer answers with `PingAnswered`."""
        self._h2.ping(b"passwire")

    def abandon(self, stream_id: int) -> None:
        """Give up a request that the peer does not answer."""
        if self._close(stream_id):
            cancel = h2.errors.ErrorCodes.CANCEL.to_bytes(4, "big")
            self._out += _FRAME.pack(0, len(cancel), _RST_STREAM, 0, stream_id) + cancel

    def data_to_send(self) -> bytes:
        """Return data for the socket and remove it from this connection."""
        if self._consumed:  # bodies took from the connection's window; give it back
            self._out += _FRAME.pack(0, 4, _WINDOW_UPDATE, 0, 0) + self._consumed.to_bytes(4, "big")
            self._consumed = 0
        data = self._h2.data_to_send() + self._out
        self._out.clear()
        return data

    def receive(self, data: bytes) -> list[ConnectionEvent]:
        """Parse received bytes into events, in their order.

        Raises:
            ConnectionBrokenError: they are not valid HTTP/2 in this state, or exceed a limit. `data_to_send` then ends
                with GOAWAY for the peer.
        """
        events: list[ConnectionEvent] = []
        try:
            self._receive(data, events)
        except ConnectionBrokenError as error:
            error.events = events
            self._consumed = 0
            goodbye = bytes(4) + error.code.to_bytes(4, "big")  # no stream of the peer was ever open
            self._out += _FRAME.pack(0, len(goodbye), _GOAWAY, 0, 0) + goodbye
            raise
        return events

    def _receive(self, data: bytes, events: list[ConnectionEvent]) -> None:
        if self._rest:
            data = self._rest + data
        position, end = 0, len(data)
        while end - position >= _FRAME.size:
            high, low, kind, flags, stream_id = _FRAME.unpack_from(data, position)
            length = high << 8 | low
            start = position + _FRAME.size
            if length > _MAX_FRAME_BYTES:
                raise ConnectionBrokenError("a frame is larger than was agreed")
            if start + length > end:
                break
            if self._block is not None and kind != _CONTINUATION:
                raise ConnectionBrokenError("a header block was left unfinished")
            if kind == _HEADERS:
                self._headers(stream_id, flags, data[start : start + length], events)
            elif stream_id or kind == _GOAWAY:
                self._fruitless()
                self._other(kind, flags, stream_id, data[start : start + length], events)
            else:
                self._fruitless()
                if kind == _SETTINGS and length > _MAX_SETTINGS_BYTES:
                    raise PeerExcessiveError("a frame holds too many settings")
                self._control(data[position : start + length], events)
            position = start + length
        self._rest = data[position:]

    def _control(self, frame: bytes, events: list[ConnectionEvent]) -> None:
        """Let h2 handle a frame that concerns the connection."""
        try:
            for event in self._h2.receive_data(frame):
                if isinstance(event, h2.events.RemoteSettingsChanged):
                    settings = self._h2.remote_settings
                    if len(settings) > _MAX_SETTINGS:
                        raise PeerExcessiveError("the peer has too many kinds of settings")
                    # A stream's window is never asked for: our bodies fit, or nothing may be sent.
                    fits = settings.initial_window_size >= len(BODY)
                    self._allowed = int(settings.max_concurrent_streams) if fits else 0
                elif isinstance(event, h2.events.PingAckReceived):
                    events.append(PingAnswered())
        except h2.exceptions.ProtocolError as error:
            raise ConnectionBrokenError(type(error).__name__) from error

    def _headers(self, stream_id: int, flags: int, payload: bytes, events: list[ConnectionEvent]) -> None:
        if flags & _PADDED:
            payload = _unpadded(payload)
        if flags & _PRIORITY:
            payload = payload[_PRIORITY_BYTES:]
        if flags & _END_HEADERS:
            self._response(stream_id, flags, payload, events)
        else:
            self._block = (stream_id, flags, payload)

    def _response(self, stream_id: int, flags: int, block: bytes, events: list[ConnectionEvent]) -> None:
        """Decode a header block, also for a request that was given up, because it may change the dynamic table."""
        try:
            headers = self._blocks.read(block)
        except HeaderBlockError as error:
            raise ConnectionBrokenError("headers cannot be read") from error
        if stream_id not in self._open:
            self._fruitless()
            self._check_known(stream_id)
        elif flags & _END_STREAM and self._open[stream_id] is None:
            del self._open[stream_id]
            self._fruitless_frames = 0
            events.append(Answered(stream_id, dict(headers), b""))
        else:
            self._fruitless()
            self._add_headers(stream_id, headers)
            if flags & _END_STREAM:
                self._answer(stream_id, self._open[stream_id] or _Response(), events)

    def _add_headers(self, stream_id: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Store headers of an unfinished response: interim ones, those before a body, or trailers.

        Interim responses (1xx) may be many (RFC 9113, section 8.1); nothing of them is kept.
        """
        response = self._open[stream_id]
        if response is None:
            if any(name == b":status" and value.startswith(b"1") for name, value in headers):
                return
            response = self._open[stream_id] = _Response()
        size = sum(len(name) + len(value) + _ENTRY_OVERHEAD for name, value in headers)
        response.header_bytes += size
        if response.header_bytes > _MAX_HEADER_BYTES:
            raise PeerExcessiveError("a response has too many headers")
        self._keep(size)
        response.headers.update(headers)

    def _keep(self, size: int) -> None:
        self._kept_bytes += size
        if self._kept_bytes > _MAX_KEPT_BYTES:
            raise PeerExcessiveError("too much of responses without end")

    def _fruitless(self) -> None:
        """Count a frame; a completed request resets the count."""
        self._fruitless_frames += 1
        if self._fruitless_frames > _MAX_FRUITLESS_FRAMES:
            raise PeerExcessiveError("too many frames without an answer")

    def _close(self, stream_id: int) -> bool:
        """Remove an open request with its unfinished response; True if there was one."""
        if stream_id not in self._open:
            return False
        response = self._open.pop(stream_id)
        if response is not None:
            self._kept_bytes -= response.kept_bytes
        return True

    def _other(self, kind: int, flags: int, stream_id: int, payload: bytes, events: list[ConnectionEvent]) -> None:
        if kind == _DATA:
            self._data(stream_id, flags, payload, events)
        elif kind == _RST_STREAM:
            self._reset(stream_id, payload, events)
        elif kind == _GOAWAY:
            self._go_away(payload, events)
        elif kind == _CONTINUATION:
            self._continuation(stream_id, flags, payload, events)
        elif kind == _PUSH_PROMISE:
            raise ConnectionBrokenError("the peer promises what was not asked for")

    def _continuation(self, stream_id: int, flags: int, payload: bytes, events: list[ConnectionEvent]) -> None:
        if self._block is None or self._block[0] != stream_id:
            raise ConnectionBrokenError("a header block is continued that was not begun")
        _, first_flags, block = self._block
        if len(block) + len(payload) > _MAX_FRAME_BYTES:
            raise PeerExcessiveError("headers without end")
        self._block = (stream_id, first_flags, block + payload)
        if flags & _END_HEADERS:
            self._block = None
            self._response(stream_id, first_flags, block + payload, events)

    def _data(self, stream_id: int, flags: int, payload: bytes, events: list[ConnectionEvent]) -> None:
        self._check_known(stream_id)
        self._consumed += len(payload)
        response = self._open.get(stream_id)
        if response is None:
            if stream_id in self._open:
                raise ConnectionBrokenError("a body comes before its headers")
            return
        content = _unpadded(payload) if flags & _PADDED else payload
        if len(response.body) + len(content) > _MAX_BODY_BYTES:
            raise PeerExcessiveError("a body is larger than an answer can be")
        self._keep(len(content))
        response.body += content
        if flags & _END_STREAM:
            self._answer(stream_id, response, events)

    def _answer(self, stream_id: int, response: _Response, events: list[ConnectionEvent]) -> None:
        self._close(stream_id)
        self._fruitless_frames = 0
        events.append(Answered(stream_id, response.headers, response.body))

    def _reset(self, stream_id: int, payload: bytes, events: list[ConnectionEvent]) -> None:
        self._check_known(stream_id)
        if self._close(stream_id):
            self._fruitless_frames = 0
            refused = int.from_bytes(payload, "big") == h2.errors.ErrorCodes.REFUSED_STREAM
            events.append(RequestRefused(stream_id) if refused else Reset(stream_id))

    def _go_away(self, payload: bytes, events: list[ConnectionEvent]) -> None:
        self.closing = True
        last_stream = int.from_bytes(payload[:4], "big") & _MAX_STREAM_ID
        for stream_id in [stream_id for stream_id in self._open if stream_id > last_stream]:
            self._close(stream_id)
            events.append(Unprocessed(stream_id))

    def _check_known(self, stream_id: int) -> None:
        if not stream_id & 1 or stream_id >= self._next_stream:
            raise ConnectionBrokenError("a frame belongs to no request")


class _RequestEncoder(Encoder):
    """HPACK encoder for requests that differ only in `:path`.

    The index bytes of the others hold as long as nothing is added to the table and its size stays; both end them.
    """

    def __init__(self) -> None:
        super().__init__()
        self._constant: Headers | None = None
        self._block = b""

    @property
    def header_table_size(self) -> int:
        return int(self.header_table.maxsize)

    @header_table_size.setter
    def header_table_size(self, value: int) -> None:
        self._constant = None
        Encoder.header_table_size.fset(self, value)  # type: ignore[attr-defined]  # mypy has no properties as values

    def request(self, path: bytes, constant: Headers) -> bytes:
        """Encode the header block of a request. `:path` is first; the order of pseudo-headers is free."""
        if constant is not self._constant and constant != self._constant:
            return self._learn(path, constant)
        if len(path) > _MAX_SHORT_LENGTH:
            return self.encode([NeverIndexedHeaderTuple(b":path", path)], huffman=False) + self._block
        return b"%c%c%b%b" % (_NEVER_INDEXED_PATH, len(path), path, self._block)

    def _learn(self, path: bytes, constant: Headers) -> bytes:
        """Encode in full, which fills the table, and determine the bytes of the same headers from then on."""
        first = self.encode([NeverIndexedHeaderTuple(b":path", path), *constant], huffman=False)
        scratch = Encoder()
        scratch.header_table = copy.deepcopy(self.header_table)
        block = scratch.encode(constant)
        # A table too small to hold them all would change with each block: then there are no such bytes.
        holds = scratch.header_table.dynamic_entries == self.header_table.dynamic_entries
        self._constant, self._block = (constant, block) if holds else (None, b"")
        return first


def _unpadded(payload: bytes) -> bytes:
    """Remove the padding of a frame (RFC 9113, section 6.1)."""
    if not payload or payload[0] >= len(payload):
        raise ConnectionBrokenError("more padding than frame")
    return payload[1 : len(payload) - payload[0]]

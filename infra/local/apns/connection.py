"""The server's side of one HTTP/2 connection (RFC 9113), without I/O: bytes in, bytes and their times out.

Theory of operation
-------------------
Benchmarks must measure the client and not this stand-in, and a general HTTP/2 library in Python would be slower than
the clients. APNs needs little of the protocol, so frames are parsed by hand: a push is HEADERS and DATA with
END_STREAM; an answer is HEADERS, followed by DATA for an error. `receive` processes a whole read; answers are collected
in one buffer, which is written at once.

Clients are tested with this, so it follows the RFC exactly in: the number of streams that SETTINGS allow (a stream
beyond it is refused), flow control of the connection in both directions, GOAWAY's last stream, PING. Left out:
priorities, trailers, flow control of single streams (APNs' bodies are far smaller than a window), server push.
"""

import itertools
import os
import struct
from collections import deque
from dataclasses import dataclass, field
from enum import Enum, IntEnum, auto
from urllib.parse import unquote_to_bytes

from infra.local.apns.header_blocks import InvalidBlockError, RequestBlocks
from infra.local.apns.rules import DEVICE_PATH, MAX_PAYLOAD_BYTES, Rules, wrong_body, wrong_path
from infra.local.apns.values import DELIVERED, NO_FAULTS, Faults, Headers, ProgrammedAnswer, ReceivedPush, State

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MAX_STREAMS = 1000
STREAMS_BEFORE_SUCCESS = 1
MAX_FRAME_BYTES = 16384
WINDOW_BYTES = 1 << 24
INITIAL_WINDOW_BYTES = 65535


class FrameType(IntEnum):
    """Frames (RFC 9113, section 6)."""

    DATA = 0
    HEADERS = 1
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


ACK = END_STREAM = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITY = 0x20
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FRAME_SIZE_ERROR, REFUSED_STREAM, COMPRESSION_ERROR = 0, 1, 2, 6, 7, 9
MAX_CONCURRENT_STREAMS = 3

_FRAME = struct.Struct(">HBBBL")
_PRIORITY_BYTES = 5
_APNS_ID = b"\x00\x07apns-id\x24"
"""The start of a literal without indexing whose value has 36 bytes."""
_SUCCESS = b"\x00\x00\x2f\x01\x05%b\x88" + _APNS_ID + b"%b"
"""HEADERS of 47 bytes with END_STREAM and END_HEADERS: `:status: 200`, `apns-id`."""
_ID_PREFIX = b"%08X-%04X-4%03X-8%03X-" % struct.unpack(">LHHH", os.urandom(6) + bytes(4))
_ids = itertools.count(1)


class ConnectionEnd(Enum):
    """How a connection ends after its output is written."""

    CLOSE = auto()
    RESET = auto()


class _ProtocolError(Exception):
    """The client violated the protocol; the argument is GOAWAY's error code."""


@dataclass(slots=True)
class _Request:
    path: bytes
    headers: Headers
    body: bytes = b""


@dataclass(slots=True)
class _DelayedAnswers:
    """Answers to write at a time (epoch seconds), and the streams that they end."""

    due: float
    frames: bytes
    streams: list[int] = field(default_factory=list)


class StandInConnection:
    """One client's connection.

    Args:
        state: shared by all connections.
        rules: APNs' checks for this client.
        trusted: whether the client has presented a certificate; others get one stream until their first push succeeds.
    """

    def __init__(self, state: State, rules: Rules, *, trusted: bool) -> None:
        self._state = state
        self._rules = rules
        self._trusted = trusted
        self.ending: ConnectionEnd | None = None
        """Set when the connection must not be read any more."""
        self.silent = False
        self._out = bytearray()
        self._delayed: deque[_DelayedAnswers] = deque()
        self._answers = bytearray()
        self._answered_streams: list[int] = []
        self._waiting_bodies: deque[bytes] = deque()
        self._input = b""
        self._greeted = False
        self._blocks = RequestBlocks()
        self._block: tuple[int, int, bytes] | None = None
        self._requests: dict[int, _Request] = {}
        self._open: set[int] = set()
        self._last_stream = 0
        self._pushes = 0
        self._window = INITIAL_WINDOW_BYTES
        self._consumed = 0
        self._announced_limit = self._limit = self._allowed_now()
        self._unconfirmed: deque[int] = deque([self._limit])
        self._out += _settings(MAX_CONCURRENT_STREAMS, self._limit)
        self._out += _frame(FrameType.WINDOW_UPDATE, 0, 0, (WINDOW_BYTES - INITIAL_WINDOW_BYTES).to_bytes(4, "big"))

    @property
    def due(self) -> float | None:
        """The time at which `output` returns the next delayed answers (epoch seconds), or None."""
        return self._delayed[0].due if self._delayed else None

    def output(self, now: float) -> bytes:
        """Return the bytes to write now, and forget them."""
        while self._delayed and self._delayed[0].due <= now:
            delayed = self._delayed.popleft()
            self._out += delayed.frames
            self._open.difference_update(delayed.streams)
        if self.silent:
            self._out.clear()
        data = bytes(self._out)
        self._out.clear()
        return data

    def react(self) -> None:
        """Apply the current faults."""
        self.silent = self.silent or self._state.faults.black_hole
        if self._state.faults.down:
            self.ending = ConnectionEnd.RESET
        allowed = self._allowed_now()
        if allowed != self._announced_limit:
            self._announced_limit = allowed
            self._unconfirmed.append(allowed)
            self._limit = max(self._limit, allowed)  # a lower limit applies once the client has acknowledged it
            self._out += _settings(MAX_CONCURRENT_STREAMS, allowed)

    def receive(self, data: bytes, now: float) -> None:
        """Process received bytes.

        Args:
            data: the next bytes of the connection, cut anywhere.
            now: epoch seconds.
        """
        if self.silent or self.ending:
            return
        try:
            self._frames(self._input + data if self._input else data, now)
        except _ProtocolError as error:
            self._out += _frame(FrameType.GOAWAY, 0, 0, struct.pack(">LL", self._last_stream, error.args[0]))
            self.ending = ConnectionEnd.CLOSE
        if self._answers:
            delayed = _DelayedAnswers(
                now + self._state.faults.latency_ms / 1000, bytes(self._answers), self._answered_streams
            )
            self._answers.clear()
            self._answered_streams = []
            self._delayed.append(delayed)
        if self._consumed > WINDOW_BYTES // 2:
            self._out += _frame(FrameType.WINDOW_UPDATE, 0, 0, self._consumed.to_bytes(4, "big"))
            self._consumed = 0
        self.react()

    def _frames(self, data: bytes, now: float) -> None:
        position, end = 0, len(data)
        if not self._greeted:
            position = self._greet(data)
        unpack = _FRAME.unpack_from
        while self._greeted and end - position >= _FRAME.size and not self.ending:
            high, low, kind, flags, stream_id = unpack(data, position)
            length = high << 8 | low
            start = position + 9
            if length > MAX_FRAME_BYTES:
                raise _ProtocolError(FRAME_SIZE_ERROR)
            if start + length > end:
                break
            position = start + length
            payload = data[start:position]
            if kind == 0:  # FrameType.DATA; the attribute look-up per frame would take a tenth of the time
                self._data(stream_id, flags, payload, now)
            elif kind == 1:
                self._headers(stream_id, flags, payload, now)
            else:
                self._other(kind, flags, stream_id, payload, now)
        self._input = data[position:]

    def _greet(self, data: bytes) -> int:
        """Check the preface; returns where the frames start, or 0 while the preface is incomplete."""
        if data[: len(PREFACE)] != PREFACE[: len(data)]:
            raise _ProtocolError(PROTOCOL_ERROR)
        self._greeted = len(data) >= len(PREFACE)
        return len(PREFACE) if self._greeted else 0

    def _data(self, stream_id: int, flags: int, payload: bytes, now: float) -> None:
        self._consumed += len(payload)
        request = self._requests.get(stream_id)
        if request is None:
            return
        request.body += _unpadded(payload) if flags & PADDED else payload
        if (
            flags & END_STREAM or len(request.body) > MAX_PAYLOAD_BYTES
        ):  # a body that is too large is refused before its end
            del self._requests[stream_id]
            self._push(stream_id, request, now)

    def _headers(self, stream_id: int, flags: int, payload: bytes, now: float) -> None:
        if self._block is not None:
            raise _ProtocolError(PROTOCOL_ERROR)
        if flags & PADDED:
            payload = _unpadded(payload)
        if flags & PRIORITY:
            payload = payload[_PRIORITY_BYTES:]
        if flags & END_HEADERS:
            self._request(stream_id, flags, payload, now)
        else:
            self._block = (stream_id, flags, payload)

    def _request(self, stream_id: int, flags: int, block: bytes, now: float) -> None:
        try:
            path, headers = self._blocks.read_request(block)
        except InvalidBlockError:
            raise _ProtocolError(COMPRESSION_ERROR) from None
        if stream_id in self._requests:  # trailers, which are ignored
            self._push(stream_id, self._requests.pop(stream_id), now)
            return
        if not stream_id & 1 or stream_id <= self._last_stream:
            raise _ProtocolError(PROTOCOL_ERROR)
        self._last_stream = stream_id
        state = self._state
        if len(self._open) >= self._limit:
            state.excess_streams += 1
            self._out += _frame(FrameType.RST_STREAM, 0, stream_id, REFUSED_STREAM.to_bytes(4, "big"))
            return
        self._open.add(stream_id)
        state.peak_streams = max(state.peak_streams, len(self._open))
        request = _Request(path, headers)
        if flags & END_STREAM:
            self._push(stream_id, request, now)
        else:
            self._requests[stream_id] = request

    def _other(self, kind: int, flags: int, stream_id: int, payload: bytes, now: float) -> None:
        match kind:
            case FrameType.CONTINUATION:
                self._continue(stream_id, flags, payload, now)
            case FrameType.RST_STREAM:
                self._requests.pop(stream_id, None)
                self._open.discard(stream_id)
            case FrameType.SETTINGS if flags & ACK:
                if self._unconfirmed:
                    self._limit = max(self._unconfirmed.popleft(), *self._unconfirmed, 0)
            case FrameType.SETTINGS:
                self._out += _frame(FrameType.SETTINGS, ACK, 0, b"")
            case FrameType.PING if not flags & ACK:
                self._out += _frame(FrameType.PING, ACK, 0, payload)
            case FrameType.GOAWAY:
                self.ending = ConnectionEnd.CLOSE
            case FrameType.WINDOW_UPDATE if stream_id == 0:
                self._window += int.from_bytes(payload, "big")
                self._release()

    def _continue(self, stream_id: int, flags: int, payload: bytes, now: float) -> None:
        if self._block is None or self._block[0] != stream_id:
            raise _ProtocolError(PROTOCOL_ERROR)
        _, first_flags, start = self._block
        self._block = (stream_id, first_flags, start + payload)
        if flags & END_HEADERS:
            self._block = None
            self._request(stream_id, first_flags, start + payload, now)

    def _release(self) -> None:
        """Send waiting bodies as far as the client's window allows."""
        while self._waiting_bodies and self._window >= len(self._waiting_bodies[0]) - _FRAME.size:
            frame = self._waiting_bodies.popleft()
            self._window -= len(frame) - _FRAME.size
            self._out += frame

    def _push(self, stream_id: int, request: _Request, now: float) -> None:
        """Check and store a push, then answer it or apply a fault."""
        state = self._state
        faults = state.faults
        self._pushes += 1
        if _every(faults.refuse_stream_every, self._pushes):
            self._reset(stream_id, REFUSED_STREAM)
            return
        if _every(faults.ignore_push_every, self._pushes):
            return
        token = unquote_to_bytes(request.path[len(DEVICE_PATH) :])
        verdict = self._rules.verdict(request.headers, now)
        answer = verdict.wrong or wrong_path(request.path) or wrong_body(request.body)
        if answer is None:
            answer = state.answers.get(token) or state.common_answer() or _OK
        reset = _every(faults.reset_stream_every, self._pushes)
        state.record(ReceivedPush(token, request.headers, request.body, now, None if reset else answer))
        if reset:
            self._reset(stream_id, INTERNAL_ERROR)
            return
        self._answered_streams.append(stream_id)
        if answer.status == DELIVERED:
            self._trusted = True
            self._answers += _SUCCESS % (
                stream_id.to_bytes(4, "big"),
                verdict.apns_id or _ID_PREFIX + b"%012X" % next(_ids),
            )
        else:
            self._answer_error(stream_id, answer, verdict.apns_id)
        if faults is not NO_FAULTS:
            self._apply_ending_faults(faults, stream_id)

    def _answer_error(self, stream_id: int, answer: ProgrammedAnswer, apns_id: bytes | None) -> None:
        block = b"\x08\x03%d" % answer.status + _APNS_ID + (apns_id or _ID_PREFIX + b"%012X" % next(_ids))
        if answer.retry_after is not None:
            seconds = b"%d" % answer.retry_after
            block += b"\x00\x0bretry-after" + bytes([len(seconds)]) + seconds
        body = answer.body
        self._answers += _frame(FrameType.HEADERS, END_HEADERS | (0 if body else END_STREAM), stream_id, block)
        if not body:
            return
        if self._window >= len(body) and not self._waiting_bodies:
            self._window -= len(body)
            self._answers += _frame(FrameType.DATA, END_STREAM, stream_id, body)
        else:
            self._waiting_bodies.append(_frame(FrameType.DATA, END_STREAM, stream_id, body))

    def _reset(self, stream_id: int, code: int) -> None:
        self._open.discard(stream_id)
        self._out += _frame(FrameType.RST_STREAM, 0, stream_id, code.to_bytes(4, "big"))

    def _apply_ending_faults(self, faults: Faults, stream_id: int) -> None:
        """Apply the faults that end a connection after a number of pushes."""
        if faults.goaway_after and self._pushes == faults.goaway_after:
            reason = b'{"reason":"Shutdown"}'
            self._answers += _frame(FrameType.GOAWAY, 0, 0, struct.pack(">LL", stream_id, NO_ERROR) + reason)
            self.ending = ConnectionEnd.CLOSE
        elif faults.reset_after and self._pushes >= faults.reset_after:
            self.ending = ConnectionEnd.RESET
        elif faults.garbage_after and self._pushes >= faults.garbage_after:
            self._answers += b"\xff" * 64
            self.ending = ConnectionEnd.CLOSE

    def _allowed_now(self) -> int:
        limit = self._state.faults.max_streams
        if limit is not None:
            return limit
        return MAX_STREAMS if self._trusted else STREAMS_BEFORE_SUCCESS


_OK = ProgrammedAnswer()


def _every(nth: int, count: int) -> bool:
    return bool(nth) and count % nth == 0


def _frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    length = len(payload)
    return _FRAME.pack(length >> 8, length & 0xFF, kind, flags, stream_id) + payload


def _settings(name: int, value: int) -> bytes:
    return _frame(FrameType.SETTINGS, 0, 0, struct.pack(">HL", name, value))


def _unpadded(payload: bytes) -> bytes:
    if not payload or payload[0] >= len(payload):
        raise _ProtocolError(PROTOCOL_ERROR)
    return payload[1 : len(payload) - payload[0]]

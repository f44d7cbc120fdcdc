"""What can be told to the simulator, and what it remembers: answers, faults, pushes. Parsed where they come in."""

import json
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

DELIVERED = 200
MAX_PUSHES = 1_000_000
"""So many of the latest pushes are remembered."""

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class ProgrammedAnswer:
    """What APNs says: a status, and for anything but 200 a reason."""

    status: int = DELIVERED
    reason: str | None = None
    timestamp: int | None = None
    retry_after: int | None = None

    @classmethod
    def parse(cls, body: Any) -> Self:  # noqa: ANN401 - whatever JSON holds
        """Read a programmed answer. Raises TypeError where it is none."""
        if not isinstance(body, dict) or not isinstance(body.get("status"), int):
            raise TypeError('an answer is {"status": 410, "reason": "Unregistered", "timestamp": <ms>}')
        _refuse_unknown(cls, body)
        if not isinstance(body.get("reason"), str | None):
            raise TypeError("reason is a string")
        if not isinstance(body.get("timestamp"), int | None) or not isinstance(body.get("retry_after"), int | None):
            raise TypeError("timestamp (milliseconds) and retry_after (seconds) are whole numbers")
        return cls(**body)

    @property
    def body(self) -> bytes:
        """The JSON that follows the headers; empty for a push that was taken."""
        if self.reason is None:
            return b""
        content: dict[str, Any] = {"reason": self.reason}
        if self.timestamp is not None:
            content["timestamp"] = self.timestamp
        return json.dumps(content).encode()


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong for everybody; `PUT /faults` takes these as JSON, and 0, false and null mean: nothing.

    Args:
        latency_ms: every answer is that late.
        max_streams: SETTINGS_MAX_CONCURRENT_STREAMS, sent to open connections at once and to new ones; null for APNs'.
        answer: what every push is answered that has no answer programmed for its token.
        answer_next: `answer` ends after so many pushes; 0 for never. A burst of 503 is one of these.
        goaway_after: after so many pushes a connection gets GOAWAY; those that come later are ignored.
        reset_after: after so many pushes the TCP connection is reset.
        garbage_after: after so many pushes a connection gets bytes that are no HTTP/2.
        reset_stream_every: every nth push of a connection is taken, but gets RST_STREAM instead of an answer.
        refuse_stream_every: every nth push of a connection is not taken, and gets RST_STREAM with REFUSED_STREAM.
        ignore_push_every: every nth push of a connection is not taken, and never answered.
        black_hole: connections go silent, to PING too, and stay so: as when a host is cut off.
        down: connections are reset, the open ones at once and new ones before the handshake.
        read_bytes_per_second: connections are read no faster.
    """

    latency_ms: float = 0
    max_streams: int | None = None
    answer: ProgrammedAnswer | None = None
    answer_next: int = 0
    goaway_after: int = 0
    reset_after: int = 0
    garbage_after: int = 0
    reset_stream_every: int = 0
    refuse_stream_every: int = 0
    ignore_push_every: int = 0
    black_hole: bool = False
    down: bool = False
    read_bytes_per_second: int = 0

    @classmethod
    def parse(cls, body: Any) -> Self:  # noqa: ANN401 - whatever JSON holds
        """Read `PUT /faults`. Raises TypeError where it is none."""
        if not isinstance(body, dict):
            raise TypeError('faults are {"<name>": <value>, ...}; GET / lists them')
        _refuse_unknown(cls, body)
        given = dict(body)
        answer = given.pop("answer", None)
        for name, value in given.items():
            if not isinstance(value, int | float | None):
                raise TypeError(f"{name} is a number")
        return cls(**given, answer=None if answer is None else ProgrammedAnswer.parse(answer))


NO_FAULTS = Faults()


@dataclass(frozen=True, slots=True)
class ReceivedPush:
    """One that arrived, and what it was answered; None where it got RST_STREAM or nothing."""

    token: bytes
    headers: Headers
    body: bytes
    at: float
    answer: ProgrammedAnswer | None

    def describe(self) -> dict[str, Any]:
        """As `GET /pushes` lists it. The proof of who sent it is left out: it is a secret."""
        headers = {name.decode(): value.decode("utf-8", "replace") for name, value in self.headers}
        headers.pop("authorization", None)
        return {
            "token": self.token.decode("utf-8", "replace"),
            "topic": headers.get("apns-topic"),
            "headers": headers,
            "body": self.body.decode("utf-8", "replace"),
            "at": self.at,
            "status": self.answer.status if self.answer else None,
            "reason": self.answer.reason if self.answer else None,
        }


@dataclass
class State:
    """What connections and the control endpoint share.

    Args:
        provider_keys: public keys of provider tokens, PEM, by key id.
        pushes: what arrived.
        answers: by token.
        faults: what goes wrong.
        accepted: how many connections were made.
        peak_streams: the most streams that a connection had open at once.
        excess_streams: how many streams were opened beyond what SETTINGS allowed.
    """

    provider_keys: Mapping[str, str]
    pushes: deque[ReceivedPush] = field(default_factory=lambda: deque(maxlen=MAX_PUSHES))
    answers: dict[bytes, ProgrammedAnswer] = field(default_factory=dict)
    faults: Faults = NO_FAULTS
    burst_left: int = 0
    accepted: int = 0
    peak_streams: int = 0
    excess_streams: int = 0
    wakers: set[Callable[[], None]] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def set_faults(self, faults: Faults) -> None:
        """From now on, for open connections too."""
        with self.lock:
            self.faults = faults
            self.burst_left = faults.answer_next
            wakers = list(self.wakers)
        for wake in wakers:
            wake()

    def forget(self) -> None:
        """What arrived, and the counts of connections and streams."""
        with self.lock:
            self.pushes.clear()
            self.accepted = self.peak_streams = self.excess_streams = 0

    def common_answer(self) -> ProgrammedAnswer | None:
        """What the faults say that a push is answered."""
        faults = self.faults
        if faults.answer is None or not faults.answer_next:
            return faults.answer
        with self.lock:
            self.burst_left -= 1
            return faults.answer if self.burst_left >= 0 else None


def _refuse_unknown(kind: Any, body: Mapping[str, Any]) -> None:  # noqa: ANN401 - a dataclass
    known = {item.name for item in fields(kind)}
    unknown = sorted(set(body) - known)
    if unknown:
        raise TypeError(f"{', '.join(unknown)}: not known; there is {', '.join(sorted(known))}")

"""Programmed answers, faults and received pushes, parsed from the JSON of the control endpoint."""

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from itertools import islice
from typing import Any, Self

DELIVERED = 200
MAX_PUSHES = 1_000_000
"""The number of the latest pushes that are stored."""

MAX_WAIT_SECONDS = 30.0
WAIT_TICK_SECONDS = 0.02

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class ProgrammedAnswer:
    """An answer of APNs: a status, and a reason unless the status is 200."""

    status: int = DELIVERED
    reason: str | None = None
    timestamp: int | None = None
    retry_after: int | None = None

    @classmethod
    def parse(cls, body: Any) -> Self:  # noqa: ANN401 - whatever JSON holds
        """Parse a programmed answer. Raises TypeError if it is invalid."""
        if not isinstance(body, dict) or not isinstance(body.get("status"), int):
            raise TypeError(
                'invalid answer; it must be like {"status": 410, "reason": "Unregistered", "timestamp": <ms>}'
            )
        _refuse_unknown(cls, body)
        if not isinstance(body.get("reason"), str | None):
            raise TypeError("invalid reason: it must be a string")
        if not isinstance(body.get("timestamp"), int | None) or not isinstance(body.get("retry_after"), int | None):
            raise TypeError(
                "invalid timestamp or retry_after: they must be whole numbers, of milliseconds and of seconds"
            )
        return cls(**body)

    @property
    def body(self) -> bytes:
        """The JSON that follows the headers; empty for an accepted push."""
        if self.reason is None:
            return b""
        content: dict[str, Any] = {"reason": self.reason}
        if self.timestamp is not None:
            content["timestamp"] = self.timestamp
        return json.dumps(content).encode()


@dataclass(frozen=True, slots=True)
class Faults:
    """Faults of all connections; `PUT /faults` takes them as JSON, and 0, false and null switch one off.

    Args:
        latency_ms: the delay of every answer.
        max_streams: SETTINGS_MAX_CONCURRENT_STREAMS, sent to open and new connections; null for APNs' value.
        answer: the answer to every push whose token has no programmed answer.
        answer_next: the number of pushes after which `answer` ends, as for a burst of 503; 0 for no end.
        goaway_after: a connection gets GOAWAY after this number of pushes; later ones are ignored.
        reset_after: the TCP connection is reset after this number of pushes.
        garbage_after: a connection gets bytes that are not HTTP/2 after this number of pushes.
        reset_stream_every: every nth push of a connection is accepted, but gets RST_STREAM instead of an answer.
        refuse_stream_every: every nth push of a connection is not accepted, and gets RST_STREAM with REFUSED_STREAM.
        ignore_push_every: every nth push of a connection is not accepted, and never answered.
        black_hole: open connections send nothing any more, not even to PING, as if the host were unreachable.
        down: open connections are reset at once, and new ones before the handshake.
        read_bytes_per_second: the highest rate at which a connection is read.
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
        """Parse the body of `PUT /faults`. Raises TypeError if it is invalid."""
        if not isinstance(body, dict):
            raise TypeError('invalid faults; they must be {"<name>": <value>, ...}, and GET / lists the names')
        _refuse_unknown(cls, body)
        numbers = dict(body)
        answer = numbers.pop("answer", None)
        for name, value in numbers.items():
            if not isinstance(value, int | float | None):
                raise TypeError(f"invalid {name}: it must be a number")
        return cls(**numbers, answer=None if answer is None else ProgrammedAnswer.parse(answer))


NO_FAULTS = Faults()


@dataclass(frozen=True, slots=True)
class ReceivedPush:
    """A push that arrived, and its answer; None if it got RST_STREAM."""

    token: bytes
    headers: Headers
    body: bytes
    at: float
    answer: ProgrammedAnswer | None

    def describe(self) -> dict[str, Any]:
        """The JSON of a push in `GET /pushes`, without `authorization`, which is a secret."""
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
    """State that the connections and the control endpoint share.

    Args:
        provider_keys: public keys of provider tokens, PEM, by key id.
        pushes: the latest pushes, oldest first.
        received: the number of pushes that ever arrived, also those that are forgotten.
        answers: programmed answers by device token.
        faults: the current faults.
        burst_left: how many more pushes get the answer of the faults, if that ends.
        accepted: the number of connections.
        peak_streams: the largest number of open streams of a connection.
        excess_streams: the number of streams that were opened beyond the limit in SETTINGS.
        on_faults: a callback per open connection, which makes it read the faults again.
        lock: protects all of this.
    """

    provider_keys: Mapping[str, str]
    pushes: deque[ReceivedPush] = field(default_factory=lambda: deque(maxlen=MAX_PUSHES))
    received: int = 0
    answers: dict[bytes, ProgrammedAnswer] = field(default_factory=dict)
    faults: Faults = NO_FAULTS
    burst_left: int = 0
    accepted: int = 0
    peak_streams: int = 0
    excess_streams: int = 0
    on_faults: set[Callable[[], None]] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def set_faults(self, faults: Faults) -> None:
        """Replace the faults, for open connections too."""
        with self.lock:
            self.faults = faults
            self.burst_left = faults.answer_next
            on_faults = list(self.on_faults)
        for notify in on_faults:
            notify()

    def record(self, push: ReceivedPush) -> None:
        with self.lock:
            self.pushes.append(push)
            self.received += 1

    def pushes_after(self, number: int) -> tuple[int, list[ReceivedPush]]:
        """Return the number of pushes that ever arrived, and those of them after the first `number`, oldest first."""
        with self.lock:
            latest = list(islice(reversed(self.pushes), max(0, self.received - number)))
            return self.received, latest[::-1]

    def wait_for_pushes(self, number: int, seconds: float) -> None:
        """Wait until a push after the first `number` arrives, or for `seconds`."""
        until = time.monotonic() + min(seconds, MAX_WAIT_SECONDS)
        while self.received <= number and time.monotonic() < until:
            time.sleep(WAIT_TICK_SECONDS)

    def forget(self) -> None:
        """Forget the received pushes and the counts of connections and streams."""
        with self.lock:
            self.pushes.clear()
            self.accepted = self.peak_streams = self.excess_streams = 0

    def common_answer(self) -> ProgrammedAnswer | None:
        """The answer that the faults give to a push, or None."""
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
        raise TypeError(f"unknown: {', '.join(unknown)}; use {', '.join(sorted(known))}")

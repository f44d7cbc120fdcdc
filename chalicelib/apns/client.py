"""Pushing many at once: a synchronous multiplexer over one TLS connection that a warm sandbox keeps.

No event loop and no thread: a loop would die between two invocations, and one socket keeps one core busy. The protocol
is `connection.py`'s; here are the socket, the clock, and the decision what becomes of a push that got no answer.

Every push that is handed in ends in exactly one `Outcome`. A push that the peer promises not to have touched is sent
again; one whose fate is unknown is reported as `LATER`, since sending it again is for the caller to decide.
"""

import json
import random
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from chalicelib.apns.connection import (
    Answered,
    Connection,
    ConnectionBrokenError,
    Event,
    Headers,
    PingAnswered,
    Unprocessed,
)
from chalicelib.apns.credentials import Credential
from chalicelib.apns.reasons import EXPIRED_PROVIDER_TOKEN, OutcomeKind, kind_of
from chalicelib.domain.errors import ConfigurationError
from chalicelib.domain.identifiers import PushToken

CONNECT_TIMEOUT_SECONDS = 3.0
MAX_FRUITLESS_CONNECTIONS = 3
"""So many connections in a row without one answer, and the rest is for later: APNs is away."""
BACKOFF_SECONDS = 0.1
IDLE_SECONDS = 10.0
"""A connection that was quiet for longer may be dead without having said so: a thawed sandbox holds such sockets."""
PING_TIMEOUT_SECONDS = 2.0
STALL_SECONDS = 5.0
"""A peer that says nothing for so long while requests are open is asked whether it is there."""
MAX_SENDS = 10
"""How often one push is sent, where the peer says each time that it did nothing with it."""
EXPIRATION_SECONDS = 30 * 24 * 3600
"""How long APNs keeps a push for a phone that is off."""
READ_BYTES = 1 << 18
WRITE_BYTES = 1 << 16
"""Requests are put together until a write has this size: few large writes cost less than many."""
BACKGROUND = "background"


@dataclass(frozen=True, slots=True)
class Push:
    """One device to wake. `topic` is the pass type identifier."""

    push_token: PushToken
    topic: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a push ended; all that a caller may need.

    Args:
        push: which.
        kind: what is to be done.
        status: APNs' status, or None where there was no answer.
        reason: APNs' reason, or ours where there was no answer: Unreachable, ConnectionLost, StreamReset,
            RefusedStream, Timeout, Deadline. None for a push that was delivered.
        apns_id: the id that APNs gave to the push.
        timestamp: epoch milliseconds since which the device is gone (410 only).
        retry_after: seconds that APNs asks to wait (429 and 503 may).
    """

    push: Push
    kind: OutcomeKind
    status: int | None = None
    reason: str | None = None
    apns_id: str | None = None
    timestamp: int | None = None
    retry_after: int | None = None


@dataclass(slots=True)
class _Sending:
    """A push on its way."""

    push: Push
    sends: int = 0
    authorization: bytes | None = None
    sent_at: float = 0.0


class _LostError(Exception):
    """The connection is of no more use; the message is the reason to report."""


class Client:
    """Pushes with one credential.

    Args:
        url: of APNs, `https://host:port`.
        credential: what proves that the pushes are ours.
        ca: PEM of one more root to trust; empty for the system's alone.
        push_type: the `apns-push-type` header; empty to leave it out.
        clock: epoch seconds, for tokens and expirations.
        timer: monotonic seconds, for everything that is waited for.
    """

    def __init__(
        self,
        *,
        url: str,
        credential: Credential,
        ca: str = "",
        push_type: str = "",
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname:
            raise ConfigurationError(f"APNs URL {url!r}: must be https://host:port")
        self._host, self._port = parts.hostname, parts.port or 443
        self._credential = credential
        self._ca = ca
        self._push_type = push_type
        self._clock = clock
        self._timer = timer
        self._line: _Line | None = None
        self._context: ssl.SSLContext | None = None

    def close(self) -> None:
        """Give up the connection; the next push makes a new one."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def push(self, pushes: Iterable[Push], *, deadline: float) -> Iterator[Outcome]:
        """Push to all of them, as many at a time as APNs allows.

        Args:
            pushes: each ends in one outcome, in any order.
            deadline: the moment of `timer` by which all outcomes are out; what has none by then ends as `LATER`.

        Raises:
            ConfigurationError: the credential is none; nothing was sent.
        """
        run = _Run(waiting=deque(_Sending(push) for push in pushes))
        fruitless = 0
        while run.waiting or run.open:
            line = self._ready_line(deadline) if self._timer() < deadline else None
            if line is None:
                yield from self._give_up(run, "Deadline" if self._timer() >= deadline else "Unreachable")
                return
            answered = run.answered
            try:
                yield from self._exchange(line, run, deadline=deadline)
            except _LostError as error:
                self.close()
                yield from run.lose(str(error))
                fruitless = 0 if run.answered > answered else fruitless + 1
                if fruitless >= MAX_FRUITLESS_CONNECTIONS:
                    yield from self._give_up(run, str(error))
                    return
                self._back_off(fruitless, deadline)

    def _exchange(self, line: "_Line", run: "_Run", *, deadline: float) -> Iterator[Outcome]:
        """Send and receive until nothing is left, the connection ends, or time is up.

        Raises:
            _LostError: the connection ended.
        """
        heard_at, pinged_at = self._timer(), None
        while run.waiting or run.open:
            now = self._timer()
            if now >= deadline:
                for stream_id in run.open:
                    line.connection.abandon(stream_id)
                yield from self._give_up(run, "Deadline")
                line.flush()
                return
            if line.connection.closing and not run.open:
                raise _LostError("GoAway")
            self._fill(line, run, now)
            events = line.exchange(timeout=min(deadline - now, 1.0))
            if events:
                heard_at, pinged_at = self._timer(), None
            elif pinged_at is not None and now - pinged_at > PING_TIMEOUT_SECONDS:
                raise _LostError("Timeout")
            elif pinged_at is None and now - heard_at > STALL_SECONDS:
                line.connection.ping()
                pinged_at = now
            for event in events:
                yield from self._settle(event, run)
            yield from self._abandon_stalled(line, run)

    def _fill(self, line: "_Line", run: "_Run", now: float) -> None:
        """Start as many requests as the peer allows, while the socket takes them."""
        room = min(line.connection.capacity, len(run.waiting))
        if not room or line.unsent > WRITE_BYTES:
            return
        authorization = self._credential.authorization(self._clock())
        expiration = int(self._clock() // 3600 * 3600) + EXPIRATION_SECONDS
        headers: Headers | None = None
        topic = None
        for _ in range(room):
            sending = run.waiting.popleft()
            if headers is None or sending.push.topic != topic:
                topic = sending.push.topic
                headers = self._headers(topic, authorization, expiration)
            sending.sends += 1
            sending.sent_at = now
            sending.authorization = authorization
            path = b"/3/device/" + sending.push.push_token.value.encode()
            run.open[line.connection.request(path, headers)] = sending

    def _headers(self, topic: str, authorization: bytes | None, expiration: int) -> Headers:
        """All but `:path`; the same for an hour's pushes of a topic, which is what makes their encoding cheap."""
        headers = [
            (b":method", b"POST"),
            (b":scheme", b"https"),
            (b":authority", f"{self._host}:{self._port}".encode()),
            (b"apns-topic", topic.encode()),
            (b"apns-expiration", str(expiration).encode()),
        ]
        if self._push_type:
            headers.append((b"apns-push-type", self._push_type.encode()))
        if self._push_type == BACKGROUND:
            headers.append((b"apns-priority", b"5"))  # 10 is an error for background pushes
        if authorization is not None:
            headers.append((b"authorization", authorization))
        return tuple(headers)

    def _settle(self, event: Event, run: "_Run") -> Iterator[Outcome]:
        if isinstance(event, PingAnswered):
            return
        sending = run.open.pop(event.stream_id, None)
        if sending is None:
            return
        run.answered += 1
        if isinstance(event, Answered):
            outcome = _outcome(sending.push, event)
            expired = (outcome.status, outcome.reason) == EXPIRED_PROVIDER_TOKEN
            if not expired or self._credential.authorization(self._clock()) == sending.authorization:
                yield outcome
                return
        elif not isinstance(event, Unprocessed):
            yield Outcome(sending.push, OutcomeKind.LATER, reason="StreamReset")
            return
        # Nobody acted on it: the token had expired while it was under way, or the peer promises that it did nothing.
        if sending.sends < MAX_SENDS:
            run.waiting.appendleft(sending)
        else:
            yield Outcome(sending.push, OutcomeKind.LATER, reason="RefusedStream")

    def _abandon_stalled(self, line: "_Line", run: "_Run") -> Iterator[Outcome]:
        """Give up requests that the peer lets wait while it answers others."""
        oldest = self._timer() - 2 * STALL_SECONDS
        while run.open:
            stream_id, sending = next(iter(run.open.items()))
            if sending.sent_at > oldest:
                return
            del run.open[stream_id]
            line.connection.abandon(stream_id)
            yield Outcome(sending.push, OutcomeKind.LATER, reason="Timeout")

    def _give_up(self, run: "_Run", reason: str) -> Iterator[Outcome]:
        yield from run.lose(reason)
        while run.waiting:
            yield Outcome(run.waiting.popleft().push, OutcomeKind.LATER, reason=reason)

    def _back_off(self, attempt: int, deadline: float) -> None:
        pause = BACKOFF_SECONDS * 2**attempt * random.uniform(0.5, 1)  # noqa: S311 - jitter
        time.sleep(max(0.0, min(pause, deadline - self._timer())))

    def _ready_line(self, deadline: float) -> "_Line | None":
        """The kept connection if it is alive, else a new one; None where APNs cannot be reached."""
        if self._line is not None and self._timer() - self._line.used_at > IDLE_SECONDS and not self._line.alive():
            self.close()
        if self._line is not None:
            return self._line
        for attempt in range(MAX_FRUITLESS_CONNECTIONS):
            try:
                timeout = min(CONNECT_TIMEOUT_SECONDS, deadline - self._timer())
                if timeout <= 0:
                    return None
                self._line = _Line(self._connect(timeout), timer=self._timer)
            except OSError:
                self._back_off(attempt, deadline)
            else:
                return self._line
        return None

    def _connect(self, timeout: float) -> ssl.SSLSocket:
        """Any of the host's addresses, in random order, so that a fleet of sandboxes spreads over them.

        Raises:
            OSError: none of them answered, or not with a certificate that is trusted.
        """
        if self._context is None:
            self._context = self._make_context()
        addresses = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        random.shuffle(addresses)
        error: OSError = OSError("no address")
        for family, kind, protocol, _, address in addresses:
            plain = socket.socket(family, kind, protocol)
            try:
                plain.settimeout(timeout)
                plain.connect(address)
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                encrypted = self._context.wrap_socket(plain, server_hostname=self._host)
            except OSError as failed:
                plain.close()
                error = failed
            else:
                encrypted.settimeout(0.0)
                return encrypted
        raise error

    def _make_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["h2"])
        if self._ca:
            context.load_verify_locations(cadata=self._ca)
        self._credential.prepare(context)
        return context


@dataclass(slots=True)
class _Run:
    """One call's pushes: those that wait, those that are open by stream, and how many were settled."""

    waiting: deque[_Sending]
    open: dict[int, _Sending] = field(default_factory=dict)
    answered: int = 0

    def lose(self, reason: str) -> Iterator[Outcome]:
        """What is open is lost with its connection; whether APNs took it is unknown."""
        lost, self.open = self.open, {}
        for sending in lost.values():
            yield Outcome(sending.push, OutcomeKind.LATER, reason=reason)


class _Line:
    """A socket and the protocol on it."""

    def __init__(self, sock: ssl.SSLSocket, *, timer: Callable[[], float]) -> None:
        self.connection = Connection()
        self._socket = sock
        self._timer = timer
        self._unsent = memoryview(b"")
        self.used_at = timer()

    @property
    def unsent(self) -> int:
        return len(self._unsent)

    def close(self) -> None:
        self._socket.close()

    def alive(self) -> bool:
        """Ask the peer, and wait a little for its answer."""
        until = self._timer() + PING_TIMEOUT_SECONDS
        try:
            self.connection.ping()
            while self._timer() < until and not self.connection.closing:
                if any(isinstance(event, PingAnswered) for event in self.exchange(timeout=until - self._timer())):
                    return True
        except _LostError:
            pass
        return False

    def exchange(self, *, timeout: float) -> list[Event]:
        """Write what is to be written, and read what is there; wait for either for `timeout` seconds at most.

        Raises:
            _LostError: the connection ended.
        """
        self.flush()
        events = self._read()
        if events is None:
            poll = select.poll()
            poll.register(self._socket, select.POLLIN | (select.POLLOUT if self._unsent else 0))
            poll.poll(max(0.0, timeout) * 1000)
            self.flush()
            events = self._read()
        self.used_at = self._timer()
        return events or []

    def flush(self) -> None:
        """Write as much as the socket takes.

        Raises:
            _LostError: the connection ended.
        """
        data = self.connection.data_to_send()
        if data:
            self._unsent = memoryview(bytes(self._unsent) + data) if self._unsent else memoryview(data)
        try:
            while self._unsent:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return
        except OSError as error:
            raise _LostError("ConnectionLost") from error

    def _read(self) -> list[Event] | None:
        """What has arrived; None where nothing has.

        Raises:
            _LostError: the connection ended.
        """
        data = bytearray()
        lost: OSError | None = None
        ended = False
        try:
            while len(data) < READ_BYTES and not ended:
                chunk = self._socket.recv(READ_BYTES)
                data += chunk
                ended = not chunk
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError as error:
            lost = error
        if not data:
            if ended or lost:
                raise _LostError("ConnectionLost") from lost
            return None
        try:
            return self.connection.receive(bytes(data))
        except ConnectionBrokenError as error:
            raise _LostError("ConnectionBroken") from error


def _outcome(push: Push, answer: Answered) -> Outcome:
    status = int(answer.headers.get(b":status", b"0"))
    apns_id = answer.headers.get(b"apns-id", b"").decode("ascii", "replace") or None
    if status == 200:  # noqa: PLR2004
        return Outcome(push, OutcomeKind.DELIVERED, status, apns_id=apns_id)
    try:
        body = json.loads(answer.body)
    except ValueError:
        body = {}
    reason = str(body.get("reason", "")) if isinstance(body, dict) else ""
    timestamp = body.get("timestamp") if isinstance(body, dict) else None
    retry_after = answer.headers.get(b"retry-after", b"")
    return Outcome(
        push,
        kind_of(status, reason),
        status,
        reason=reason or None,
        apns_id=apns_id,
        timestamp=timestamp if isinstance(timestamp, int) else None,
        retry_after=int(retry_after) if retry_after.isdigit() else None,
    )

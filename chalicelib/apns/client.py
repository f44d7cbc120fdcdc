"""Sends many pushes at once over one TLS connection, which a warm execution environment keeps open.

It is a synchronous multiplexer without an event loop or threads: a loop would not survive between two invocations, and
one socket keeps one core busy. `connection.py` implements the protocol. This module has the socket and the clock, and
decides what happens to a push without a response.

Every push ends in exactly one `Outcome`. A push that the peer promises not to have processed is sent again. A push
whose result is unknown is reported as `LATER`, because the caller decides about a retry. After a response that concerns
every push (the credential is refused, or APNs no longer accepts pushes), the rest is not sent.
"""

import hashlib
import json
import math
import random
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from urllib.parse import quote, urlsplit

from chalicelib import roots
from chalicelib.apns.connection import (
    Answered,
    Connection,
    ConnectionBrokenError,
    Event,
    Headers,
    PingAnswered,
    Refused,
    Reset,
)
from chalicelib.apns.credentials import Credential
from chalicelib.apns.reasons import EXPIRED_PROVIDER_TOKEN, OutcomeKind, concerns_all, kind_of
from chalicelib.core.errors import ConfigurationError
from chalicelib.core.identifiers import PushToken

CONNECT_TIMEOUT_SECONDS = 2.0
"""Timeout for each of the host's addresses."""
MAX_FRUITLESS_CONNECTIONS = 3
"""After so many connections in a row without a response, APNs counts as unavailable and the rest is deferred."""
MAX_FAILURES = 100
"""After so many pushes in a row that APNs failed to accept, the rest is deferred."""
BACKOFF_SECONDS = 0.1
MAX_REFUSALS = 5
"""Attempts for a push that the peer refuses each time."""
EXPIRATION_SECONDS = 30 * 24 * 3600
"""How long APNs stores a push for a device that is offline."""
READ_BYTES = 1 << 18
MAX_UNSENT_BYTES = 1 << 16
MAX_OWED_BYTES = 1 << 20
"""Limit for bytes that wait to be written. Beyond it the connection is closed: the peer sends frames that must be
acknowledged (PING, SETTINGS), but reads nothing."""
REQUESTS_PER_WRITE = 100
"""Fills a TLS record: fewer requests need more writes, more requests delay the first one."""
MAX_RETRY_AFTER_SECONDS = 900
"""Limit for the wait that APNs asks for: the longest delay of an SQS message."""
MAX_TIMESTAMP = 1 << 53
MAX_REASON_LENGTH = 50
"""Longer than any documented reason, and shorter than a push token, which must not get into a log as a reason."""
MAX_APNS_ID_LENGTH = 36
PACED_WAIT_SECONDS = 0.01
"""Longest wait for the peer while pushes wait for their turn."""
BACKGROUND = "background"
SERVER_ERROR = 500
CERTIFICATE_ALERTS = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED")
"""Parts of OpenSSL's names for the alerts by which a peer refuses a certificate (RFC 8446, section 6.2)."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Timeouts of a connection, in seconds.

    Args:
        idle: a connection without traffic for longer may be dead without notice, as after an execution environment
            was frozen, so it is checked with a PING.
        ping: a peer that does not answer a PING within this time counts as lost.
        stall: a peer that sends nothing for so long while requests are open gets a PING.
        answer: a push without a response for so long, while others get one, is given up.
    """

    idle: float = 10.0
    ping: float = 2.0
    stall: float = 5.0
    answer: float = 10.0


DEFAULT_TIMEOUTS = Timeouts()


@dataclass(frozen=True, slots=True)
class Push:
    """A push to one device.

    Args:
        push_token: of the device.
        topic: the pass type identifier.
    """

    push_token: PushToken
    topic: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of a push.

    Args:
        push: the push.
        kind: tells the caller what to do.
        status: APNs' status; None without a response.
        reason: APNs' reason; one of `reasons.OWN_REASONS` without a response; the reason of another push if this one
            was not sent because of it. None for a delivered push.
        apns_id: APNs' id of the push.
        timestamp: epoch milliseconds since which the device is unregistered (410 only).
        retry_after: seconds that APNs asks to wait (with 429 or 503), 1 to `MAX_RETRY_AFTER_SECONDS`.
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
    """A push that is being sent."""

    push: Push
    refusals: int = 0
    authorization: bytes | None = None
    sent_at: float = 0.0


@dataclass(frozen=True, slots=True)
class _Ending:
    """The cause that ended a connection, or the whole send.

    Args:
        reason: for the outcomes of the pushes that it affects.
        kind: of these outcomes.
        final: True if another connection would end the same way.
        retry_after: seconds that APNs asked to wait in the response that ended it; None without such a request.
    """

    reason: str
    kind: OutcomeKind = OutcomeKind.LATER
    final: bool = False
    retry_after: int | None = None


class _EndedError(Exception):
    """The connection cannot be used any longer."""

    def __init__(self, ending: _Ending) -> None:
        super().__init__(ending.reason)
        self.ending = ending


@dataclass(frozen=True, slots=True)
class Pace:
    """When the pushes of one call may start (`updates/pacing.py`).

    Args:
        spread_seconds: time over which the starts are spread evenly; 0 to start all at once.
        start_until: seconds of `timer` after which no push starts; those that wait then end as `LATER`.
    """

    spread_seconds: float = 0.0
    start_until: float = math.inf


AT_ONCE = Pace()


@dataclass(slots=True)
class _Run:
    """The pushes of one call.

    Args:
        waiting: pushes to send.
        pace: when they may start.
        size: number of pushes.
        open: pushes without a response, by stream.
        again: pushes that the peer did not process, in the order in which they were sent.
        began_at: seconds of `timer` at which the first push could start; None before that.
        answered: number of responses.
        failures: number of pushes in a row that APNs failed to accept.
        verdict: the cause that ends all waiting pushes; None while they are sent.
    """

    waiting: deque[_Sending]
    pace: Pace = AT_ONCE
    size: int = 0
    began_at: float | None = None
    open: dict[int, _Sending] = field(default_factory=dict)
    again: list[_Sending] = field(default_factory=list)
    answered: int = 0
    failures: int = 0
    verdict: _Ending | None = None

    def startable(self, now: float) -> int:
        """Return how many waiting pushes may start now; after the end of their slot, none of them starts."""
        if self.began_at is None:
            self.began_at = now
        if self.waiting and now > self.pace.start_until:
            self.verdict = _Ending("SlotMissed")
            return 0
        if not self.pace.spread_seconds or not self.waiting:
            return len(self.waiting)
        passed = (now - self.began_at) / self.pace.spread_seconds
        started = self.size - len(self.waiting)
        return max(0, min(len(self.waiting), 1 + int(self.size * passed) - started))

    @property
    def longest_wait(self) -> float:
        """The longest wait for the peer, in seconds."""
        return PACED_WAIT_SECONDS if self.waiting and self.pace.spread_seconds else 1.0

    def learn(self, outcome: Outcome) -> None:
        """Apply a response to the pushes that wait."""
        status, reason = outcome.status or 0, outcome.reason or ""
        self.failures = self.failures + 1 if status >= SERVER_ERROR else 0
        if concerns_all(status, reason) or self.failures >= MAX_FAILURES:
            self.verdict = _Ending(reason, kind=outcome.kind, retry_after=outcome.retry_after)

    def resend(self) -> None:
        """Put the pushes to send again before those that were not sent yet."""
        self.waiting.extendleft(reversed(self.again))
        self.again.clear()

    def end_open(self, ending: _Ending) -> Iterator[Outcome]:
        """End the open pushes with their connection; it is unknown if APNs accepted them."""
        lost, self.open = self.open, {}
        for sending in lost.values():
            yield Outcome(sending.push, ending.kind, reason=ending.reason)

    def end_waiting(self, ending: _Ending) -> Iterator[Outcome]:
        """End the pushes that were not sent."""
        while self.waiting:
            push = self.waiting.popleft().push
            yield Outcome(push, ending.kind, reason=ending.reason, retry_after=ending.retry_after)


class Client:
    """Pushes with one credential.

    Args:
        url: of APNs, `https://host:port`.
        credential: authenticates the pushes.
        ca: PEM of an additional trusted root; empty for the system's roots only.
        push_type: the `apns-push-type` header; empty to leave it out.
        clock: epoch seconds, for tokens and expirations.
        timer: monotonic seconds, for timeouts.
        timeouts: of a connection.
        roots_folder: hashed root certificates to trust; None for the packaged ones, or the system's outside the zip.

    Raises:
        ConfigurationError: invalid URL, root or credential.
    """

    def __init__(  # noqa: PLR0913 - all but two have defaults
        self,
        *,
        url: str,
        credential: Credential,
        ca: str = "",
        push_type: str = "",
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.monotonic,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        roots_folder: str | None = None,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname:
            raise ConfigurationError(f"APNs URL {url!r} is invalid: it must be https://host:port")
        self._host, self._port = parts.hostname, parts.port or 443
        self._credential = credential
        self._push_type = push_type
        self._clock = clock
        self._timer = timer
        self._timeouts = timeouts
        self._line: _LiveConnection | None = None
        self._context = _make_context(ca, credential, roots_folder or roots.folder())
        self.identity = hashlib.sha256(f"{self._host}:{self._port} {credential.name}".encode()).hexdigest()[:32]
        """Identifies host and credential: a delivered push shows that both are right."""
        self.connections = 0
        """Number of connections made; more than one means that APNs or the network closed some."""
        self._cached_headers: tuple[tuple[str, bytes | None, int], Headers] | None = None

    def close(self) -> None:
        """Close the connection; the next push opens a new one."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def push(self, pushes: Iterable[Push], *, deadline: float, pace: Pace = AT_ONCE) -> Iterator[Outcome]:
        """Send pushes, as many at a time as APNs allows.

        Args:
            pushes: to send.
            deadline: seconds of `timer` by which every push has an outcome; without a response by then it is `LATER`.
            pace: when they may start.

        Yields:
            One outcome per push, in any order.
        """
        waiting = deque(_Sending(push) for push in pushes)
        run = _Run(waiting, pace, size=len(waiting))
        fruitless = 0
        while run.waiting or run.open:
            answered = run.answered
            try:
                yield from self._exchange(self._ready_line(deadline), run, deadline=deadline)
            except _EndedError as error:
                self.close()
                yield from run.end_open(error.ending)
                fruitless = 0 if run.answered > answered else fruitless + 1
                if error.ending.final or fruitless >= MAX_FRUITLESS_CONNECTIONS:
                    yield from run.end_waiting(error.ending)
                elif fruitless:
                    self._back_off(fruitless, deadline)

    def _exchange(self, line: "_LiveConnection", run: _Run, *, deadline: float) -> Iterator[Outcome]:
        """Send and receive until all pushes have an outcome, the connection ends, or the deadline has passed.

        Raises:
            _EndedError: the connection ended.
        """
        heard_at, pinged_at = self._timer(), None
        while run.waiting or run.open:
            now = self._timer()
            if now >= deadline:
                yield from self._stop(line, run)
                return
            if line.connection.closing and not run.open:
                raise _EndedError(_Ending("GoAway"))
            more = self._fill(line, run, now)
            events = line.exchange(timeout=0.0 if more else min(deadline - now, run.longest_wait))
            if events is not None:
                heard_at, pinged_at = self._timer(), None
            elif pinged_at is not None and now - pinged_at > self._timeouts.ping:
                raise _EndedError(_Ending("Timeout"))
            elif pinged_at is None and now - heard_at > self._timeouts.stall:
                line.connection.ping()
                pinged_at = now
            for event in events or ():
                outcome = self._settle(event, run)
                if outcome is not None:
                    yield outcome
            yield from self._abandon_stalled(line, run)
            run.resend()
            if run.verdict is not None:
                yield from run.end_waiting(run.verdict)

    def _stop(self, line: "_LiveConnection", run: _Run) -> Iterator[Outcome]:
        """End all pushes at the deadline. The connection remains usable."""
        for stream_id in run.open:
            line.connection.abandon(stream_id)
        line.flush()
        end = _Ending("Deadline")
        yield from run.end_open(end)
        yield from run.end_waiting(end)

    def _fill(self, line: "_LiveConnection", run: _Run, now: float) -> bool:
        """Start as many requests as the peer allows and a write holds; True if more can be started at once."""
        capacity = min(line.connection.capacity, run.startable(now))
        if not capacity or line.failed or line.unsent > MAX_UNSENT_BYTES:
            return False
        authorization = self._credential.authorization(self._clock())
        for _ in range(min(capacity, REQUESTS_PER_WRITE)):
            sending = run.waiting.popleft()
            sending.sent_at = now
            sending.authorization = authorization
            path = _path(sending.push.push_token)
            stream_id = line.connection.request(path, self._headers(sending.push.topic, authorization))
            run.open[stream_id] = sending
        return capacity > REQUESTS_PER_WRITE

    def _headers(self, topic: str, authorization: bytes | None) -> Headers:
        """Return all headers but `:path`: the same for all pushes of a topic in an hour, so that encoding is cheap."""
        hour = int(self._clock()) // 3600
        cached = self._cached_headers
        if cached is not None and cached[0] == (topic, authorization, hour):
            return cached[1]
        headers = [
            (b":method", b"POST"),
            (b":scheme", b"https"),
            (b":authority", f"{self._host}:{self._port}".encode()),
            (b"apns-topic", topic.encode()),
            (b"apns-expiration", str(hour * 3600 + EXPIRATION_SECONDS).encode()),
        ]
        if self._push_type:
            headers.append((b"apns-push-type", self._push_type.encode()))
        if self._push_type == BACKGROUND:
            headers.append((b"apns-priority", b"5"))  # 10 is an error for background pushes
        if authorization is not None:
            headers.append((b"authorization", authorization))
        self._cached_headers = ((topic, authorization, hour), tuple(headers))
        return self._cached_headers[1]

    def _settle(self, event: Event, run: _Run) -> Outcome | None:
        """Return the outcome of a push after an event; None if it is sent again, or belongs to an earlier call."""
        sending = None if isinstance(event, PingAnswered) else run.open.pop(event.stream_id, None)
        if sending is None:
            return None
        match event:
            case Answered():
                run.answered += 1
                outcome = outcome_of(sending.push, event, clock=self._clock)
                if not self._is_token_renewed(outcome, sending):
                    run.learn(outcome)
                    return outcome
            case Reset():
                run.answered += 1
                return Outcome(sending.push, OutcomeKind.LATER, reason="StreamReset")
            case Refused():
                sending.refusals += 1
                if sending.refusals >= MAX_REFUSALS:
                    return Outcome(sending.push, OutcomeKind.LATER, reason="RefusedStream")
        run.again.append(sending)
        return None

    def _is_token_renewed(self, outcome: Outcome, sending: _Sending) -> bool:
        """Return True if the token expired while it was sent and there is a new one."""
        expired = (outcome.status, outcome.reason) == EXPIRED_PROVIDER_TOKEN
        return expired and self._credential.authorization(self._clock()) != sending.authorization

    def _abandon_stalled(self, line: "_LiveConnection", run: _Run) -> Iterator[Outcome]:
        """Give up requests that the peer does not answer while it answers others."""
        oldest = self._timer() - self._timeouts.answer
        while run.open:
            stream_id, sending = next(iter(run.open.items()))
            if sending.sent_at > oldest:
                return
            del run.open[stream_id]
            line.connection.abandon(stream_id)
            yield Outcome(sending.push, OutcomeKind.LATER, reason="Timeout")

    def _back_off(self, attempt: int, deadline: float) -> None:
        pause = BACKOFF_SECONDS * 2**attempt * random.uniform(0.5, 1)  # noqa: S311 - jitter
        time.sleep(max(0.0, min(pause, deadline - self._timer())))

    def _ready_line(self, deadline: float) -> "_LiveConnection":
        """Return the open connection if it is alive, else a new one.

        Raises:
            _EndedError: APNs cannot be reached, or time is up.
        """
        if self._line is not None and not self._line.is_alive(deadline):
            self.close()
        if self._line is None:
            self._line = _LiveConnection(
                self._connect(deadline), timer=self._timer, clock=self._clock, timeouts=self._timeouts
            )
            self.connections += 1
        return self._line

    def _connect(self, deadline: float) -> ssl.SSLSocket:
        """Connect to one of the host's addresses, in random order, to spread execution environments over them.

        Raises:
            _EndedError: no address answered in time with a trusted certificate.
        """
        error: OSError | None = None
        try:  # only the resolver's own timeout limits it
            addresses = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
            random.shuffle(addresses)
        except OSError as unknown_host:
            raise _EndedError(_Ending("Unreachable")) from unknown_host
        for family, kind, protocol, _, address in addresses:
            timeout = min(CONNECT_TIMEOUT_SECONDS, deadline - self._timer())
            if timeout <= 0:
                raise _EndedError(_Ending("Deadline"))
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
        raise _EndedError(_ending_of(error, otherwise="Unreachable")) from error


def _path(push_token: PushToken) -> bytes:
    """Quote the push token as one path segment (RFC 3986, section 3.3): a device may send `../x` or `a?b`."""
    token = push_token.value
    return b"/3/device/" + (token if token.isalnum() else quote(token, safe="")).encode()


class _LiveConnection:
    """A socket with its protocol state."""

    def __init__(
        self, sock: ssl.SSLSocket, *, timer: Callable[[], float], clock: Callable[[], float], timeouts: Timeouts
    ) -> None:
        self._timeouts = timeouts
        self.connection = Connection()
        self._socket = sock
        self._timer = timer
        self._clock = clock
        self._unsent = memoryview(b"")
        self._failure: _Ending | None = None
        self._broken = False
        self._heard_at = (timer(), clock())

    @property
    def failed(self) -> bool:
        """True if nothing more can be sent. Data that has arrived must still be read."""
        return self._failure is not None

    @property
    def unsent(self) -> int:
        return len(self._unsent)

    def close(self) -> None:
        self._socket.close()

    def is_alive(self, deadline: float) -> bool:
        """Return True if requests may be sent: it is open, and after a long idle time the peer answers a PING.

        Both clocks count, because the monotonic one may stop in a frozen execution environment.
        """
        quiet = max(self._timer() - self._heard_at[0], self._clock() - self._heard_at[1])
        try:
            self.exchange(timeout=0)
            answered = quiet <= self._timeouts.idle
            if not answered:
                self.connection.ping()
            until = min(self._timer() + self._timeouts.ping, deadline)
            while not answered and self._timer() < until:
                events = self.exchange(timeout=until - self._timer())
                answered = any(isinstance(event, PingAnswered) for event in events or ())
        except _EndedError:
            return False
        return answered and not self.connection.closing

    def exchange(self, *, timeout: float) -> list[Event] | None:
        """Write pending data and read available data; wait for either for at most `timeout` seconds.

        Returns:
            The events that were read; None if there was no data.

        Raises:
            _EndedError: the connection ended.
        """
        self.flush()
        if self._broken and self._failure:
            raise _EndedError(self._failure)
        data = self._read()
        if not data and not self._failure and timeout > 0:
            poll = select.poll()
            poll.register(self._socket, select.POLLIN | (select.POLLOUT if self._unsent else 0))
            poll.poll(timeout * 1000)
            self.flush()
            data = self._read()
        if not data:
            if self._failure:
                raise _EndedError(self._failure)
            return None
        self._heard_at = (self._timer(), self._clock())
        try:
            return self.connection.receive(data)
        except ConnectionBrokenError as error:
            self._failure, self._broken = _Ending("ConnectionBroken"), True
            return error.events

    def flush(self) -> None:
        """Write as much as the socket accepts. Data that the peer sent before it closed must still be read."""
        data = self.connection.data_to_send()
        if data:
            self._unsent = memoryview(bytes(self._unsent) + data) if self._unsent else memoryview(data)
        if len(self._unsent) > MAX_OWED_BYTES:
            self._unsent = memoryview(b"")
            self._failure, self._broken = _Ending("ConnectionBroken"), True
            return
        try:
            while self._unsent:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return
        except OSError as error:
            self._unsent = memoryview(b"")
            self._failure = _ending_of(error, otherwise="ConnectionLost")

    def _read(self) -> bytes:
        """Read available data."""
        chunks: list[bytes] = []
        size = 0
        try:
            while size < READ_BYTES:
                chunk = self._socket.recv(READ_BYTES)
                if not chunk:
                    self._failure = self._failure or _Ending("ConnectionLost")
                    break
                chunks.append(chunk)
                size += len(chunk)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError as error:
            self._failure = _ending_of(error, otherwise="ConnectionLost")
        return b"".join(chunks)


def _make_context(ca: str, credential: Credential, roots_folder: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(capath=roots_folder)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    if ca:
        try:
            context.load_verify_locations(cadata=ca)
        except ssl.SSLError as error:
            raise ConfigurationError(f"APNs CA: PASSWIRE_APNS_CA is not a PEM certificate: {error.reason}") from None
    credential.prepare(context)
    return context


def _ending_of(error: OSError | None, *, otherwise: str) -> _Ending:
    """Classify a socket error. After an error of a certificate, further attempts fail too."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _Ending("UntrustedServer", kind=OutcomeKind.CONFIGURATION, final=True)
    alert = error.reason or "" if isinstance(error, ssl.SSLError) else ""
    if "ALERT" in alert and any(word in alert for word in CERTIFICATE_ALERTS):
        return _Ending("CertificateRefused", kind=OutcomeKind.CONFIGURATION, final=True)
    return _Ending(otherwise)


def outcome_of(push: Push, answer: Answered, *, clock: Callable[[], float] = time.time) -> Outcome:
    """Convert a response of APNs into an outcome. Values in another form than Apple documents are left out.

    Args:
        push: that was sent.
        answer: of APNs, in any form.
        clock: epoch seconds, for a `Retry-After` that is a date.
    """
    digits = answer.headers.get(b":status", b"")
    if digits != b"200" and (len(digits) != 3 or not digits.isdigit()):  # noqa: PLR2004 - RFC 9110, section 15
        return Outcome(push, OutcomeKind.LATER, reason="InvalidAnswer")
    status = int(digits)
    apns_id = answer.headers.get(b"apns-id", b"").decode("ascii", "replace")[:MAX_APNS_ID_LENGTH] or None
    if status == 200:  # noqa: PLR2004
        return Outcome(push, OutcomeKind.DELIVERED, status, apns_id=apns_id)
    reason, timestamp = _read_body(answer.body)
    return Outcome(
        push,
        kind_of(status, reason),
        status,
        reason=reason or None,
        apns_id=apns_id,
        timestamp=timestamp,
        retry_after=_retry_after(answer.headers.get(b"retry-after", b""), now=clock()),
    )


def _read_body(text: bytes) -> tuple[str, int | None]:
    """Read the reason (empty if missing or invalid) and the timestamp in epoch milliseconds (else None)."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):  # deep nesting exceeds the interpreter's stack
        return "", None
    if not isinstance(body, dict):
        return "", None
    reason, timestamp = body.get("reason"), body.get("timestamp")
    if not (isinstance(reason, str) and reason.isascii() and reason.isalnum() and len(reason) <= MAX_REASON_LENGTH):
        reason = ""
    if not (isinstance(timestamp, int) and not isinstance(timestamp, bool) and 0 < timestamp < MAX_TIMESTAMP):
        timestamp = None
    return reason, timestamp


def _retry_after(value: bytes, *, now: float) -> int | None:
    """Read a `Retry-After` header, which is a number of seconds or a date (RFC 9110, section 10.2.3).

    Args:
        value: the header; empty if it is missing.
        now: epoch seconds.

    Returns:
        Seconds, 1 to `MAX_RETRY_AFTER_SECONDS`; None for a missing or invalid header and for a time in the past.
    """
    text = value.decode("ascii", "replace").strip()
    seconds: float
    if text.isdigit():
        seconds = int(text[:10])
    else:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - now
        except (ValueError, TypeError, OverflowError):
            return None
    return min(math.ceil(seconds), MAX_RETRY_AFTER_SECONDS) if seconds > 0 else None

"""Pushing many at once: a synchronous multiplexer over one TLS connection that a warm sandbox keeps.

No event loop and no thread: a loop would die between two invocations, and one socket keeps one core busy. The protocol
is `connection.py`'s; here are the socket, the clock, and the decision what becomes of a push that got no answer.

Every push that is handed in ends in exactly one `Outcome`. A push that the peer promises not to have touched is sent
again; one whose fate is unknown is reported as `LATER`, since sending it again is for the caller to decide. Once an
answer concerns every push (the credential is refused, APNs takes nothing any more), the rest is not sent.
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
"""For each of the host's addresses."""
MAX_FRUITLESS_CONNECTIONS = 3
"""So many connections in a row without one answer, and the rest is for later: APNs is away."""
MAX_FAILURES = 100
"""So many pushes in a row that APNs was not able to take, and the rest is for later."""
BACKOFF_SECONDS = 0.1
IDLE_SECONDS = 10.0
"""A connection that was quiet for longer may be dead without having said so: a thawed sandbox holds such sockets."""
PING_TIMEOUT_SECONDS = 2.0
STALL_SECONDS = 5.0
"""A peer that says nothing for so long while requests are open is asked whether it is there."""
ANSWER_TIMEOUT_SECONDS = 10.0
"""A push that gets no answer for so long, while others do, is given up."""
MAX_REFUSALS = 5
"""How often one push is sent, where the peer refuses it each time."""
EXPIRATION_SECONDS = 30 * 24 * 3600
"""How long APNs keeps a push for a phone that is off."""
READ_BYTES = 1 << 18
MAX_UNSENT_BYTES = 1 << 16
MAX_OWED_BYTES = 1 << 20
"""What waits to be written when a connection is given up: the peer sends what must be acknowledged (PING, SETTINGS) and
reads nothing."""
REQUESTS_PER_WRITE = 100
"""Fills a TLS record: fewer would cost more writes, more would leave APNs waiting for the first."""
MAX_RETRY_AFTER_SECONDS = 900
"""The longest wait that APNs can ask for: what SQS can delay a message by."""
MAX_TIMESTAMP = 1 << 53
MAX_REASON_LENGTH = 50
"""Longer than any reason of Apple's page, and shorter than a push token, which a reason must not carry into a log."""
MAX_APNS_ID_LENGTH = 36
BACKGROUND = "background"
SERVER_ERROR = 500
CERTIFICATE_ALERTS = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED")
"""In the names that OpenSSL gives to the alerts by which a peer refuses a certificate (RFC 8446, section 6.2)."""


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
        reason: APNs' reason; ours (`reasons.OWN_REASONS`) where there was no answer; another push's reason where
            that spared this one. None for a push that was delivered.
        apns_id: the id that APNs gave to the push.
        timestamp: epoch milliseconds since which the device is gone (410 only).
        retry_after: seconds that APNs asks to wait (429 and 503 may), at most `MAX_RETRY_AFTER_SECONDS`; 1 at least.
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
    refusals: int = 0
    authorization: bytes | None = None
    sent_at: float = 0.0


@dataclass(frozen=True, slots=True)
class _Ending:
    """Why a connection, or all of sending, came to its end.

    Args:
        reason: as an `Outcome` has it.
        kind: what the pushes come to that are cut off.
        final: whether another connection would be no better.
        retry_after: seconds that APNs asked to wait with the answer that ended it; None where it did not.
    """

    reason: str
    kind: OutcomeKind = OutcomeKind.LATER
    final: bool = False
    retry_after: int | None = None


class _EndedError(Exception):
    """The connection is of no more use."""

    def __init__(self, ending: _Ending) -> None:
        super().__init__(ending.reason)
        self.ending = ending


@dataclass(slots=True)
class _Run:
    """One call's pushes.

    Args:
        waiting: those to send.
        open: those sent and not answered, by stream.
        again: those that nobody acted on, in the order in which they were sent.
        answered: how many have been.
        failures: how many in a row APNs was not able to take.
        verdict: what all that still wait come to; None as long as they are sent.
    """

    waiting: deque[_Sending]
    open: dict[int, _Sending] = field(default_factory=dict)
    again: list[_Sending] = field(default_factory=list)
    answered: int = 0
    failures: int = 0
    verdict: _Ending | None = None

    def learn(self, outcome: Outcome) -> None:
        """What an answer means for those that wait."""
        status, reason = outcome.status or 0, outcome.reason or ""
        self.failures = self.failures + 1 if status >= SERVER_ERROR else 0
        if concerns_all(status, reason) or self.failures >= MAX_FAILURES:
            self.verdict = _Ending(reason, kind=outcome.kind, retry_after=outcome.retry_after)

    def resend(self) -> None:
        """Put what is to be sent again before what was not sent yet."""
        self.waiting.extendleft(reversed(self.again))
        self.again.clear()

    def end_open(self, ending: _Ending) -> Iterator[Outcome]:
        """What is open goes with its connection; whether APNs took it is unknown."""
        lost, self.open = self.open, {}
        for sending in lost.values():
            yield Outcome(sending.push, ending.kind, reason=ending.reason)

    def end_waiting(self, ending: _Ending) -> Iterator[Outcome]:
        """What was not sent will not be."""
        while self.waiting:
            push = self.waiting.popleft().push
            yield Outcome(push, ending.kind, reason=ending.reason, retry_after=ending.retry_after)


class Client:
    """Pushes with one credential.

    Args:
        url: of APNs, `https://host:port`.
        credential: what proves that the pushes are ours.
        ca: PEM of one more root to trust; empty for the system's alone.
        push_type: the `apns-push-type` header; empty to leave it out.
        clock: epoch seconds, for tokens and expirations.
        timer: monotonic seconds, for everything that is waited for.

    Raises:
        ConfigurationError: the URL, the root or the credential is none.
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
        self._push_type = push_type
        self._clock = clock
        self._timer = timer
        self._line: _LiveConnection | None = None
        self._context = _make_context(ca, credential)
        self.identity = hashlib.sha256(f"{self._host}:{self._port} {credential.name}".encode()).hexdigest()[:32]
        """Names host and credential: what one client delivers shows that both are right."""
        self.connections = 0
        """How many were made; more than one says that APNs or the network ended some."""
        self._kept_headers: tuple[tuple[str, bytes | None, int], Headers] | None = None

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
        """
        run = _Run(waiting=deque(_Sending(push) for push in pushes))
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
        """Send and receive until nothing is left, the connection ends, or time is up.

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
            events = line.exchange(timeout=0.0 if more else min(deadline - now, 1.0))
            if events is not None:
                heard_at, pinged_at = self._timer(), None
            elif pinged_at is not None and now - pinged_at > PING_TIMEOUT_SECONDS:
                raise _EndedError(_Ending("Timeout"))
            elif pinged_at is None and now - heard_at > STALL_SECONDS:
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
        """Time is up. The connection is as good as before, and stays."""
        for stream_id in run.open:
            line.connection.abandon(stream_id)
        line.flush()
        end = _Ending("Deadline")
        yield from run.end_open(end)
        yield from run.end_waiting(end)

    def _fill(self, line: "_LiveConnection", run: _Run, now: float) -> bool:
        """Start as many requests as the peer allows and a write holds; whether there is room for more at once."""
        capacity = min(line.connection.capacity, len(run.waiting))
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
        """All but `:path`; the same for an hour's pushes of a topic, which is what makes their encoding cheap."""
        hour = int(self._clock()) // 3600
        kept = self._kept_headers
        if kept is not None and kept[0] == (topic, authorization, hour):
            return kept[1]
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
        self._kept_headers = ((topic, authorization, hour), tuple(headers))
        return self._kept_headers[1]

    def _settle(self, event: Event, run: _Run) -> Outcome | None:
        """What an event makes of its push; None where it is to be sent again, or is none of this call's."""
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
        """Whether a token that had expired on its way has a successor."""
        expired = (outcome.status, outcome.reason) == EXPIRED_PROVIDER_TOKEN
        return expired and self._credential.authorization(self._clock()) != sending.authorization

    def _abandon_stalled(self, line: "_LiveConnection", run: _Run) -> Iterator[Outcome]:
        """Give up requests that the peer lets wait while it answers others."""
        oldest = self._timer() - ANSWER_TIMEOUT_SECONDS
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
        """The kept connection if it is alive, else a new one.

        Raises:
            _EndedError: APNs cannot be reached, or time is up.
        """
        if self._line is not None and not self._line.is_alive(deadline):
            self.close()
        if self._line is None:
            self._line = _LiveConnection(self._connect(deadline), timer=self._timer, clock=self._clock)
            self.connections += 1
        return self._line

    def _connect(self, deadline: float) -> ssl.SSLSocket:
        """To any of the host's addresses, in random order, so that a fleet of sandboxes spreads over them.

        Raises:
            _EndedError: none of them answered in time, or not with a certificate that is trusted.
        """
        error: OSError | None = None
        try:  # the resolver's own timeout is all that bounds it
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
    """A device may call itself `../x` or `a?b`: what it says stays one segment of the path (RFC 3986, section 3.3)."""
    token = push_token.value
    return b"/3/device/" + (token if token.isalnum() else quote(token, safe="")).encode()


class _LiveConnection:
    """A socket and the protocol on it."""

    def __init__(self, sock: ssl.SSLSocket, *, timer: Callable[[], float], clock: Callable[[], float]) -> None:
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
        """Whether nothing more can be sent; what has arrived is still to be read."""
        return self._failure is not None

    @property
    def unsent(self) -> int:
        return len(self._unsent)

    def close(self) -> None:
        self._socket.close()

    def is_alive(self, deadline: float) -> bool:
        """Whether requests may be sent: it was not closed, and if it was quiet for long, the peer answers a PING.

        Both clocks are asked, since one of them may stand still in a sandbox that is frozen.
        """
        quiet = max(self._timer() - self._heard_at[0], self._clock() - self._heard_at[1])
        try:
            self.exchange(timeout=0)
            answered = quiet <= IDLE_SECONDS
            if not answered:
                self.connection.ping()
            until = min(self._timer() + PING_TIMEOUT_SECONDS, deadline)
            while not answered and self._timer() < until:
                events = self.exchange(timeout=until - self._timer())
                answered = any(isinstance(event, PingAnswered) for event in events or ())
        except _EndedError:
            return False
        return answered and not self.connection.closing

    def exchange(self, *, timeout: float) -> list[Event] | None:
        """Write what is to be written, and read what is there; wait for either for `timeout` seconds at most.

        Returns:
            What was read; None where there was nothing.

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
        """Write as much as the socket takes. What the peer said before it went away is still to be read after this."""
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
        """What has arrived."""
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


def _make_context(ca: str, credential: Credential) -> ssl.SSLContext:
    context = ssl.create_default_context(capath=roots.folder())
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    if ca:
        try:
            context.load_verify_locations(cadata=ca)
        except ssl.SSLError as error:
            raise ConfigurationError(f"APNs CA: is not a PEM certificate: {error.reason}") from None
    credential.prepare(context)
    return context


def _ending_of(error: OSError | None, *, otherwise: str) -> _Ending:
    """What an error of the socket means: where a certificate is at fault, no attempt will be better."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _Ending("UntrustedServer", kind=OutcomeKind.CONFIGURATION, final=True)
    alert = error.reason or "" if isinstance(error, ssl.SSLError) else ""
    if "ALERT" in alert and any(word in alert for word in CERTIFICATE_ALERTS):
        return _Ending("CertificateRefused", kind=OutcomeKind.CONFIGURATION, final=True)
    return _Ending(otherwise)


def outcome_of(push: Push, answer: Answered, *, clock: Callable[[], float] = time.time) -> Outcome:
    """What an answer of APNs means for a push. Values that are not as Apple documents them are left out.

    Args:
        push: what was sent.
        answer: of APNs, in whatever form.
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
    """The reason, empty where there is none that can be read, and the timestamp in epoch milliseconds."""
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
    """Seconds to wait by a `Retry-After` header, which is a number of seconds or a date (RFC 9110, section 10.2.3).

    Args:
        value: the header; empty where there is none.
        now: epoch seconds.

    Returns:
        1 to `MAX_RETRY_AFTER_SECONDS`; None for no header, one that cannot be read, and a time that is over.
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

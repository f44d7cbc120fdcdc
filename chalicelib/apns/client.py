"""Sends many pushes at once over one TLS connection, which a warm execution environment keeps open.

It is a synchronous multiplexer without an event loop or threads: a loop would not survive between two invocations, and
one socket keeps one core busy. `connection.py` implements the protocol, and `live_connection.py` has the socket. This
module decides what happens to a push without a response.

Every push ends in exactly one `Outcome`. A push that the peer promises not to have processed is sent again. A push
whose result is unknown is reported as `LATER`, because the caller decides about a retry. After a response that concerns
every push (the credential is refused, or APNs no longer accepts pushes), the rest is not sent.
"""

import hashlib
import math
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from chalicelib import roots
from chalicelib.apns.connection import Answered, ConnectionEvent, Headers, PingAnswered, RequestRefused, Reset
from chalicelib.apns.credentials import Credential
from chalicelib.apns.live_connection import (
    DEFAULT_TIMEOUTS,
    EndedError,
    Ending,
    LiveConnection,
    Timeouts,
    connect,
    make_context,
)
from chalicelib.apns.outcomes import Outcome, Push, outcome_of
from chalicelib.apns.reasons import EXPIRED_PROVIDER_TOKEN, OutcomeKind, concerns_all
from chalicelib.core.errors import ConfigurationError
from chalicelib.core.identifiers import PushToken

MAX_FRUITLESS_CONNECTIONS = 3
"""After so many connections in a row without a response, APNs counts as unavailable and the rest is deferred."""
MAX_FAILURES = 100
"""After so many pushes in a row that APNs failed to accept, the rest is deferred."""
MAX_REFUSALS = 5
"""Attempts for a push that the peer refuses each time."""
EXPIRATION_SECONDS = 30 * 24 * 3600
"""How long APNs stores a push for a device that is offline."""
MAX_UNSENT_BYTES = 1 << 16
REQUESTS_PER_WRITE = 100
"""Fills a TLS record: fewer requests need more writes, more requests delay the first one."""
PACED_WAIT_SECONDS = 0.01
"""Longest wait for the peer while pushes wait for their turn."""
BACKGROUND = "background"
SERVER_ERROR = 500


@dataclass(slots=True)
class _Sending:
    """A push that is being sent."""

    push: Push
    refusals: int = 0
    authorization: bytes | None = None
    sent_at: float = 0.0


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
    verdict: Ending | None = None

    def startable(self, now: float) -> int:
        """Return how many waiting pushes may start now; after the end of their slot, none of them starts."""
        if self.began_at is None:
            self.began_at = now
        if self.waiting and now > self.pace.start_until:
            self.verdict = Ending("SlotMissed")
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
            self.verdict = Ending(reason, kind=outcome.kind, retry_after=outcome.retry_after)

    def resend(self) -> None:
        """Put the pushes to send again before those that were not sent yet."""
        self.waiting.extendleft(reversed(self.again))
        self.again.clear()

    def end_open(self, ending: Ending) -> Iterator[Outcome]:
        """End the open pushes with their connection; it is unknown if APNs accepted them."""
        lost, self.open = self.open, {}
        for sending in lost.values():
            yield Outcome(sending.push, ending.kind, reason=ending.reason)

    def end_waiting(self, ending: Ending) -> Iterator[Outcome]:
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
        self._line: LiveConnection | None = None
        self._context = make_context(ca, credential, roots_folder or roots.folder())
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
            except EndedError as error:
                self.close()
                yield from run.end_open(error.ending)
                fruitless = 0 if run.answered > answered else fruitless + 1
                if error.ending.final or fruitless >= MAX_FRUITLESS_CONNECTIONS:
                    yield from run.end_waiting(error.ending)
                elif fruitless:
                    self._back_off(fruitless, deadline)

    def _exchange(self, line: LiveConnection, run: _Run, *, deadline: float) -> Iterator[Outcome]:
        """Send and receive until all pushes have an outcome, the connection ends, or the deadline has passed.

        Raises:
            EndedError: the connection ended.
        """
        heard_at, pinged_at = self._timer(), None
        while run.waiting or run.open:
            now = self._timer()
            if now >= deadline:
                yield from self._stop(line, run)
                return
            if line.connection.closing and not run.open:
                raise EndedError(Ending("GoAway"))
            more = self._fill(line, run, now)
            events = line.exchange(timeout=0.0 if more else min(deadline - now, run.longest_wait))
            if events is not None:
                heard_at, pinged_at = self._timer(), None
            elif pinged_at is not None and now - pinged_at > self._timeouts.ping:
                raise EndedError(Ending("Timeout"))
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

    def _stop(self, line: LiveConnection, run: _Run) -> Iterator[Outcome]:
        """End all pushes at the deadline. The connection remains usable."""
        for stream_id in run.open:
            line.connection.abandon(stream_id)
        line.flush()
        end = Ending("Deadline")
        yield from run.end_open(end)
        yield from run.end_waiting(end)

    def _fill(self, line: LiveConnection, run: _Run, now: float) -> bool:
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

    def _settle(self, event: ConnectionEvent, run: _Run) -> Outcome | None:
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
            case RequestRefused():
                sending.refusals += 1
                if sending.refusals >= MAX_REFUSALS:
                    return Outcome(sending.push, OutcomeKind.LATER, reason="RefusedStream")
        run.again.append(sending)
        return None

    def _is_token_renewed(self, outcome: Outcome, sending: _Sending) -> bool:
        """Return True if the token expired while it was sent and there is a new one."""
        expired = (outcome.status, outcome.reason) == EXPIRED_PROVIDER_TOKEN
        return expired and self._credential.authorization(self._clock()) != sending.authorization

    def _abandon_stalled(self, line: LiveConnection, run: _Run) -> Iterator[Outcome]:
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
        pause = self._timeouts.backoff * 2**attempt * random.uniform(0.5, 1)  # noqa: S311 - jitter
        time.sleep(max(0.0, min(pause, deadline - self._timer())))

    def _ready_line(self, deadline: float) -> LiveConnection:
        """Return the open connection if it is alive, else a new one.

        Raises:
            EndedError: APNs cannot be reached, or time is up.
        """
        if self._line is not None and not self._line.is_alive(deadline):
            self.close()
        if self._line is None:
            opened = connect(self._host, self._port, self._context, timer=self._timer, deadline=deadline)
            self._line = LiveConnection(opened, timer=self._timer, clock=self._clock, timeouts=self._timeouts)
            self.connections += 1
        return self._line


def _path(push_token: PushToken) -> bytes:
    """Quote the push token as one path segment (RFC 3986, section 3.3): a device may send `../x` or `a?b`."""
    token = push_token.value
    return b"/3/device/" + (token if token.isalnum() else quote(token, safe="")).encode()

"""An open TLS connection to APNs: the socket and the clock of the protocol that `connection.py` implements."""

import random
import select
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from chalicelib.apns.connection import Connection, ConnectionBrokenError, ConnectionEvent, PingAnswered
from chalicelib.apns.credentials import Credential
from chalicelib.apns.reasons import OutcomeKind
from chalicelib.core.errors import ConfigurationError

CONNECT_TIMEOUT_SECONDS = 2.0
"""Timeout for each of the host's addresses."""
READ_BYTES = 1 << 18
MAX_OWED_BYTES = 1 << 20
"""Limit for bytes that wait to be written. Beyond it the connection is closed: the peer sends frames that must be
acknowledged (PING, SETTINGS), but reads nothing."""
CERTIFICATE_ALERTS = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED")
"""Parts of OpenSSL's names for the alerts by which a peer refuses a certificate (RFC 8446, section 6.2)."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Timeouts of a connection and the pause before another one, in seconds.

    Args:
        idle: a connection without traffic for longer may be dead without notice, as after an execution environment
            was frozen, so it is checked with a PING.
        ping: a peer that does not answer a PING within this time counts as lost.
        stall: a peer that sends nothing for so long while requests are open gets a PING.
        answer: a push without a response for so long, while others get one, is given up.
        backoff: the longest pause after the first connection that failed; it doubles with each further one.
    """

    idle: float = 10.0
    ping: float = 2.0
    stall: float = 5.0
    answer: float = 10.0
    backoff: float = 0.1


DEFAULT_TIMEOUTS = Timeouts()


@dataclass(frozen=True, slots=True)
class Ending:
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


class EndedError(Exception):
    """The connection cannot be used any longer."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.reason)
        self.ending = ending


class LiveConnection:
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
        self._failure: Ending | None = None
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
        except EndedError:
            return False
        return answered and not self.connection.closing

    def exchange(self, *, timeout: float) -> list[ConnectionEvent] | None:
        """Write pending data and read available data; wait for either for at most `timeout` seconds.

        Returns:
            The events that were read; None if there was no data.

        Raises:
            EndedError: the connection ended.
        """
        self.flush()
        if self._broken and self._failure:
            raise EndedError(self._failure)
        data = self._read()
        if not data and not self._failure and timeout > 0:
            poll = select.poll()
            poll.register(self._socket, select.POLLIN | (select.POLLOUT if self._unsent else 0))
            poll.poll(timeout * 1000)
            self.flush()
            data = self._read()
        if not data:
            if self._failure:
                raise EndedError(self._failure)
            return None
        self._heard_at = (self._timer(), self._clock())
        try:
            return self.connection.receive(data)
        except ConnectionBrokenError as error:
            self._failure, self._broken = Ending("ConnectionBroken"), True
            return error.events

    def flush(self) -> None:
        """Write as much as the socket accepts. Data that the peer sent before it closed must still be read."""
        data = self.connection.data_to_send()
        if data:
            self._unsent = memoryview(bytes(self._unsent) + data) if self._unsent else memoryview(data)
        if len(self._unsent) > MAX_OWED_BYTES:
            self._unsent = memoryview(b"")
            self._failure, self._broken = Ending("ConnectionBroken"), True
            return
        try:
            while self._unsent:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return
        except OSError as error:
            self._unsent = memoryview(b"")
            self._failure = ending_of(error, otherwise="ConnectionLost")

    def _read(self) -> bytes:
        """Read available data."""
        chunks: list[bytes] = []
        size = 0
        try:
            while size < READ_BYTES:
                chunk = self._socket.recv(READ_BYTES)
                if not chunk:
                    self._failure = self._failure or Ending("ConnectionLost")
                    break
                chunks.append(chunk)
                size += len(chunk)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError as error:
            self._failure = ending_of(error, otherwise="ConnectionLost")
        return b"".join(chunks)


def connect(
    host: str, port: int, context: ssl.SSLContext, *, timer: Callable[[], float], deadline: float
) -> ssl.SSLSocket:
    """Connect to one of the host's addresses, in random order, to spread execution environments over them.

    Raises:
        EndedError: no address answered in time with a trusted certificate.
    """
    error: OSError | None = None
    try:  # only the resolver's own timeout limits it
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        random.shuffle(addresses)
    except OSError as unknown_host:
        raise EndedError(Ending("Unreachable")) from unknown_host
    for family, kind, protocol, _, address in addresses:
        timeout = min(CONNECT_TIMEOUT_SECONDS, deadline - timer())
        if timeout <= 0:
            raise EndedError(Ending("Deadline"))
        plain = socket.socket(family, kind, protocol)
        try:
            plain.settimeout(timeout)
            plain.connect(address)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            encrypted = context.wrap_socket(plain, server_hostname=host)
        except OSError as failed:
            plain.close()
            error = failed
        else:
            encrypted.settimeout(0.0)
            return encrypted
    raise EndedError(ending_of(error, otherwise="Unreachable")) from error


def make_context(ca: str, credential: Credential, roots_folder: str | None) -> ssl.SSLContext:
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


def ending_of(error: OSError | None, *, otherwise: str) -> Ending:
    """Classify a socket error. After an error of a certificate, further attempts fail too."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Ending("UntrustedServer", kind=OutcomeKind.CONFIGURATION, final=True)
    alert = error.reason or "" if isinstance(error, ssl.SSLError) else ""
    if "ALERT" in alert and any(word in alert for word in CERTIFICATE_ALERTS):
        return Ending("CertificateRefused", kind=OutcomeKind.CONFIGURATION, final=True)
    return Ending(otherwise)

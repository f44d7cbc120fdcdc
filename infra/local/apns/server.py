"""Sockets and TLS around the connections: one thread per connection, which waits for bytes, a time, or new faults."""

import contextlib
import select
import socket
import ssl
import struct
import threading
import time

from cryptography import x509
from cryptography.x509.oid import NameOID

from infra.local.apns.connection import ConnectionEnd, StandInConnection
from infra.local.apns.rules import Rules
from infra.local.apns.values import State

LOOPBACK = "127.0.0.1"
READ_BYTES = 1 << 18
MAX_UNSENT_BYTES = 1 << 20
"""Pushes of a client that does not read its answers are not read beyond this."""
HANDSHAKE_TIMEOUT_SECONDS = 10.0
LINGER_SECONDS = 2.0
TICK_SECONDS = 0.05
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)


class Server:
    """Listens for pushes.

    Args:
        port: 0 for a free one.
        context: TLS for a server.
        state: shared by all connections.
    """

    def __init__(self, port: int, context: ssl.SSLContext, state: State) -> None:
        self._listener = socket.create_server((LOOPBACK, port), backlog=1024)
        self._context = context
        self._state = state

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def serve_forever(self) -> None:
        """Accept connections until the process ends."""
        while True:
            plain, _ = self._listener.accept()
            threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        with plain, contextlib.suppress(OSError):
            if self._state.faults.down:
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
                return
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            plain.settimeout(HANDSHAKE_TIMEOUT_SECONDS)
            with self._context.wrap_socket(plain, server_side=True) as sock:
                sock.settimeout(0)
                with self._state.lock:
                    self._state.accepted += 1
                _Conversation(sock, self._state).run()  # some clients offer no ALPN protocol, so it is not checked


class _Conversation:
    """One connection's loop."""

    def __init__(self, sock: ssl.SSLSocket, state: State) -> None:
        topics = _certificate_topics(sock)
        rules = Rules(topics=topics, provider_keys=state.provider_keys)
        self._connection = StandInConnection(state, rules, trusted=topics is not None)
        self._socket = sock
        self._state = state
        self._unsent = memoryview(b"")

    def run(self) -> None:
        """Serve the connection until one side closes it."""
        notified, notifier = socket.socketpair()
        notified.setblocking(False)  # noqa: FBT003 - socket's signature
        notifier.setblocking(False)  # noqa: FBT003

        def notify() -> None:
            with contextlib.suppress(OSError):
                notifier.send(b"!")

        with notified, notifier:
            with self._state.lock:
                self._state.on_faults.add(notify)
            try:
                self._converse(notified)
            finally:
                with self._state.lock:
                    self._state.on_faults.discard(notify)

    def _converse(self, notified: socket.socket) -> None:
        connection = self._connection
        more = False
        while True:
            self._write()
            if connection.ending is ConnectionEnd.RESET:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
                return
            if connection.ending and connection.due is None and not self._unsent:
                self._linger()
                return
            if not more:
                self._wait(notified)
            more = False
            if connection.ending or len(self._unsent) > MAX_UNSENT_BYTES:
                continue
            data, more, ended = self._read()
            if data:
                connection.receive(data, time.time())
            if ended:
                return

    def _wait(self, notified: socket.socket) -> None:
        poll = select.poll()
        poll.register(notified, select.POLLIN)
        reading = not self._connection.ending and len(self._unsent) <= MAX_UNSENT_BYTES
        poll.register(self._socket, (select.POLLIN if reading else 0) | (select.POLLOUT if self._unsent else 0))
        due = self._connection.due
        for descriptor, _ in poll.poll(None if due is None else max(0.0, due - time.time()) * 1000):
            if descriptor == notified.fileno():
                notified.recv(64)
                self._connection.react()

    def _read(self) -> tuple[bytes, bool, bool]:
        """Read what is there: the bytes, whether there may be more, and whether the peer has closed its side."""
        slow = self._state.faults.read_bytes_per_second
        limit = max(1, int(slow * TICK_SECONDS)) if slow else READ_BYTES
        if slow:
            time.sleep(TICK_SECONDS)
        chunks: list[bytes] = []
        size = 0
        try:
            while size < limit:
                chunk = self._socket.recv(limit - size)
                if not chunk:
                    return b"".join(chunks), False, True
                chunks.append(chunk)
                size += len(chunk)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return b"".join(chunks), False, False
        return b"".join(chunks), True, False

    def _write(self) -> None:
        data = self._connection.output(time.time())
        if data:
            self._unsent = memoryview(bytes(self._unsent) + data) if self._unsent else memoryview(data)
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
            while self._unsent:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]

    def _linger(self) -> None:
        """Let the client read the last frames: closing a socket with unread bytes would reset the connection."""
        self._socket.settimeout(LINGER_SECONDS)
        socket.socket.shutdown(self._socket, socket.SHUT_WR)
        until = time.monotonic() + LINGER_SECONDS
        while time.monotonic() < until and self._socket.recv(READ_BYTES):
            pass


def _certificate_topics(sock: ssl.SSLSocket) -> frozenset[bytes] | None:
    """The topics of the client's certificate; None if it has presented none."""
    der = sock.getpeercert(binary_form=True)
    if not der:
        return None
    subject = x509.load_der_x509_certificate(der).subject
    return frozenset(str(item.value).encode() for item in subject.get_attributes_for_oid(NameOID.USER_ID))

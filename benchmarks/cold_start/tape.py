"""Records AWS's answers and replays them at once, so that a benchmark measures the function and not the emulator.

A TLS server hands each request on to the embedded AWS and keeps what came back; after that it answers the same requests
from memory, each operation's in the order in which they were recorded. Signatures, TLS, parsing: all that the
function's side does is as it is on AWS.
"""

import http.client
import ssl
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

CONNECTION_HEADERS = ("connection", "content-length", "date", "keep-alive", "transfer-encoding")


Tape = defaultdict[str, list[bytes]]
"""Complete responses by operation, in order."""


class Player:
    """Records and plays, at `url`.

    Args:
        certificate: PEM files for localhost.
        private_key: its own.
        upstream: URL of the embedded AWS.
    """

    def __init__(self, certificate: Path, private_key: Path, upstream: str) -> None:
        self._upstream = urlsplit(upstream)
        self._tape: Tape = defaultdict(list)
        self.played: Counter[str] = Counter()
        self._recording = True
        self.wrong: str | None = None
        """A request that is not in the recording, or None."""
        player = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                operation = self.headers.get("X-Amz-Target", f"{self.command} {urlsplit(self.path).path}")
                self.wfile.write(player.answer(self.command, self.path, operation, dict(self.headers), body))

            do_GET = do_POST = do_PUT = do_HEAD = answer  # noqa: N815 - http.server's names

            def log_message(self, *_: object) -> None:
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, private_key)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://localhost:{self._server.server_address[1]}"

    @contextmanager
    def running(self) -> Iterator[Self]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()

    def record(self, tape: Tape) -> None:
        """Start recording."""
        self._tape, self._recording = tape, True

    def play(self, tape: Tape) -> None:
        """Replay a recording from its beginning. Further calls of an operation get its last answer."""
        self._tape, self._recording, self.played = tape, False, Counter()

    def answer(self, method: str, path: str, operation: str, headers: dict[str, str], body: bytes) -> bytes:
        """Return the complete response."""
        if self._recording:
            response = self._forward(method, path, headers, body)
            self._tape[operation].append(response)
            return response
        if operation not in self._tape:
            self.wrong = operation
            return b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
        recorded = self._tape[operation]
        self.played[operation] += 1
        return recorded[min(self.played[operation], len(recorded)) - 1]

    def _forward(self, method: str, path: str, headers: dict[str, str], body: bytes) -> bytes:
        connection = http.client.HTTPConnection(self._upstream.hostname or "", self._upstream.port)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        kept = [(name, value) for name, value in response.getheaders() if name.lower() not in CONNECTION_HEADERS]
        lines = [f"HTTP/1.1 {response.status} {response.reason}", *(f"{name}: {value}" for name, value in kept)]
        return "\r\n".join([*lines, f"Content-Length: {len(content)}", "", ""]).encode("latin-1") + content

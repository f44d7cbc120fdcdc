"""Serves an app in this process over HTTP, so that a simulated phone can use it: API Gateway's place in a test.

Path parameters are handed over as the request has them, percent-encoded, as AWS's REST APIs do.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.in_process import InProcess

CATCH_ALL = "/{proxy+}"


@dataclass
class Gateway:
    """A server before an app.

    Args:
        url: to which `/v1/...` is appended.
        service: the app, which is set after the server's port is known.
    """

    url: str
    service: InProcess | None = None


@contextmanager
def gateway() -> Iterator[Gateway]:
    """Start a server; it ends with the context. One request is served at a time, as by one execution environment."""
    one_at_a_time = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def answer(self) -> None:
            path, _, query = self.path.partition("?")
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            with one_at_a_time:
                assert served.service is not None
                route, parameters = _matched(served.service, path)
                given = served.service.calls(
                    self.command, route, *parameters, query=query, headers=dict(self.headers), body=body or None
                )
            self.send_response(given.status)
            for name, value in given.headers.items():
                self.send_header(name, str(value))
            self.send_header("Content-Length", str(len(given.body)))
            self.end_headers()
            self.wfile.write(given.body)

        do_GET = do_POST = do_DELETE = do_HEAD = answer  # noqa: N815 - names that http.server looks up

        def log_message(self, *_: Any) -> None:  # noqa: ANN401
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served = Gateway(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()


def _matched(service: InProcess, path: str) -> tuple[str, list[str]]:
    """Return the route of a path, and its parameters."""
    parts = path.split("/")
    for route in service.app.app.routes:
        pattern = route.split("/")
        if len(pattern) == len(parts) and all(
            part.startswith("{") or part == given for part, given in zip(pattern, parts, strict=True)
        ):
            return route, [given for part, given in zip(pattern, parts, strict=True) if part.startswith("{")]
    return CATCH_ALL, [path.removeprefix("/")]

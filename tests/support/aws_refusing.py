"""An AWS that gives one answer to every request, for answers that the embedded one never gives."""

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

QUERY_ERROR = (
    '<ErrorResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><Error><Type>Sender</Type>'
    "<Code>{code}</Code><Message>{message}</Message></Error><RequestId>0</RequestId></ErrorResponse>"
)


@contextlib.contextmanager
def refusing(code: str, message: str) -> Iterator[str]:
    """Run a server that answers every request with this error; yields its URL."""
    with answering(QUERY_ERROR.format(code=code, message=message), status=403) as url:
        yield url


@contextlib.contextmanager
def answering(text: str, *, status: int) -> Iterator[str]:
    """Run a server that answers every request with this text; yields its URL."""
    body = text.encode()

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.send_header("Content-Type", "text/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()

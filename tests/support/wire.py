"""A proxy to the embedded AWS that counts writes, can cut the connection, and can leave items unprocessed."""

import http.client
import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


class Wire:
    """An HTTP proxy before one endpoint.

    Args:
        endpoint_url: what it leads to.
    """

    def __init__(self, endpoint_url: str) -> None:
        self._to = urlsplit(endpoint_url).netloc
        self.written: Counter[str] = Counter()
        self.cut_after: int | None = None
        """The number of writes after which every request is dropped, or None."""
        self.unprocessed_every = 0
        """Every nth request is carried out for its first item only; 0 for no request."""
        self._requests = 0
        self._lock = threading.Lock()
        wire = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                wire.carry(self)

            def log_message(self, *_: Any) -> None:  # noqa: ANN401
                """Log nothing."""

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None:  # noqa: ANN401
                """Ignore the connections that a killed process leaves."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def writes(self) -> int:
        return sum(self.written.values())

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def carry(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        left: list[Any] = []
        table = ""
        if request.headers.get("X-Amz-Target", "").endswith(".BatchWriteItem"):
            content = json.loads(body)
            ((table, requests),) = content["RequestItems"].items()
            with self._lock:
                if self.cut_after is not None and self.writes() >= self.cut_after:
                    request.close_connection = True
                    return
                self._requests += 1
                if self.unprocessed_every and self._requests % self.unprocessed_every == 0:
                    left = requests[1:]
                    body = json.dumps({**content, "RequestItems": {table: requests[:1]}}).encode()
        elif self.cut_after is not None and self.writes() >= self.cut_after:
            request.close_connection = True
            return
        connection = http.client.HTTPConnection(self._to)
        headers = {**dict(request.headers.items()), "Content-Length": str(len(body)), "Connection": "close"}
        connection.request("POST", request.path, body, headers)
        answer = connection.getresponse()
        told = answer.read()
        connection.close()
        if table and answer.status == http.client.OK:
            with self._lock:
                done = json.loads(body)["RequestItems"][table]
                self.written.update(item["PutRequest"]["Item"]["pass_id"]["S"] for item in done)
            if left:
                told = json.dumps({"UnprocessedItems": {table: left}}).encode()
        request.send_response(answer.status)
        for name in ("Content-Type", "x-amzn-RequestId"):
            if name in answer.headers:
                request.send_header(name, answer.headers[name])
        request.send_header("Content-Length", str(len(told)))
        request.end_headers()
        request.wfile.write(told)

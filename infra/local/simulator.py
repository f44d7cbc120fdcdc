"""A stand-in for APNs: a real HTTP/2 and TLS server in a process of its own, whose answers can be programmed.

`python -m infra.local.simulator --help` runs it. It answers as Apple's provider API does: headers, status codes,
reasons, one stream at a time for a connection with provider tokens until its first success. What it leaves out: it
delivers nothing, so it never finds out by itself that a device is gone; it takes any token that is not programmed; it
does not close idle connections, and does not limit how often a provider token changes.
"""

import argparse
import json
import os
import signal
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self, cast

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import jwt
from cryptography import x509
from cryptography.x509.oid import NameOID

from infra.local.processes import LOOPBACK, start_tethered, stop

MAX_STREAMS = 1000
MAX_TOKEN_AGE_SECONDS = 3600
MAX_PAYLOAD_BYTES = 4096
PUSH_TYPES = ("alert", "background")


@dataclass(frozen=True, slots=True)
class Answer:
    """What APNs says: a status, and for anything but 200 a reason."""

    status: int = 200
    reason: str | None = None
    timestamp: int | None = None
    retry_after: int | None = None

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Self:
        """Read a programmed answer. Raises TypeError where it is none."""
        status, reason = body.get("status"), body.get("reason")
        timestamp, retry_after = body.get("timestamp"), body.get("retry_after")
        if not isinstance(status, int) or not isinstance(reason, str | None):
            raise TypeError('an answer is {"status": 410, "reason": "Unregistered", "timestamp": <ms>}')
        if not isinstance(timestamp, int | None) or not isinstance(retry_after, int | None):
            raise TypeError("timestamp and retry_after are whole numbers")
        return cls(status, reason, timestamp, retry_after)

    def body(self) -> bytes:
        if self.reason is None:
            return b""
        content: dict[str, Any] = {"reason": self.reason}
        if self.timestamp is not None:
            content["timestamp"] = self.timestamp
        return json.dumps(content).encode()


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong for everybody, as `PUT /faults` sets it; 0, False and None mean: nothing.

    Args:
        latency_ms: before every answer.
        max_streams: SETTINGS_MAX_CONCURRENT_STREAMS, sent to open connections at once and to new ones.
        goaway_after: pushes of a connection, then GOAWAY; those that come later are ignored.
        reset_after: pushes of a connection, then the TCP connection is reset.
        reset_stream_every: every nth push of a connection gets RST_STREAM instead of an answer.
        refuse_stream_every: every nth push of a connection gets RST_STREAM with REFUSED_STREAM.
        black_hole: pushes are taken and never answered.
        answer: what every push is answered that has no answer programmed for its token.
        invalid_frames_after: pushes of a connection, then bytes that are no HTTP/2.
    """

    latency_ms: float = 0
    max_streams: int | None = None
    goaway_after: int = 0
    reset_after: int = 0
    reset_stream_every: int = 0
    refuse_stream_every: int = 0
    black_hole: bool = False
    answer: Answer | None = None
    invalid_frames_after: int = 0

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Self:
        """Read `PUT /faults`. Raises ValueError or TypeError where it is none."""
        fields = dict(body)
        if fields.get("answer") is not None:
            fields["answer"] = Answer.parse(fields["answer"])
        return cls(**fields)


@dataclass
class State:
    """What connections and the control endpoint share."""

    provider_keys: dict[str, str]
    lock: threading.Lock = field(default_factory=threading.Lock)
    pushes: list[dict[str, Any]] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    faults: Faults = field(default_factory=Faults)
    connections: int = 0


class PushConnection(socketserver.BaseRequestHandler):
    """One client's connection, a thread of its own."""

    server: "PushServer"

    def handle(self) -> None:
        state = self.server.state
        with state.lock:
            state.connections += 1
        try:
            self._sock = self.server.context.wrap_socket(self.request, server_side=True)
        except OSError:
            return
        if self._sock.selected_alpn_protocol() != "h2":
            return
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._topics = _certificate_topics(self._sock)
        self._bodies: dict[int, tuple[dict[str, str], bytearray]] = {}
        self._count = 0
        self._trusted = self._topics is not None
        self._allowed: int | None = None
        self._h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="utf-8", validate_inbound_headers=False)
        )
        self._h2.local_settings = h2.settings.Settings(
            client=False,
            initial_values={
                h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: self._streams_now(),
                h2.settings.SettingCodes.HEADER_TABLE_SIZE: 4096,
            },
        )
        self._allowed = self._streams_now()
        try:
            self._h2.initiate_connection()
            self._flush()
            while data := self._sock.recv(1 << 16):
                for event in self._h2.receive_data(data):
                    self._react(event)
                self._adjust_streams()
                self._flush()
        except (OSError, h2.exceptions.ProtocolError, _HangUpError):
            pass
        finally:
            self._sock.close()

    def _streams_now(self) -> int:
        faults = self.server.state.faults
        if faults.max_streams is not None:
            return faults.max_streams
        return MAX_STREAMS if self._trusted else 1

    def _adjust_streams(self) -> None:
        allowed = self._streams_now()
        if allowed != self._allowed:
            self._allowed = allowed
            self._h2.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: allowed})

    def _react(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived():
                headers = {str(name): str(value) for name, value in event.headers}
                self._bodies[event.stream_id] = (headers, bytearray())
            case h2.events.DataReceived():
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                if event.stream_id in self._bodies:
                    self._bodies[event.stream_id][1].extend(event.data)
            case h2.events.StreamEnded() if event.stream_id in self._bodies:
                headers, body = self._bodies.pop(event.stream_id)
                self._push(event.stream_id, headers, bytes(body))
            case h2.events.StreamReset():
                self._bodies.pop(event.stream_id, None)
            case h2.events.ConnectionTerminated():
                raise _HangUpError

    def _push(self, stream_id: int, headers: dict[str, str], body: bytes) -> None:
        """Answer one push, or do to it what the faults say."""
        state = self.server.state
        faults = state.faults
        self._count += 1
        if faults.refuse_stream_every and self._count % faults.refuse_stream_every == 0:
            self._h2.reset_stream(stream_id, h2.errors.ErrorCodes.REFUSED_STREAM)
            return
        if faults.goaway_after and self._count > faults.goaway_after:
            return
        token = headers.get(":path", "").removeprefix("/3/device/")
        answer = self._judge(headers, body) or state.answers.get(token) or faults.answer or Answer()
        self._record(token, headers, body, answer)
        if faults.black_hole:
            return
        if faults.latency_ms:
            self._flush()
            time.sleep(faults.latency_ms / 1000)
        if faults.reset_stream_every and self._count % faults.reset_stream_every == 0:
            self._h2.reset_stream(stream_id, h2.errors.ErrorCodes.INTERNAL_ERROR)
            return
        self._answer(stream_id, headers, answer)
        self._break(faults, stream_id)

    def _answer(self, stream_id: int, headers: dict[str, str], answer: Answer) -> None:
        content = answer.body()
        response = [(":status", str(answer.status)), ("apns-id", headers.get("apns-id") or str(uuid.uuid4()).upper())]
        if answer.retry_after is not None:
            response.append(("retry-after", str(answer.retry_after)))
        self._h2.send_headers(stream_id, response, end_stream=not content)
        if content:
            self._h2.send_data(stream_id, content, end_stream=True)
        if answer.status == 200:  # noqa: PLR2004
            self._trusted = True

    def _break(self, faults: Faults, stream_id: int) -> None:
        """What ends the connection after so many pushes."""
        if faults.goaway_after and self._count == faults.goaway_after:
            self._h2.close_connection(last_stream_id=stream_id)
            self._flush()
            raise _HangUpError
        if faults.reset_after and self._count >= faults.reset_after:
            self._flush()
            linger_off = b"\x01\x00\x00\x00\x00\x00\x00\x00"
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_off)
            raise _HangUpError
        if faults.invalid_frames_after and self._count >= faults.invalid_frames_after:
            self._flush()
            self._sock.sendall(b"\xff" * 64)
            raise _HangUpError

    def _judge(self, headers: dict[str, str], body: bytes) -> Answer | None:  # noqa: PLR0911 - one for each reason
        """What is wrong with the request, in the order in which APNs was seen to look; None where nothing is."""
        if headers.get(":method") != "POST":
            return Answer(405, "MethodNotAllowed")
        if not headers.get(":path", "").startswith("/3/device/"):
            return Answer(404, "BadPath")
        if not body:
            return Answer(400, "PayloadEmpty")
        if len(body) > MAX_PAYLOAD_BYTES:
            return Answer(413, "PayloadTooLarge")
        if headers.get("apns-push-type", "alert") not in PUSH_TYPES:
            return Answer(400, "InvalidPushType")
        if headers.get("apns-push-type") == "background" and headers.get("apns-priority", "10") == "10":
            return Answer(400, "BadPriority")
        return self._judge_sender(headers)

    def _judge_sender(self, headers: dict[str, str]) -> Answer | None:
        topic = headers.get("apns-topic")
        if self._topics is not None:
            if topic is not None and topic not in self._topics:
                return Answer(400, "DeviceTokenNotForTopic")
            return None
        if topic is None:
            return Answer(400, "MissingTopic")
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return Answer(403, "MissingProviderToken")
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
            claims = jwt.decode(token, self.server.state.provider_keys[str(key_id)], algorithms=["ES256"])
            age = time.time() - claims["iat"]
        except (jwt.PyJWTError, KeyError, TypeError):
            return Answer(403, "InvalidProviderToken")
        return Answer(403, "ExpiredProviderToken") if age > MAX_TOKEN_AGE_SECONDS else None

    def _record(self, token: str, headers: dict[str, str], body: bytes, answer: Answer) -> None:
        state = self.server.state
        with state.lock:
            state.pushes.append(
                {
                    "token": token,
                    "topic": headers.get("apns-topic") or next(iter(self._topics or ()), None),
                    "headers": {name: value for name, value in headers.items() if name != "authorization"},
                    "body": body.decode("utf-8", "replace"),
                    "at": time.time(),
                    "status": answer.status,
                    "reason": answer.reason,
                }
            )

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data:
            self._sock.sendall(data)


class _HangUpError(Exception):
    """The connection ends here."""


class PushServer(socketserver.ThreadingTCPServer):
    """Listens for pushes."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, port: int, context: ssl.SSLContext, state: State) -> None:
        super().__init__((LOOPBACK, port), PushConnection)
        self.context = context
        self.state = state

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no error of this server."""


class Control(BaseHTTPRequestHandler):
    """`/pushes`, `/tokens/<token>`, `/faults`: JSON in, JSON out."""

    protocol_version = "HTTP/1.1"

    @property
    def _state(self) -> State:
        return cast("ControlServer", self.server).state

    def do_GET(self) -> None:
        if self.path == "/pushes":
            with self._state.lock:
                self._reply(200, list(self._state.pushes))
        elif self.path == "/":
            self._reply(
                200,
                {
                    "GET /pushes": "what arrived, in order",
                    "DELETE /pushes": "empty the list",
                    "PUT /tokens/<token>": '{"status": 410, "reason": "Unregistered", "timestamp": <ms>}',
                    "DELETE /tokens/<token>": "answer 200 again",
                    "PUT /faults": Faults.__doc__,
                    "DELETE /faults": "nothing goes wrong any more",
                    "connections": self._state.connections,
                },
            )
        else:
            self._reply(404, {"error": "GET / says what there is"})

    def do_DELETE(self) -> None:
        state = self._state
        with state.lock:
            if self.path == "/pushes":
                state.pushes.clear()
            elif self.path.startswith("/tokens/"):
                state.answers.pop(self.path.removeprefix("/tokens/"), None)
            elif self.path == "/faults":
                state.faults = Faults()
            else:
                self._reply(404, {"error": "GET / says what there is"})
                return
        self._reply(200, {})

    def do_PUT(self) -> None:
        state = self._state
        try:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
            if self.path.startswith("/tokens/"):
                state.answers[self.path.removeprefix("/tokens/")] = Answer.parse(body)
            elif self.path == "/faults":
                state.faults = Faults.parse(body)
            else:
                self._reply(404, {"error": "GET / says what there is"})
                return
        except (ValueError, TypeError, AttributeError) as error:
            self._reply(400, {"error": str(error)})
        else:
            self._reply(200, {})

    def _reply(self, status: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """The control endpoint is not worth a log."""


class ControlServer(ThreadingHTTPServer):
    """Listens for commands."""

    daemon_threads = True

    def __init__(self, port: int, state: State) -> None:
        super().__init__((LOOPBACK, port), Control)
        self.state = state


@dataclass(frozen=True, slots=True)
class Simulator:
    """A running simulator, seen from the process that started it."""

    apns_url: str
    control_url: str
    process: "subprocess.Popen[bytes]" = field(repr=False)

    @classmethod
    def start(
        cls,
        *,
        certificate: Path,
        private_key: Path,
        client_ca: Path,
        provider_keys: Mapping[str, Path],
        port: int = 0,
        control_port: int = 0,
    ) -> Self:
        """Start one and wait until it listens.

        Args:
            certificate: of the server, PEM.
            private_key: of the server, PEM.
            client_ca: PEM of whoever signs pass type certificates here, chain included.
            provider_keys: public keys of provider tokens, PEM, by key id.
            port: for pushes; 0 for any that is free.
            control_port: for commands; 0 for any that is free.

        Raises:
            RuntimeError: it did not start; the message says why.
        """
        command = [sys.executable, "-m", "infra.local.simulator"]
        command += ["--certificate", str(certificate), "--private-key", str(private_key), "--client-ca", str(client_ca)]
        command += [f"--provider-key={key_id}={path}" for key_id, path in provider_keys.items()]
        command += ["--port", str(port), "--control-port", str(control_port)]
        process = start_tethered(command, stdout=subprocess.PIPE)
        line = process.stdout.readline() if process.stdout else b""
        if not line.startswith(b"{"):
            stop(process)
            raise RuntimeError("the APNs simulator did not start; its message stands above")
        urls = json.loads(line)
        return cls(urls["apns_url"], urls["control_url"], process)

    def stop(self) -> None:
        """End it, and wait until it has."""
        stop(self.process)
        if self.process.stdout:
            self.process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def main() -> None:
    """Serve until told to stop; print the URLs as one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m infra.local.simulator", description=__doc__)
    parser.add_argument("--certificate", type=Path, required=True)
    parser.add_argument("--private-key", type=Path, required=True)
    parser.add_argument("--client-ca", type=Path, required=True)
    parser.add_argument("--provider-key", action="append", default=[], metavar="KEY_ID=PEM_FILE")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--control-port", type=int, default=0)
    options = parser.parse_args()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(options.certificate, options.private_key)
    context.set_alpn_protocols(["h2"])
    context.load_verify_locations(options.client_ca)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    keys = dict(entry.partition("=")[::2] for entry in options.provider_key)
    state = State(provider_keys={k: Path(v).read_text() for k, v in keys.items()})
    try:
        pushes = PushServer(options.port, context, state)
        control = ControlServer(options.control_port, state)
    except OSError as error:
        sys.exit(f"port {options.port or options.control_port} cannot be used: {error.strerror}")
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=control.serve_forever, daemon=True).start()
    urls = {
        "apns_url": f"https://{LOOPBACK}:{pushes.server_address[1]}",
        "control_url": f"http://{LOOPBACK}:{control.server_address[1]}",
    }
    sys.stdout.write(json.dumps(urls) + "\n")
    sys.stdout.flush()
    pushes.serve_forever()


def _certificate_topics(sock: ssl.SSLSocket) -> set[str] | None:
    """What the client's certificate may push to; None where it has shown none."""
    der = sock.getpeercert(binary_form=True)
    if not der:
        return None
    subject = x509.load_der_x509_certificate(der).subject
    return {str(attribute.value) for attribute in subject.get_attributes_for_oid(NameOID.USER_ID)}


if __name__ == "__main__":
    main()

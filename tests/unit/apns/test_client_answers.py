"""Invalid answers and floods of a peer: no push is lost, no device removed, and no error raised."""

import contextlib
import itertools
import socket
import ssl
import threading
import time
import tracemalloc
from collections.abc import Iterable
from email.utils import formatdate

import pytest
from hpack import Encoder
from hyperframe.frame import DataFrame, Frame, HeadersFrame, PingFrame, SettingsFrame

from chalicelib.apns.client import Client
from chalicelib.apns.credentials import ClientCertificate
from chalicelib.apns.reasons import OutcomeKind
from infra.local.certificates import DevelopmentChain
from tests.support.simulated_apns import pushes, reasons, send


class ScriptedServer:
    """A server on TLS whose bytes the test writes; `frames` become what it says after the first request on stream 1.

    It reads that request and then nothing more.
    """

    def __init__(self, chain: DevelopmentChain, frames: Iterable[bytes]) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(chain.apns_server_certificate, chain.apns_server_key)
        self._context.set_alpn_protocols(["h2"])
        self._frames = frames
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.client = Client(
            url=f"https://127.0.0.1:{self._listener.getsockname()[1]}",
            credential=ClientCertificate(
                certificate=chain.pass_type_certificate.read_text(), private_key=chain.pass_type_key.read_text()
            ),
            ca=chain.root.read_text(),
        )

    def __enter__(self) -> Client:
        threading.Thread(target=self._serve, daemon=True).start()
        return self.client

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                plain = self._listener.accept()[0]
            except OSError:
                return
            with contextlib.suppress(OSError), plain, self._context.wrap_socket(plain, server_side=True) as sock:
                sock.sendall(SettingsFrame(0).serialize())
                while b"/3/device/" not in sock.recv(4096):
                    pass
                for frame in self._frames:
                    sock.sendall(frame)
                sock.recv(1)


def _answer(headers: dict[str, str], body: bytes = b"") -> list[bytes]:
    block = Encoder().encode(list(headers.items()))
    frames: list[Frame] = [HeadersFrame(1, block, flags=["END_HEADERS"]), DataFrame(1, body, flags=["END_STREAM"])]
    return [frame.serialize() for frame in frames]


@pytest.mark.parametrize("status", ["", "2OO", "²00", "-20", "20", "2000", "9" * 5000])
def test_invalid_status_defers_the_push(chain: DevelopmentChain, status: str) -> None:
    """No error is raised, and the device is neither pushed to nor removed."""
    with ScriptedServer(chain, _answer({":status": status})) as client:
        assert reasons(send(client, pushes(1))) == {(None, "InvalidAnswer"): 1}


DEEP = b'{"reason": ' + b"[" * 2000 + b"]" * 2000 + b"}"


@pytest.mark.parametrize(
    "body",
    [
        DEEP,
        b"[" * 2000,
        b'{"a":' * 2000 + b"1" + b"}" * 2000,
        b'{"reason": 1}',
        b'{"reason": "' + b"a" * 64 + b'"}',
        b'{"reason": "a b"}',
        b"\xff\xfe",
        b'"Unregistered"',
        b'{"reason": "Unregistered", "timestamp": ' + b"9" * 5000 + b"}",
    ],
    ids=range(9),
)
def test_invalid_body_defers_the_push(chain: DevelopmentChain, body: bytes) -> None:
    """A body of any depth and content removes no device, and nothing of it is repeated."""
    with ScriptedServer(chain, _answer({":status": "410"}, body)) as client:
        (outcome,) = send(client, pushes(1))
    assert (outcome.kind, outcome.status, outcome.reason) == (OutcomeKind.LATER, 410, None)


@pytest.mark.parametrize("timestamp", ['"1764000000123"', "1764000000123.5", "true", "null", "-1", "1e99", "[]", "NaN"])
def test_invalid_timestamp_is_left_out(chain: DevelopmentChain, timestamp: str) -> None:
    """The device is unregistered since an unknown time."""
    body = f'{{"reason": "Unregistered", "timestamp": {timestamp}}}'.encode()
    with ScriptedServer(chain, _answer({":status": "410"}, body)) as client:
        (outcome,) = send(client, pushes(1))
    assert (outcome.kind, outcome.timestamp) == (OutcomeKind.UNREGISTERED, None)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", {7}),
        ("0", {None}),
        ("86400", {900}),
        ("9" * 5000, {900}),
        ("soon", {None}),
        ("-5", {None}),
        (120.0, set(range(60, 122))),
        (86400.0, {900}),
        (-120.0, {None}),
        ("Thu, 31 Dec 99999 23:59:59 GMT", {None}),
    ],
    ids=range(10),
)
def test_retry_after_is_read_as_seconds_or_as_a_date(
    chain: DevelopmentChain, value: str | float, seconds: set[int | None]
) -> None:
    """RFC 9110, section 10.2.3; within the quarter of an hour that a message can be delayed.

    A number means the date that is so many seconds ahead.
    """
    if isinstance(value, float):
        value = formatdate(time.time() + value, usegmt=True)
    answer = _answer({":status": "503", "retry-after": value}, b'{"reason": "ServiceUnavailable"}')
    with ScriptedServer(chain, answer) as client:
        (outcome,) = send(client, pushes(1))
    assert outcome.retry_after in seconds


@pytest.mark.parametrize(
    "frame",
    [PingFrame(0, b"12345678"), SettingsFrame(0), HeadersFrame(1, b"\x08\x03103", flags=["END_HEADERS"])],
    ids=["PING", "SETTINGS", "interim HEADERS"],
)
def test_connection_to_a_peer_that_floods_and_reads_nothing_is_closed(chain: DevelopmentChain, frame: Frame) -> None:
    """The push is for later, long before the deadline."""
    with ScriptedServer(chain, itertools.repeat(frame.serialize() * 1000)) as client:
        assert reasons(send(client, pushes(1))) == {(None, "ConnectionBroken"): 1}


def test_little_memory_is_taken_by_a_peer_that_reads_nothing(chain: DevelopmentChain) -> None:
    with ScriptedServer(chain, itertools.repeat(PingFrame(0, b"12345678").serialize() * 1000)) as client:
        tracemalloc.start()
        try:
            send(client, pushes(1))
            assert tracemalloc.get_traced_memory()[1] < 8 << 20
        finally:
            tracemalloc.stop()

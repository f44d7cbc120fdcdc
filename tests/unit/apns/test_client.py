"""The client through real sockets and TLS, against everything that APNs and the network do to it.

`send` holds for each of these that every push ended in exactly one outcome.
"""

import contextlib
import itertools
import shutil
import socket
import ssl
import subprocess
import threading
import time
import tracemalloc
from collections.abc import Iterable, Iterator
from email.utils import formatdate
from pathlib import Path

import pytest
from hpack import Encoder
from hyperframe.frame import DataFrame, Frame, HeadersFrame, PingFrame, SettingsFrame

from chalicelib.apns.client import Client, Pace
from chalicelib.apns.credentials import ClientCertificate
from chalicelib.apns.live_connection import Timeouts
from chalicelib.apns.outcomes import Outcome, Push
from chalicelib.apns.reasons import OutcomeKind
from chalicelib.core.errors import ConfigurationError
from chalicelib.core.identifiers import PushToken
from infra.local.certificates import DevelopmentChain, make_development_chain
from infra.local.run import PASS_TYPE_IDENTIFIER, TEAM_IDENTIFIER
from tests.support.simulated_apns import PATIENCE_SECONDS, ApnsForTests, pushes, reasons, send

DELIVERED = (200, None)


def _delivered(outcomes: list[Outcome]) -> int:
    return reasons(outcomes)[DELIVERED]


def test_push_has_the_form_that_apple_documents(apns: ApnsForTests) -> None:
    """One push is one request: the device's path, the topic, an expiration in the future, an empty object."""
    (push,) = pushes(1)
    (outcome,) = send(apns.client(), [push])
    (seen,) = apns.pushes()
    assert outcome.kind is OutcomeKind.DELIVERED
    assert seen["token"] == push.push_token.value
    assert seen["topic"] == PASS_TYPE_IDENTIFIER
    assert seen["body"] == "{}"
    assert time.time() + 29 * 86400 < int(seen["headers"]["apns-expiration"]) <= time.time() + 30 * 86400
    assert "apns-push-type" not in seen["headers"]
    assert "apns-priority" not in seen["headers"]


@pytest.mark.parametrize("token", ["../../x", "a?b", "a#b", "QUJD+/==", "%41"])
def test_push_token_is_one_segment_of_the_path(apns: ApnsForTests, token: str) -> None:
    """The push token that a device sends only selects the device, never another request."""
    (outcome,) = send(apns.client(), [Push(PushToken(token), PASS_TYPE_IDENTIFIER)])
    assert outcome.kind is OutcomeKind.DELIVERED
    assert [push["token"] for push in apns.pushes()] == [token]


def test_background_push_has_priority_5(apns: ApnsForTests) -> None:
    """With the push type set to background, the priority is 5: 10 would be an error."""
    assert _delivered(send(apns.client(push_type="background"), pushes(3))) == 3
    assert apns.pushes()[0]["headers"]["apns-priority"] == "5"


def test_all_allowed_streams_are_used(apns: ApnsForTests) -> None:
    """The streams that APNs allows are used, and not one more."""
    apns.suffers(latency_ms=100)
    started = time.monotonic()
    assert _delivered(send(apns.client(), pushes(3000))) == 3000
    assert time.monotonic() - started < 2
    assert apns.summary()["peak_streams"] == 1000
    assert apns.summary()["excess_streams"] == 0


def test_first_push_with_a_provider_token_is_sent_alone(apns: ApnsForTests) -> None:
    """APNs allows one stream until a push has succeeded; the client asks for no more, and then uses them all."""
    apns.suffers(latency_ms=20)
    assert _delivered(send(apns.client(apns.provider_token()), pushes(2000))) == 2000
    summary = apns.summary()
    assert summary["excess_streams"] == 0
    assert summary["peak_streams"] > 500


def test_changing_stream_limits_are_respected(apns: ApnsForTests) -> None:
    """1000 streams, then 1, then 1000, in the middle of a batch: nothing is lost and nothing repeated."""
    apns.suffers(latency_ms=5)
    client = apns.client()
    outcomes = []
    for number, outcome in enumerate(client.push(pushes(4000), deadline=time.monotonic() + 20)):
        outcomes.append(outcome)
        if number == 1000:
            apns.suffers(max_streams=1)
        if number == 2200:
            apns.suffers(latency_ms=5)
    assert _delivered(outcomes) == 4000
    assert apns.summary()["pushes"] == 4000


def test_connection_is_reused(apns: ApnsForTests) -> None:
    """Three calls in a warm execution environment need one handshake."""
    client = apns.client()
    for _ in range(3):
        assert _delivered(send(client, pushes(5))) == 5
    assert apns.summary()["connections"] == 1


def test_goaway_every_300_pushes_loses_nothing(apns: ApnsForTests) -> None:
    """Requests above GOAWAY's last stream are sent once more, on a new connection."""
    apns.suffers(goaway_after=300, latency_ms=5)
    assert _delivered(send(apns.client(), pushes(2000))) == 2000
    assert apns.summary()["pushes"] == 2000
    assert apns.summary()["connections"] == 7


def test_goaway_every_10_pushes_loses_nothing(apns: ApnsForTests) -> None:
    """However often a push meets a goodbye, it is sent again as long as others get through."""
    apns.suffers(goaway_after=10)
    assert _delivered(send(apns.client(), pushes(200))) == 200
    assert apns.summary()["pushes"] == 200


def test_a_refused_stream_is_sent_again(apns: ApnsForTests) -> None:
    """REFUSED_STREAM promises that nothing was done: every push is delivered, and none twice."""
    apns.suffers(refuse_stream_every=10)
    assert _delivered(send(apns.client(), pushes(1000))) == 1000
    assert apns.summary()["pushes"] == 1000


def test_push_ends_when_the_peer_refuses_every_stream(apns: ApnsForTests) -> None:
    """After a few attempts, each push is for later."""
    apns.suffers(refuse_stream_every=1)
    assert reasons(send(apns.client(), pushes(20))) == {(None, "RefusedStream"): 20}


def test_every_tenth_stream_reset_costs_that_stream_alone(apns: ApnsForTests) -> None:
    """A reset that promises nothing leaves its push for later; the others are delivered."""
    apns.suffers(reset_stream_every=10)
    assert reasons(send(apns.client(), pushes(1000))) == {DELIVERED: 900, (None, "StreamReset"): 100}


def test_a_tcp_reset_costs_what_was_open(apns: ApnsForTests) -> None:
    """Open requests are deferred, and the others are sent on a new connection."""
    apns.suffers(reset_after=250, max_streams=100)
    outcomes = send(apns.client(), pushes(1000))
    assert set(reasons(outcomes)) <= {DELIVERED, (None, "ConnectionLost")}
    assert _delivered(outcomes) >= 500
    assert apns.summary()["connections"] > 1


def test_a_peer_that_talks_nonsense_is_left(apns: ApnsForTests) -> None:
    """Bytes that are no HTTP/2 end the connection; what had been answered before, in the same breath, counts."""
    apns.suffers(garbage_after=50, max_streams=1)
    assert _delivered(send(apns.client(), pushes(200))) == 200
    apns.suffers(garbage_after=50, max_streams=100)
    outcomes = send(apns.client(), pushes(200))
    assert set(reasons(outcomes)) <= {DELIVERED, (None, "ConnectionBroken"), (None, "ConnectionLost")}
    assert _delivered(outcomes) >= 50


def test_a_burst_of_503_ends_and_the_rest_is_delivered(apns: ApnsForTests) -> None:
    """Those that met it are for later; it does not stop those that come after."""
    apns.suffers(answer={"status": 503, "reason": "ServiceUnavailable"}, answer_next=50)
    outcomes = send(apns.client(), pushes(1000))
    assert reasons(outcomes) == {DELIVERED: 950, (503, "ServiceUnavailable"): 50}


def test_an_apns_that_takes_nothing_is_not_hammered(apns: ApnsForTests) -> None:
    """After a hundred 500s in a row the rest is for later, unsent."""
    apns.suffers(answer={"status": 500, "reason": "InternalServerError"}, max_streams=10)
    outcomes = send(apns.client(), pushes(5000))
    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.LATER}
    assert apns.summary()["pushes"] < 120


def test_a_slow_reader_is_waited_for(apns: ApnsForTests) -> None:
    """A peer that reads little at a time gets everything in the end, and nothing twice."""
    apns.suffers(read_bytes_per_second=200_000)
    assert _delivered(send(apns.client(), pushes(2000))) == 2000
    assert apns.summary()["pushes"] == 2000


def test_unreachable_apns_defers_the_push_at_once(apns: ApnsForTests) -> None:
    """A host that resets every connection is given up after a few attempts, long before the deadline."""
    apns.suffers(down=True)
    client = apns.client()
    started = time.monotonic()
    assert reasons(send(client, pushes(100))) == {(None, "Unreachable"): 100}
    assert time.monotonic() - started < 3
    apns.recovers()
    assert _delivered(send(client, pushes(100))) == 100


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_host_that_never_answers_costs_no_more_than_the_deadline(apns: ApnsForTests, silent_port: int) -> None:
    """A handshake that does not get on ends with the deadline."""
    client = Client(url=f"https://127.0.0.1:{silent_port}", credential=apns.certificate(), ca="")
    started = time.monotonic()
    outcomes = send(client, pushes(10), seconds=0.2)
    assert time.monotonic() - started < 1
    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.LATER}


def test_unresolved_host_name_defers_the_push(apns: ApnsForTests) -> None:
    """A failure of DNS neither loses a push nor raises an error."""
    client = Client(url="https://apns.invalid:443", credential=apns.certificate(), ca="")
    assert reasons(send(client, pushes(3))) == {(None, "Unreachable"): 3}


def test_a_push_that_is_never_answered_ends_with_the_deadline(apns: ApnsForTests) -> None:
    """Its neighbours are delivered, the connection stays, and a late answer disturbs no later call."""
    apns.suffers(ignore_push_every=10)
    client = apns.client()
    assert reasons(send(client, pushes(100), seconds=0.3)) == {DELIVERED: 90, (None, "Deadline"): 10}
    apns.recovers()
    assert _delivered(send(client, pushes(50))) == 50
    assert apns.summary()["connections"] == 1


def test_what_is_given_up_makes_room(apns: ApnsForTests) -> None:
    """Requests that ended with the deadline are reset, so that their streams are free for the next call."""
    apns.suffers(ignore_push_every=1, max_streams=10)
    client = apns.client()
    assert reasons(send(client, pushes(10), seconds=0.3)) == {(None, "Deadline"): 10}
    apns.suffers(max_streams=10)
    assert _delivered(send(client, pushes(20), seconds=2)) == 20
    assert apns.summary()["excess_streams"] == 0


def test_answers_after_the_deadline_are_ignored(apns: ApnsForTests) -> None:
    """A call that ended by its deadline leaves nothing behind that the next could mistake for its own."""
    apns.suffers(latency_ms=400)
    client = apns.client()
    assert reasons(send(client, pushes(20), seconds=0.2)) == {(None, "Deadline"): 20}
    assert _delivered(send(client, pushes(30))) == 30


def test_pushes_are_spread_over_their_slot(apns: ApnsForTests) -> None:
    """No more of them have started at any time than the slot allows until then."""
    client = apns.client()
    assert _delivered(send(client, pushes(1))) == 1
    began = time.monotonic()
    paced = client.push(pushes(50), deadline=began + 10, pace=Pace(spread_seconds=0.5))
    finished = [time.monotonic() - began for _ in paced]
    assert len(finished) == 50
    assert all(number <= 1 + 50 * at / 0.5 for number, at in enumerate(finished, 1))


def test_pushes_that_miss_their_slot_are_deferred(apns: ApnsForTests) -> None:
    """They were not sent, so that their caller can take new time for them."""
    client = apns.client()
    past = Pace(spread_seconds=0.1, start_until=time.monotonic() - 1)
    outcomes = list(client.push(pushes(5), deadline=time.monotonic() + 10, pace=past))
    assert reasons(outcomes) == {(None, "SlotMissed"): 5}
    assert _delivered(send(client, pushes(5))) == 5


class _Clock:
    """A timer that a test can advance, like that of a frozen execution environment."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


def _after_a_freeze(timer: _Clock, client: Client) -> list[Outcome]:
    timer.ahead += Timeouts().idle + 1
    return list(client.push(pushes(5), deadline=timer() + 10))


def test_a_connection_that_died_in_a_freeze_costs_no_push(apns: ApnsForTests) -> None:
    """After a freeze, the connection is checked with a PING and replaced if it is dead."""
    timer = _Clock()
    timeouts = Timeouts(ping=0.2)
    client = apns.client(timer=timer, timeouts=timeouts)
    send(client, pushes(1))
    apns.suffers(black_hole=True)
    list(client.push(pushes(1), deadline=timer() + 0.1))  # the connection goes silent when it hears something
    apns.recovers()
    started = time.monotonic()
    assert _delivered(_after_a_freeze(timer, client)) == 5
    assert timeouts.ping <= time.monotonic() - started < timeouts.ping + 1
    assert apns.summary()["connections"] == 2


def test_a_connection_that_lived_through_a_freeze_is_used(apns: ApnsForTests) -> None:
    """A PING that is answered saves the handshake."""
    timer = _Clock()
    client = apns.client(timer=timer)
    send(client, pushes(1))
    assert _delivered(_after_a_freeze(timer, client)) == 5
    assert apns.summary()["connections"] == 1


def test_a_connection_that_was_closed_meanwhile_costs_no_push(apns: ApnsForTests) -> None:
    """APNs closes connections between two calls; that is noticed before anything is sent into it."""
    client = apns.client()
    send(client, pushes(1))
    apns.suffers(down=True)
    while apns.summary()["open_connections"]:
        time.sleep(0.01)
    apns.recovers()
    assert _delivered(send(client, pushes(5))) == 5


def test_silent_peer_gets_a_ping_and_is_given_up(apns: ApnsForTests) -> None:
    """With no word for a while and no answer to PING, the connection is given up before the deadline."""
    timeouts = Timeouts(stall=0.2, ping=0.2)
    client = apns.client(timeouts=timeouts)
    send(client, pushes(1))
    apns.suffers(black_hole=True)
    started = time.monotonic()
    assert reasons(send(client, pushes(5))) == {(None, "Timeout"): 5}
    assert timeouts.stall + timeouts.ping <= time.monotonic() - started < PATIENCE_SECONDS / 2


def test_refused_certificate_is_a_configuration_error(
    apns: ApnsForTests, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A client certificate that APNs does not trust ends in one attempt, as a configuration error."""
    foreign = make_development_chain(
        tmp_path_factory.mktemp("foreign"), pass_type_identifier=PASS_TYPE_IDENTIFIER, team_identifier=TEAM_IDENTIFIER
    )
    credential = ClientCertificate(
        certificate=foreign.pass_type_certificate.read_text(), private_key=foreign.pass_type_key.read_text()
    )
    outcomes = send(apns.client(credential), pushes(20))
    assert {(outcome.kind, outcome.reason) for outcome in outcomes} == {
        (OutcomeKind.CONFIGURATION, "CertificateRefused")
    }


def test_folder_of_roots_is_trusted(apns: ApnsForTests, tmp_path: Path) -> None:
    """The zip contains such a folder, one file per root."""
    shutil.copy(apns.chain.root, tmp_path / "root.pem")
    subprocess.run(["openssl", "rehash", tmp_path], check=True)
    client = Client(url=apns.url, credential=apns.certificate(), roots_folder=str(tmp_path))
    outcomes = send(client, pushes(20))
    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.DELIVERED}


def test_untrusted_server_gets_no_push_token(apns: ApnsForTests) -> None:
    """A server certificate of a root that is not trusted is a configuration error; no push token is sent."""
    client = Client(url=apns.url, credential=apns.certificate())
    outcomes = send(client, pushes(20))
    assert {(outcome.kind, outcome.reason) for outcome in outcomes} == {(OutcomeKind.CONFIGURATION, "UntrustedServer")}
    assert apns.summary()["pushes"] == 0


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
    """The push is for later, long before the deadline, and little memory is taken."""
    flood = itertools.repeat(frame.serialize() * 1000)
    with ScriptedServer(chain, flood) as client:
        tracemalloc.start()
        try:
            outcomes = send(client, pushes(1))
            assert tracemalloc.get_traced_memory()[1] < 8 << 20
        finally:
            tracemalloc.stop()
    assert reasons(outcomes) == {(None, "ConnectionBroken"): 1}


def test_server_without_http2_is_given_up(chain: DevelopmentChain) -> None:
    """A peer that speaks TLS but not HTTP/2 (a proxy, say) is given up; nothing is raised."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain.apns_server_certificate, chain.apns_server_key)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    with context.wrap_socket(listener.accept()[0], server_side=True) as sock:
                        sock.recv(1000)
                        sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        client = Client(
            url=f"https://127.0.0.1:{listener.getsockname()[1]}",
            credential=ClientCertificate(
                certificate=chain.pass_type_certificate.read_text(), private_key=chain.pass_type_key.read_text()
            ),
            ca=chain.root.read_text(),
        )
        outcomes = send(client, pushes(3))
    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.LATER}


@pytest.mark.parametrize("url", ["http://api.push.apple.com", "api.push.apple.com:443", "https://"])
def test_invalid_url_is_a_configuration_error(apns: ApnsForTests, url: str) -> None:
    """A push address that is not https is a configuration error that names it."""
    with pytest.raises(ConfigurationError, match="APNs URL"):
        Client(url=url, credential=apns.certificate())


def test_invalid_root_is_a_configuration_error(apns: ApnsForTests) -> None:
    """A root that is not PEM is a configuration error."""
    with pytest.raises(ConfigurationError, match="APNs CA"):
        Client(url=apns.url, credential=apns.certificate(), ca="-----BEGIN CERTIFICATE-----\nnone\n")


def test_empty_batch_opens_no_connection(apns: ApnsForTests) -> None:
    """An empty batch makes no handshake."""
    assert send(apns.client(), []) == []
    assert apns.summary()["connections"] == 0


def test_abandoned_call_does_not_affect_later_calls(apns: ApnsForTests) -> None:
    """Outcomes that the caller did not read are dropped, and the next call gets only its own."""
    client = apns.client()
    next(client.push(pushes(500), deadline=time.monotonic() + 10))
    assert _delivered(send(client, pushes(20))) == 20


def test_representation_of_outcome_has_no_push_token(apns: ApnsForTests) -> None:
    """A push token is in no representation of an outcome."""
    (push,) = pushes(1)
    (outcome,) = send(apns.client(), [push])
    assert push.push_token.value not in repr(outcome)

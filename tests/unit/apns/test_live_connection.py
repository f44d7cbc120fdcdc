"""Connections through real sockets and TLS: opening, trust, freezes, silence and deadlines.

The client uses them: every push ends in exactly one outcome.
"""

import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chalicelib.apns.client import Client
from chalicelib.apns.credentials import ClientCertificate
from chalicelib.apns.live_connection import EndedError, Timeouts, connect, ending_of
from chalicelib.apns.outcomes import Outcome
from chalicelib.apns.reasons import OutcomeKind
from chalicelib.core.errors import ConfigurationError
from infra.local.certificates import DevelopmentChain
from tests.support.simulated_apns import PATIENCE_SECONDS, ApnsForTests, delivered, pushes, reasons, send


def test_unreachable_apns_defers_the_push_at_once(apns: ApnsForTests) -> None:
    """A host that resets every connection is given up after a few attempts, long before the deadline."""
    apns.suffers(down=True)
    client = apns.client()
    started = time.monotonic()
    assert reasons(send(client, pushes(100))) == {(None, "Unreachable"): 100}
    assert time.monotonic() - started < 3
    apns.recovers()
    assert delivered(send(client, pushes(100))) == 100


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
    assert delivered(_after_a_freeze(timer, client)) == 5
    assert timeouts.ping <= time.monotonic() - started < timeouts.ping + 1
    assert apns.summary()["connections"] == 2


def test_a_connection_that_lived_through_a_freeze_is_used(apns: ApnsForTests) -> None:
    """A PING that is answered saves the handshake."""
    timer = _Clock()
    client = apns.client(timer=timer)
    send(client, pushes(1))
    assert delivered(_after_a_freeze(timer, client)) == 5
    assert apns.summary()["connections"] == 1


def test_a_connection_that_was_closed_meanwhile_costs_no_push(apns: ApnsForTests) -> None:
    """APNs closes connections between two calls; that is noticed before anything is sent into it."""
    client = apns.client()
    send(client, pushes(1))
    apns.suffers(down=True)
    while apns.summary()["open_connections"]:
        time.sleep(0.01)
    apns.recovers()
    assert delivered(send(client, pushes(5))) == 5


def test_silent_peer_gets_a_ping_and_is_given_up(apns: ApnsForTests) -> None:
    """With no word for a while and no answer to PING, the connection is given up before the deadline."""
    timeouts = Timeouts(stall=0.2, ping=0.2)
    client = apns.client(timeouts=timeouts)
    send(client, pushes(1))
    apns.suffers(black_hole=True)
    started = time.monotonic()
    assert reasons(send(client, pushes(5))) == {(None, "Timeout"): 5}
    assert timeouts.stall + timeouts.ping <= time.monotonic() - started < PATIENCE_SECONDS / 2


def test_refused_certificate_is_a_configuration_error(apns: ApnsForTests, other: DevelopmentChain) -> None:
    """A client certificate that APNs does not trust ends in one attempt, as a configuration error."""
    credential = ClientCertificate(
        certificate=other.pass_type_certificate.read_text(), private_key=other.pass_type_key.read_text()
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


def test_invalid_root_is_a_configuration_error(apns: ApnsForTests) -> None:
    """A root that is not PEM is a configuration error."""
    with pytest.raises(ConfigurationError, match="APNs CA"):
        Client(url=apns.url, credential=apns.certificate(), ca="-----BEGIN CERTIFICATE-----\nnone\n")


def tls_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, f"[SSL: {reason}] {reason.lower()}")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "reason", "final"),
    [
        (ssl.SSLCertVerificationError(1, "self-signed certificate"), "UntrustedServer", True),
        (tls_error("SSLV3_ALERT_CERTIFICATE_EXPIRED"), "CertificateRefused", True),
        (tls_error("SSLV3_ALERT_HANDSHAKE_FAILURE"), "Unreachable", False),
        (tls_error("UNEXPECTED_EOF_WHILE_READING"), "Unreachable", False),
        (tls_error("NO_CERTIFICATE_ASSIGNED"), "Unreachable", False),  # of this side, not an alert of the peer
        (ConnectionRefusedError(), "Unreachable", False),
        (TimeoutError(), "Unreachable", False),
        (None, "Unreachable", False),
    ],
    ids=str,
)
def test_only_errors_of_certificates_end_all_attempts(error: OSError | None, reason: str, *, final: bool) -> None:
    ending = ending_of(error, otherwise="Unreachable")
    assert (ending.reason, ending.final) == (reason, final)
    assert (ending.kind is OutcomeKind.CONFIGURATION) == final


def test_nothing_is_tried_after_the_deadline() -> None:
    with pytest.raises(EndedError) as raised:
        connect("127.0.0.1", 9, ssl.create_default_context(), timer=lambda: 10.0, deadline=9.0)
    assert raised.value.ending.reason == "Deadline"

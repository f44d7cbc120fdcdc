"""The APNs stand-in, tested with other HTTP/2 clients and compared with Apple's documentation."""

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from hpack import Encoder
from hyperframe.frame import Frame, HeadersFrame, RstStreamFrame, SettingsFrame

from infra.local.apns import ApnsStandIn
from infra.local.certificates import KEY_ID, DevelopmentChain
from infra.local.run import PASS_TYPE_IDENTIFIER, TEAM_IDENTIFIER
from tests.support.simulated_apns import ApnsForTests, pushes, send

TOKEN = "ab" * 32
REPOSITORY = Path(__file__).parents[4]


def _client(apns: ApnsForTests, *, certificate: bool = True) -> httpx.Client:
    """Make an HTTP/2 client that is not this service's."""
    context = ssl.create_default_context(cafile=str(apns.chain.root))
    if certificate:
        context.load_cert_chain(apns.chain.pass_type_certificate, apns.chain.pass_type_key)
    return httpx.Client(http2=True, verify=context, base_url=apns.url)


def _bearer(apns: ApnsForTests, *, age: int = 0, key_id: str = KEY_ID) -> str:
    claims = {"iss": TEAM_IDENTIFIER, "iat": int(time.time()) - age}
    return "bearer " + jwt.encode(claims, apns.chain.provider_key.read_text(), "ES256", headers={"kid": key_id})


def test_httpx_pushes_and_gets_200_with_an_apns_id(apns: ApnsForTests) -> None:
    with _client(apns) as client:
        answer = client.post(f"/3/device/{TOKEN}", json={}, headers={"apns-topic": PASS_TYPE_IDENTIFIER})
    assert (answer.status_code, answer.http_version, answer.content) == (200, "HTTP/2", b"")
    assert [len(part) for part in answer.headers["apns-id"].split("-")] == [8, 4, 4, 4, 12]
    (seen,) = apns.pushes()
    assert (seen["token"], seen["topic"], seen["body"]) == (TOKEN, PASS_TYPE_IDENTIFIER, "{}")
    assert seen["headers"]["user-agent"].startswith("python-httpx")
    assert abs(seen["at"] - time.time()) < 5


TOPIC = {"apns-topic": PASS_TYPE_IDENTIFIER}
WRONG: list[tuple[str, str, dict[str, str], bytes, int, str]] = [
    ("GET", f"/3/device/{TOKEN}", TOPIC, b"{}", 405, "MethodNotAllowed"),
    ("POST", "/4/device/x", TOPIC, b"{}", 404, "BadPath"),
    ("POST", "/3/device/", TOPIC, b"{}", 400, "MissingDeviceToken"),
    ("POST", f"/3/device/{TOKEN}", TOPIC, b"", 400, "PayloadEmpty"),
    ("POST", f"/3/device/{TOKEN}", TOPIC, b"x" * 4097, 413, "PayloadTooLarge"),
    ("POST", f"/3/device/{TOKEN}", {**TOPIC, "apns-push-type": "pass"}, b"{}", 400, "InvalidPushType"),
    ("POST", f"/3/device/{TOKEN}", {**TOPIC, "apns-push-type": "background"}, b"{}", 400, "BadPriority"),
    ("POST", f"/3/device/{TOKEN}", {**TOPIC, "apns-priority": "7"}, b"{}", 400, "BadPriority"),
    ("POST", f"/3/device/{TOKEN}", {**TOPIC, "apns-expiration": "soon"}, b"{}", 400, "BadExpirationDate"),
    ("POST", f"/3/device/{TOKEN}", {**TOPIC, "apns-id": "1"}, b"{}", 400, "BadMessageId"),
    ("POST", f"/3/device/{TOKEN}", {**TOPIC, "apns-collapse-id": "x" * 65}, b"{}", 400, "BadCollapseId"),
    ("POST", f"/3/device/{TOKEN}", {"apns-topic": "pass.other"}, b"{}", 400, "TopicDisallowed"),
]


@pytest.mark.parametrize(("method", "path", "headers", "body", "status", "reason"), WRONG)
def test_invalid_push_gets_the_status_and_reason_that_apple_documents(
    apns: ApnsForTests, *, method: str, path: str, headers: dict[str, str], body: bytes, status: int, reason: str
) -> None:
    with _client(apns) as client:
        answer = client.request(method, path, headers=headers, content=body)
    assert (answer.status_code, answer.json()) == (status, {"reason": reason})


def test_sender_without_a_certificate_needs_a_valid_provider_token(apns: ApnsForTests) -> None:
    """Without a certificate, a token is required: of a known key, validly signed, not expired, not from the future."""
    good = _bearer(apns)
    cases = {
        "MissingProviderToken": {**TOPIC},
        "ExpiredProviderToken": {**TOPIC, "authorization": _bearer(apns, age=3700)},
        "MissingTopic": {"authorization": good},
    }
    invalid = [_bearer(apns, age=-600), _bearer(apns, key_id="OTHER00001"), good[:-4] + "AAAA", "bearer x"]
    with _client(apns, certificate=False) as client:
        for reason, headers in cases.items():
            assert client.post(f"/3/device/{TOKEN}", json={}, headers=headers).json() == {"reason": reason}
        for authorization in invalid:
            answer = client.post(f"/3/device/{TOKEN}", json={}, headers={**TOPIC, "authorization": authorization})
            assert (answer.status_code, answer.json()) == (403, {"reason": "InvalidProviderToken"})
        assert client.post(f"/3/device/{TOKEN}", json={}, headers={**TOPIC, "authorization": good}).is_success


def test_answer_to_a_device_is_programmed_by_its_token(apns: ApnsForTests) -> None:
    """`PUT /tokens/<token>` sets the answer to one device's pushes, until `DELETE`."""
    control = httpx.Client(base_url=apns.control_url)
    control.put(f"/tokens/{TOKEN}", json={"status": 410, "reason": "Unregistered", "timestamp": 1764000000000})
    with _client(apns) as client:

        def push() -> httpx.Response:
            return client.post(f"/3/device/{TOKEN}", json={}, headers=TOPIC)

        assert push().json() == {"reason": "Unregistered", "timestamp": 1764000000000}
        control.put(f"/tokens/{TOKEN}", json={"status": 429, "reason": "TooManyRequests", "retry_after": 3})
        assert push().headers["retry-after"] == "3"
        control.delete(f"/tokens/{TOKEN}")
        assert push().status_code == 200
    assert [(push["status"], push["reason"]) for push in apns.pushes()] == [
        (410, "Unregistered"),
        (429, "TooManyRequests"),
        (200, None),
    ]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/faults", {"latency": 3}),
        ("/faults", {"latency_ms": "3"}),
        ("/faults", []),
        ("/faults", {"answer": {"reason": "x"}}),
        ("/tokens/x", {"status": "410"}),
        ("/tokens/x", {"status": 410, "timestamp": "now"}),
        ("/tokens/x", {"status": 410, "why": "x"}),
    ],
)
def test_invalid_command_returns_400(apns: ApnsForTests, path: str, body: Any) -> None:  # noqa: ANN401
    """The error describes the mistake, and nothing changes."""
    answer = httpx.put(apns.control_url + path, json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert {outcome.status for outcome in send(apns.client(), pushes(1))} == {200}


def test_control_endpoint_lists_its_commands(apns: ApnsForTests) -> None:
    """`GET /` lists the commands; unknown ones return 404."""
    assert "latency_ms" in httpx.get(apns.control_url).json()["PUT /faults"]
    assert httpx.get(apns.control_url + "/nothing").status_code == 404
    assert httpx.request("PUT", apns.control_url + "/faults", content=b"{").status_code == 400


def test_arrivals_are_listed_per_device(apns: ApnsForTests) -> None:
    """`GET /arrivals` lists the times of the pushes to each device, including repeated ones."""
    one, other = pushes(2)
    before = time.time()
    send(apns.client(), [one, one, other])
    arrivals = httpx.get(apns.control_url + "/arrivals").json()
    assert {token: len(at) for token, at in arrivals.items()} == {one.push_token.value: 2, other.push_token.value: 1}
    assert all(before - 1 < at < time.time() + 1 for times in arrivals.values() for at in times)


def test_deliveries_are_listed_from_a_number_on(apns: ApnsForTests) -> None:
    one, refused, other = pushes(3)
    client = apns.client()
    apns.answers(refused, status=410, reason="Unregistered")
    before = httpx.get(apns.control_url + "/deliveries").json()["next"]
    send(client, [one, refused])
    page = httpx.get(apns.control_url + "/deliveries", params={"after": before}).json()
    assert [delivery["token"] for delivery in page["deliveries"]] == [one.push_token.value]
    assert page["deliveries"][0]["topic"] == one.topic
    httpx.delete(apns.control_url + "/pushes")
    send(client, [other])
    later = httpx.get(apns.control_url + "/deliveries", params={"after": page["next"]}).json()
    assert [delivery["token"] for delivery in later["deliveries"]] == [other.push_token.value]
    assert httpx.get(apns.control_url + "/deliveries", params={"after": later["next"]}).json()["deliveries"] == []
    assert httpx.get(apns.control_url + "/deliveries?after=x").status_code == 400


def test_streams_beyond_the_limit_are_refused_and_counted(apns: ApnsForTests) -> None:
    apns.suffers(max_streams=2, latency_ms=200)
    url = httpx.URL(apns.url)
    context = ssl.create_default_context(cafile=str(apns.chain.root))
    context.load_cert_chain(apns.chain.pass_type_certificate, apns.chain.pass_type_key)
    context.set_alpn_protocols(["h2"])
    block = Encoder().encode([(":method", "POST"), (":scheme", "https"), (":path", f"/3/device/{TOKEN}")])
    requests = [HeadersFrame(stream, block, flags=["END_HEADERS", "END_STREAM"]) for stream in range(1, 20, 2)]
    sent = [SettingsFrame(0), *requests]
    with (
        socket.create_connection((url.host, url.port)) as plain,
        context.wrap_socket(plain, server_hostname=url.host) as connection,
    ):
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"".join(frame.serialize() for frame in sent))
        received = frames(connection)
        refused = [next(frame.stream_id for frame in received if isinstance(frame, RstStreamFrame)) for _ in range(8)]
    assert refused == list(range(5, 20, 2))
    assert apns.summary()["excess_streams"] == 8
    assert apns.summary()["peak_streams"] == 2


def frames(connection: ssl.SSLSocket) -> Iterator[Frame]:
    """Parse the frames that arrive."""
    data = b""
    while True:
        while len(data) < 9:
            data += connection.recv(4096)
        frame, length = Frame.parse_frame_header(memoryview(data[:9]))
        while len(data) < 9 + length:
            data += connection.recv(4096)
        frame.parse_body(memoryview(data[9 : 9 + length]))
        data = data[9 + length :]
        yield frame


def _starter(chain: DevelopmentChain) -> str:
    return (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from infra.local.apns import ApnsStandIn\n"
        f"s = ApnsStandIn.start(certificate=Path({str(chain.apns_server_certificate)!r}), "
        f"private_key=Path({str(chain.apns_server_key)!r}), client_ca=Path({str(chain.intermediate)!r}), "
        "provider_keys={})\n"
        "print(s.control_url, flush=True)\n"
        "time.sleep(60)\n"
    )


def test_stand_in_ends_with_the_process_that_started_it(chain: DevelopmentChain) -> None:
    """It also ends if that process is killed and cannot clean up."""
    with subprocess.Popen(
        [sys.executable, "-c", _starter(chain)], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
    ) as starter:
        assert starter.stdout
        control_url = starter.stdout.readline().strip()
        assert httpx.get(control_url + "/summary").json()["pushes"] == 0
        os.kill(starter.pid, signal.SIGKILL)
        starter.wait()
    until = time.monotonic() + 5
    while time.monotonic() < until:
        try:
            httpx.get(control_url, timeout=1)
        except httpx.TransportError:
            return
    pytest.fail("the stand-in outlived the process that started it")


def test_port_in_use_is_named_in_the_error(chain: DevelopmentChain) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(RuntimeError, match=rf"{port}.*Address already in use"):
            ApnsStandIn.start(
                certificate=chain.apns_server_certificate,
                private_key=chain.apns_server_key,
                client_ca=chain.intermediate,
                provider_keys={},
                port=port,
            )

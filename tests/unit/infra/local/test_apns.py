"""The simulator, held against clients that are not ours, and against what Apple's pages say."""

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from infra.local.apns import ApnsStandIn
from infra.local.certificates import KEY_ID, DevelopmentChain
from infra.local.run import PASS_TYPE_IDENTIFIER, TEAM_IDENTIFIER
from tests.support.simulated_apns import SimulatedApns, pushes, send

TOKEN = "ab" * 32
REPOSITORY = Path(__file__).parents[4]


def _client(apns: SimulatedApns, *, certificate: bool = True) -> httpx.Client:
    """A client of another make."""
    context = ssl.create_default_context(cafile=str(apns.chain.root))
    if certificate:
        context.load_cert_chain(apns.chain.pass_type_certificate, apns.chain.pass_type_key)
    return httpx.Client(http2=True, verify=context, base_url=apns.url)


def _bearer(apns: SimulatedApns, *, age: int = 0, key_id: str = KEY_ID) -> str:
    claims = {"iss": TEAM_IDENTIFIER, "iat": int(time.time()) - age}
    return "bearer " + jwt.encode(claims, apns.chain.provider_key.read_text(), "ES256", headers={"kid": key_id})


def test_httpx_gets_an_answer(apns: SimulatedApns) -> None:
    """Another HTTP/2 implementation pushes, and gets 200 over HTTP/2 with an id of APNs' shape."""
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
def test_what_is_wrong_gets_apples_reason(
    apns: SimulatedApns, *, method: str, path: str, headers: dict[str, str], body: bytes, status: int, reason: str
) -> None:
    """Each mistake of a client gets the status and reason that Apple's page names."""
    with _client(apns) as client:
        answer = client.request(method, path, headers=headers, content=body)
    assert (answer.status_code, answer.json()) == (status, {"reason": reason})


def test_senders_are_looked_at(apns: SimulatedApns) -> None:
    """Without a certificate, a token is wanted, of a known key, well signed, and neither old nor from the future."""
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


def test_answers_are_programmed_by_token(apns: SimulatedApns) -> None:
    """`PUT /tokens/<token>` decides what one device's pushes are answered, until `DELETE`."""
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
def test_what_cannot_be_obeyed_is_refused(apns: SimulatedApns, path: str, body: Any) -> None:  # noqa: ANN401
    """A command with a mistake in it is 400 and says what is wrong, and changes nothing."""
    answer = httpx.put(apns.control_url + path, json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert {outcome.status for outcome in send(apns.client(), pushes(1))} == {200}


def test_the_control_endpoint_explains_itself(apns: SimulatedApns) -> None:
    """`GET /` lists what there is; anything else that is unknown points there."""
    assert "latency_ms" in httpx.get(apns.control_url).json()["PUT /faults"]
    assert httpx.get(apns.control_url + "/nothing").status_code == 404
    assert httpx.request("PUT", apns.control_url + "/faults", content=b"{").status_code == 400


def test_arrivals_are_listed_by_device(apns: SimulatedApns) -> None:
    """`GET /arrivals` says when each device was pushed to, repeats too."""
    one, other = pushes(2)
    before = time.time()
    send(apns.client(), [one, one, other])
    arrivals = httpx.get(apns.control_url + "/arrivals").json()
    assert {token: len(at) for token, at in arrivals.items()} == {one.push_token.value: 2, other.push_token.value: 1}
    assert all(before - 1 < at < time.time() + 1 for times in arrivals.values() for at in times)


def test_a_client_that_opens_too_many_streams_is_refused(apns: SimulatedApns) -> None:
    """More streams than SETTINGS allow get REFUSED_STREAM, and are counted."""
    apns.suffers(max_streams=2, latency_ms=200)
    client = apns.client()
    send(client, pushes(1))  # its answer comes after SETTINGS, which would set what is allowed anew
    connection = client._ready_line(time.monotonic() + 5).connection
    connection._allowed = 10
    outcomes = send(client, pushes(10))
    assert {outcome.reason for outcome in outcomes} <= {None, "RefusedStream"}
    assert apns.summary()["excess_streams"] > 0
    assert apns.summary()["peak_streams"] == 2


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


def test_it_ends_with_whoever_started_it(chain: DevelopmentChain) -> None:
    """Killed without a chance to clean up, the process that started it takes it along."""
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
    pytest.fail("the simulator outlived the process that started it")


def test_a_port_in_use_is_told(chain: DevelopmentChain) -> None:
    """A port that somebody else has is one clear sentence that names it."""
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

"""Attacks from outside whose tests belong to no other file: forged headers, log injection, enumeration, slow bodies.

docs/explanation/security.md lists the tests of every line of the threat model.
"""

import json
import secrets
import socket
import time
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
import pytest

from infra.local.phone import InstalledPass, Phone
from infra.local.run import LocalRun
from tests.conftest import Issuer, Pipeline
from tests.support.eventually import eventually
from tests.support.in_process import DOMAIN, Answer, InProcess
from tests.support.leaks import Leaks, observe_stack
from tests.support.routes import DEVICE, LINK, PASS, REGISTRATION

EVIL = "evil.example"
FORGED = {
    "Host": EVIL,
    "Forwarded": f"for=127.0.0.1;host={EVIL};proto=http",
    "X-Forwarded-Host": EVIL,
    "X-Forwarded-Server": EVIL,
    "X-Forwarded-Proto": "http",
    "X-Forwarded-Prefix": f"//{EVIL}",
    "X-Forwarded-For": "127.0.0.1",
    "X-Host": EVIL,
    "X-Original-URL": "/v1/log",
    "X-Rewrite-URL": "/v1/log",
    "X-HTTP-Method-Override": "DELETE",
    "Referer": f"https://{EVIL}/",
    "Origin": f"https://{EVIL}",
}
INJECTED = '\r\n{"event":"forged"}\n\x1b[2J\u2028\x85{"event":"forged"}'


class Stranger:
    """A caller who knows a pass and its token, or does not."""

    def __init__(self, stack: LocalRun, pipeline: Pipeline, issuer: Issuer) -> None:
        self.service = InProcess(stack)
        self.pass_type = pipeline.pass_type_identifier
        self.serial_number = secrets.token_hex(8)
        pass_id = pipeline.writes(self.serial_number, fields={"gate": "A7"})
        self.token = issuer.token(pass_id)
        self.link = issuer.link_token(pass_id)

    def downloads(self, **headers: str) -> Answer:
        authorization = {"Authorization": f"ApplePass {self.token}"}
        return self.service.calls("GET", PASS, self.pass_type, self.serial_number, headers={**authorization, **headers})

    def registers(self, device: str, *, token: str, serial_number: str = "") -> Answer:
        return self.service.calls(
            "POST",
            REGISTRATION,
            device,
            self.pass_type,
            serial_number or self.serial_number,
            headers={"Authorization": f"ApplePass {token}", "Content-Type": "application/json"},
            body=json.dumps({"pushToken": secrets.token_hex(32)}).encode(),
        )

    def lists(self, device: str, pass_type: str = "") -> Answer:
        return self.service.calls("GET", DEVICE, device, pass_type or self.pass_type)


@pytest.fixture
def stranger(stack: LocalRun, pipeline: Pipeline, issuer: Issuer) -> Stranger:
    return Stranger(stack, pipeline, issuer)


def test_forged_host_and_forwarding_headers_change_nothing(stranger: Stranger) -> None:
    """The URL in a pass is that of API Gateway's event, or the stage's setting, never a header's."""
    plain, forged = stranger.downloads(), stranger.downloads(**FORGED)
    opened = [InstalledPass.open(answer.body, language="en", last_modified=None) for answer in (plain, forged)]
    assert opened[0].content == opened[1].content
    assert opened[1].content["webServiceURL"] == f"https://{DOMAIN}/api"
    page = stranger.service.calls("GET", LINK, stranger.link, headers={"User-Agent": "Windows", **FORGED})
    assert page.status == 200
    assert EVIL not in page.body.decode()
    assert not any(EVIL in value for value in (*page.headers.values(), *forged.headers.values()))


def test_devices_cannot_be_enumerated(stranger: Stranger) -> None:
    """Without a pass's token, a known device, an unknown one and an impossible one are answered alike."""
    known, unknown = (secrets.token_hex(16) for _ in range(2))
    assert stranger.registers(known, token=stranger.token).status == 201
    seen = [
        [
            stranger.registers(device, token="0" * 32),
            stranger.registers(device, token="0" * 32, serial_number="none"),
            stranger.lists(device, "pass.com.other"),
        ]
        for device in (known, unknown)
    ]
    assert seen[0] == seen[1]
    assert stranger.lists(unknown).status == stranger.lists("%00").status == 204
    assert stranger.lists(unknown).body == stranger.lists("%00").body == b""


def test_requests_cannot_forge_log_lines(stranger: Stranger, capsys: pytest.CaptureFixture[str]) -> None:
    encoded = quote(INJECTED, safe="")
    named = {"Authorization": INJECTED, "User-Agent": INJECTED, "If-None-Match": INJECTED, "Accept-Language": INJECTED}
    service = stranger.service
    service.calls("GET", PASS, stranger.pass_type, encoded, headers=named)
    service.calls("GET", PASS, encoded, encoded, headers=named)
    service.calls("POST", REGISTRATION, encoded, stranger.pass_type, stranger.serial_number, headers=named, body=b"{")
    service.calls("GET", DEVICE, encoded, encoded, query=f"passesUpdatedSince={encoded}", headers=named)
    service.calls("GET", LINK, encoded, query=f"download={encoded}", headers=named)
    service.calls("GET", LINK, stranger.link, headers={"User-Agent": INJECTED})
    service.calls("POST", "/v1/log", headers=named, body=json.dumps({"logs": [INJECTED]}).encode())
    written = capsys.readouterr().out
    assert written.isascii()
    assert "\x1b" not in written
    lines = [json.loads(line) for line in written.splitlines()]  # each line is JSON
    assert [line["message"] for line in lines if line.get("event") == "device_log"] == [INJECTED]
    assert not any(line.get("event") == "forged" for line in lines)


def test_secret_in_a_message_of_a_device_is_not_in_the_logs_of_the_stack(
    pipeline: Pipeline, issuer: Issuer, phone: Phone, serial_number: str
) -> None:
    """`tests/support/leaks.py` searches the logs of the deployed functions for it, at the end of the run."""
    phone.adds(issuer.issues(pipeline.writes(serial_number)).content)
    (held,) = phone.passes.values()
    phone.reports(held, f"Register task (for device {phone.device_library_identifier}, pass type p) encountered error")


def test_secret_in_the_logs_of_the_stack_is_found(stack: LocalRun, stack_folder: Path) -> None:
    """The search at the end of a run reads the logs of the deployed functions."""
    planted, written = f"a1-{secrets.token_hex(10)}", f"b2-{secrets.token_hex(10)}"
    httpx.post(f"{stack.api_url}/v1/log", json={"logs": [f"a message with {written}"]}, timeout=30).raise_for_status()

    def found() -> list[str]:
        leaks = Leaks()
        for secret in (planted, written):
            leaks.remember(secret, f"secret {secret}")
        observe_stack(stack, stack_folder, leaks)
        return leaks.found()

    assert eventually(found, "the log line") == [f"secret {written} is written by function api"]


def test_slow_body_reaches_no_function_and_blocks_no_other_request(
    stack: LocalRun, pipeline: Pipeline, issuer: Issuer, serial_number: str
) -> None:
    """API Gateway calls a function with the whole body only."""
    pass_id = pipeline.writes(serial_number)
    api = urlsplit(stack.api_url)
    with socket.create_connection((api.hostname, api.port), timeout=10) as slow:
        head = f"POST {api.path}/v1/log HTTP/1.1\r\nHost: {api.netloc}\r\nContent-Length: 1000\r\n\r\n"
        slow.sendall(head.encode() + b'{"logs": [')
        assert issuer.issues(pass_id).status_code == 200
        slow.settimeout(0.2)
        with pytest.raises(TimeoutError):
            slow.recv(1)


def test_guessed_tokens_get_one_answer_however_much_of_them_is_right(stranger: Stranger) -> None:
    right = stranger.token
    guesses = [
        "0" * len(right),
        right[:-1],
        right + "0",
        right[:-1] + ("A" if right[-1] != "A" else "B"),
        right.lower(),
    ]
    answers = {(a.status, a.body, str(a.headers)) for a in (stranger.registers("d", token=g) for g in guesses)}
    assert len(answers) == 1
    assert {status for status, _, _ in answers} == {401}


def test_large_header_and_path_are_refused_quickly(stack: LocalRun) -> None:
    started = time.monotonic()
    for path, headers in (
        ("/v1/passes/p/" + "s" * 6000, {"Authorization": "ApplePass " + "t" * 1000}),
        ("/p/" + "A" * 7000, {}),
        ("/v1/passes/p/s", {"If-None-Match": '"x",' * 1500, "Authorization": "ApplePass " + "t" * 20}),
    ):
        answer = httpx.get(f"{stack.api_url}{path}", headers=headers, timeout=30)
        assert answer.status_code in {401, 404, 414, 431}, (path[:20], answer.status_code)
        assert len(answer.content) < 300 or "text/html" in answer.headers["Content-Type"]
    assert time.monotonic() - started < 30

"""Requests of strangers, broken phones and scanners get the right status and a short JSON error, and write nothing."""

import json
import uuid
from typing import Any

import boto3
import httpx
import pytest

from infra.local.run import LocalRun
from tests.conftest import Issuer, Pipeline

JSON = {"Content-Type": "application/json"}
TOKEN = {"pushToken": "f00d" * 16}


class Stranger:
    """Sends requests about an existing pass."""

    def __init__(self, stack: LocalRun, *, serial_number: str, authentication_token: str) -> None:
        self.device = uuid.uuid4().hex
        self.authentication_token = authentication_token
        self._stack = stack
        self._http = httpx.Client(base_url=stack.api_url, timeout=30)
        self._pass_path = f"{stack.pass_type_identifier}/{serial_number}"
        self.registration = f"/v1/devices/{self.device}/registrations/{self._pass_path}"
        self.download = f"/v1/passes/{self._pass_path}"

    def calls(self, method: str, path: str, **request: Any) -> httpx.Response:  # noqa: ANN401 - as httpx takes it
        return self._http.request(method, path, **request)

    def registers(self, content: bytes, **headers: str) -> httpx.Response:
        authorization = {"Authorization": f"ApplePass {self.authentication_token}"}
        return self.calls("POST", self.registration, content=content, headers={**authorization, **JSON, **headers})

    def left_nothing(self) -> bool:
        """Return true if no table contains the device."""
        tables = boto3.resource("dynamodb")
        key = {"device_library_identifier": self.device}
        device = tables.Table(self._stack.tables["devices"]).get_item(Key=key, ConsistentRead=True)
        registration = tables.Table(self._stack.tables["registrations"]).get_item(
            Key={"pass_id": self._pass_path, **key}, ConsistentRead=True
        )
        return "Item" not in device and "Item" not in registration


@pytest.fixture
def stranger(stack: LocalRun, pipeline: Pipeline, issuer: Issuer, serial_number: str) -> Stranger:
    pass_id = pipeline.writes(serial_number, fields={"gate": "A7"})
    return Stranger(stack, serial_number=serial_number, authentication_token=issuer.token(pass_id))


def is_a_short_json_error(response: httpx.Response, *, secrets: list[str]) -> bool:
    body = response.json()
    return (
        response.headers["Content-Type"].startswith("application/json")
        and set(body) == {"Code", "Message"}
        and len(response.content) < 300
        and not any(secret in response.text for secret in secrets)
    )


def refuses(stranger: Stranger, response: httpx.Response, status: int) -> None:
    assert response.status_code == status, response.text
    assert is_a_short_json_error(
        response, secrets=[stranger.device, stranger.authentication_token, TOKEN["pushToken"], "Traceback"]
    ), response.text
    assert stranger.left_nothing()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[" * 4000, 400),
        (b"\xff\xfe", 400),
        (b"null", 400),
        (b'["pushToken"]', 400),
        (b"{}", 400),
        (b'{"pushToken": null}', 400),
        (b'{"pushToken": 7}', 400),
        (b'{"pushToken": ""}', 400),
        (b'{"pushToken": "a\\nb"}', 400),
        (b'{"pushToken": "a b"}', 400),
        (json.dumps({"pushToken": "a" * 1025}).encode(), 400),
        (json.dumps({"pushToken": "a" * 64, "padding": "b" * 4096}).encode(), 413),
    ],
    ids=lambda value: value[:24].decode(errors="replace") or "empty" if isinstance(value, bytes) else str(value),
)
def test_invalid_registration_is_refused(stranger: Stranger, body: bytes, status: int) -> None:
    refuses(stranger, stranger.registers(body), status)


def test_registration_that_is_not_json_is_refused_with_any_content_type(stranger: Stranger) -> None:
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "application/json"):
        refuses(stranger, stranger.registers(b"pushToken=a", **{"Content-Type": content_type}), 400)


def test_registration_may_name_the_charset_of_its_json(stranger: Stranger) -> None:
    content_type = {"Content-Type": "application/json; charset=utf-8"}
    assert stranger.registers(json.dumps(TOKEN).encode(), **content_type).status_code == 201


@pytest.mark.parametrize(
    "authorization",
    [
        {},
        {"Authorization": "ApplePass"},
        {"Authorization": "ApplePass wrong"},
        {"Authorization": "Bearer {token}"},
        {"Authorization": "{token}"},
        {"Authorization": "ApplePass {token}x"},
    ],
    ids=["none", "scheme alone", "wrong", "other scheme", "no scheme", "right and more"],
)
def test_wrong_token_reveals_and_writes_nothing(stranger: Stranger, authorization: dict[str, str]) -> None:
    headers = {name: value.format(token=stranger.authentication_token) for name, value in authorization.items()}
    refuses(stranger, stranger.calls("POST", stranger.registration, json=TOKEN, headers=headers), 401)
    refuses(stranger, stranger.calls("DELETE", stranger.registration, headers=headers), 401)
    refuses(stranger, stranger.calls("GET", stranger.download, headers=headers), 401)


def test_unknown_pass_and_wrong_token_get_the_same_answer(stranger: Stranger) -> None:
    headers = {"Authorization": "ApplePass wrong"}
    wrong = stranger.calls("GET", stranger.download, headers=headers)
    unknown = stranger.calls("GET", stranger.download + "-unknown", headers=headers)
    assert (unknown.status_code, unknown.content) == (wrong.status_code, wrong.content)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"logs", 400),
        (b"{}", 400),
        (b'{"logs": "text"}', 400),
        (b'{"logs": [{"a": 1}]}', 400),
        (json.dumps({"logs": ["x"] * 101}).encode(), 413),
        (json.dumps({"logs": ["x" * 4097]}).encode(), 413),
        (b'{"logs": ["' + b"x" * 900_000 + b'"]}', 413),
    ],
    ids=["empty", "text", "object", "no list", "no strings", "too many", "too long", "huge"],
)
def test_invalid_logs_are_refused(stranger: Stranger, body: bytes, status: int) -> None:
    refuses(stranger, stranger.calls("POST", "/v1/log", content=body, headers=JSON), status)


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", None])
def test_logs_are_accepted_with_any_media_type(stranger: Stranger, content_type: str | None) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    assert stranger.calls("POST", "/v1/log", content=b'{"logs": ["a\\u001b[2Jb"]}', headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/v1", "/v1/nothing", "/v2/log", "/v1/passes/a/b/c/d"])
def test_unknown_route_returns_404(stranger: Stranger, path: str) -> None:
    refuses(stranger, stranger.calls("GET", path), 404)


def test_unsupported_method_of_a_route_returns_405(stranger: Stranger) -> None:
    for method, path, allowed in (
        ("PUT", stranger.registration, "DELETE, POST"),
        ("GET", "/v1/log", "POST"),
        ("POST", stranger.download, "GET, HEAD"),
    ):
        response = stranger.calls(method, path, json=TOKEN)
        refuses(stranger, response, 405)
        assert response.headers["Allow"] == allowed

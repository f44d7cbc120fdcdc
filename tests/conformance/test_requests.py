"""Requests of all kinds: paths, methods, content types and serial numbers (X), and the phones' logs (G)."""

import json

import pytest

from tests.conformance.service import Device, Service, pass_json


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b'{"logs": ["one", "two"]}', 200),
        (b'["one"]', 200),
        (b'{"logs": []}', 200),
        ('{"logs": ["\\u0000\\u001b[2J\\n\u2028"]}'.encode(), 200),
        (b'{"logs": ' + json.dumps(["x" * 4096] * 100).encode() + b"}", 200),
        (b'{"logs": ' + json.dumps(["x"] * 101).encode() + b"}", 413),
        (b'{"logs": ' + json.dumps(["x" * 4097]).encode() + b"}", 413),
        (b'{"logs": "one"}', 400),
        (b'{"logs": [1]}', 400),
        (b"one", 400),
        (b"", 400),
    ],
    ids=lambda value: str(value[:20]) if isinstance(value, bytes) else str(value),
)
def test_g1_logs_are_accepted_within_limits(device: Device, content: bytes, status: int) -> None:
    response = device.http.post("/v1/log", content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == status


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "application/octet-stream"]
)
def test_x2_content_type_without_a_body_is_ignored(service: Service, device: Device, content_type: str) -> None:
    held = service.a_pass()
    assert device.registers(held).status_code == 201
    declared = {"Content-Type": content_type}
    assert device.downloads(held, **declared).status_code == 200
    assert device.downloads(held, method="HEAD", **declared).status_code == 200
    listed = device.http.get(
        f"/v1/devices/{device.identifier}/registrations/{held.pass_type_identifier}", headers=declared
    )
    assert listed.status_code == 200
    assert device.unregisters(held, headers={**held.authorization, **declared}).status_code == 200


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/passes", "/v1/passes/a", "/v1/unknown/a/b", "/unknown"])
def test_x1_unknown_path_returns_404(device: Device, path: str) -> None:
    response = device.http.get(path)
    assert response.status_code == 404
    assert response.json()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/log"),
        ("POST", "/v1/passes/pass.com.example/1"),
        ("PUT", "/v1/devices/d/registrations/pass.com.example/1"),
        ("DELETE", "/v1/devices/d/registrations/pass.com.example"),
        ("GET", "/v1/passes/pass.com.example/1/personalize"),
    ],
)
def test_x1_unsupported_method_returns_405(device: Device, method: str, path: str) -> None:
    response = device.http.request(method, path)
    assert response.status_code == 405
    assert response.json()
    assert response.headers["Allow"]


@pytest.mark.parametrize(
    "serial_number",
    [
        "with space",
        "plus+plus",
        "per%cent",
        "per%25cent",
        "grüße-東京-🎫",
        "a?b#c&d=e",
        "x" * 200,
        "dots..",
        "a;b,c@d:e",
    ],
)
def test_any_string_is_a_serial_number(service: Service, device: Device, serial_number: str) -> None:
    held = service.a_pass(serial_number)
    assert device.registers(held).status_code == 201
    assert device.names(held.pass_type_identifier) == [serial_number]
    assert pass_json(device.downloads(held))["serialNumber"] == serial_number
    assert device.unregisters(held).status_code == 200
    service.deletes(held)

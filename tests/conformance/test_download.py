"""Downloads of passes, conditional ones too (D)."""

import base64
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime

import pytest

from tests.conformance.service import Device, Pass, Service, eventually, pass_json

PKPASS = "application/vnd.apple.pkpass"


def test_d1_download_returns_the_pass_with_its_validators(device: Device, held: Pass) -> None:
    response = device.downloads(held)
    assert response.status_code == 200
    assert response.headers["Content-Type"] == PKPASS
    assert parsedate_to_datetime(response.headers["Last-Modified"]).utcoffset() == timedelta(0)
    assert response.headers["Last-Modified"].endswith(" GMT")
    assert response.headers["ETag"]
    assert response.headers["Cache-Control"] == "private, no-cache"
    content = pass_json(response)
    assert content["serialNumber"] == held.serial_number
    assert content["authenticationToken"] == held.authentication_token


def test_d1_two_changes_within_a_second_get_different_times(service: Service, device: Device, held: Pass) -> None:
    times = [parsedate_to_datetime(device.downloads(held).headers["Last-Modified"])]
    for gate in ("C1", "C2", "C3"):
        service.changes(held, fields={"gate": gate})
        times.append(parsedate_to_datetime(device.downloads(held).headers["Last-Modified"]))
    assert times == sorted(set(times))


def test_d2_download_returns_304_when_not_modified(device: Device, held: Pass) -> None:
    first = device.downloads(held)
    later = parsedate_to_datetime(first.headers["Last-Modified"]) + timedelta(hours=1)
    for name, value in (
        ("If-Modified-Since", first.headers["Last-Modified"]),
        ("If-Modified-Since", format_datetime(later, usegmt=True)),
        ("If-None-Match", first.headers["ETag"]),
        ("If-None-Match", f'"other", {first.headers["ETag"]}'),
        ("If-None-Match", "*"),
    ):
        response = device.downloads(held, **{name: value})
        assert response.status_code == 304, (name, value)
        assert response.content == b""
        assert response.headers["Last-Modified"] == first.headers["Last-Modified"]
        assert response.headers["ETag"] == first.headers["ETag"]


def test_d2_if_none_match_takes_precedence(device: Device, held: Pass) -> None:
    first = device.downloads(held)
    headers = {"If-Modified-Since": first.headers["Last-Modified"], "If-None-Match": '"another"'}
    assert device.downloads(held, **headers).status_code == 200


def test_d2_download_returns_the_pass_when_modified(service: Service, device: Device, held: Pass) -> None:
    first = device.downloads(held)
    service.changes(held, fields={"gate": "D7"})
    for name, validator in (("If-Modified-Since", "Last-Modified"), ("If-None-Match", "ETag")):
        assert device.downloads(held, **{name: first.headers[validator]}).status_code == 200


@pytest.mark.parametrize(
    "date",
    [
        *("(null)", "null", "0", "yesterday", "Thu, 32 Jan 2026 00:00:00 GMT"),
        *("Thu, 1 Jan 99999999999999999999 00:00:00 GMT", "Thu, 1 Jan 2026 00:00:00 +9999999999999999999", ",", "()"),
    ],
)
def test_d3_invalid_date_is_ignored(device: Device, held: Pass, date: str) -> None:
    assert device.downloads(held, **{"If-Modified-Since": date}).status_code == 200


def test_d4_download_with_a_wrong_token_or_of_an_unknown_pass_is_refused(service: Service, device: Device) -> None:
    known = service.a_pass()
    wrong = device.downloads(Pass(known.pass_type_identifier, known.serial_number, "0" * 32))
    unknown = device.downloads(Pass(known.pass_type_identifier, "unknown", known.authentication_token))
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.content == unknown.content


def test_d4_deleted_pass_that_is_written_again_soon_keeps_its_registrations(
    service: Service, device: Device, held: Pass
) -> None:
    """Nightly jobs delete and reload passes; phones do not register again by themselves."""
    service.deletes(held)
    assert device.downloads(held).status_code == 401
    eventually(lambda: device.lists(held.pass_type_identifier).status_code == 204, "the end of the pass")
    service.writes(held)
    eventually(lambda: device.names(held.pass_type_identifier) == [held.serial_number], "the pass that is back")
    assert service.is_registered(device, held)


def test_d5_head_returns_the_headers_of_get(device: Device, held: Pass) -> None:
    get, head = device.downloads(held), device.downloads(held, method="HEAD")
    assert head.status_code == 200
    assert head.content == b""
    for name in ("Content-Type", "Last-Modified", "ETag", "Cache-Control"):
        assert head.headers[name] == get.headers[name]


@pytest.mark.parametrize("accept", ["*/*", PKPASS, "application/json", "text/html,*/*;q=0.8", None])
def test_d6_download_ignores_the_accept_header(device: Device, held: Pass, accept: str | None) -> None:
    request = device.http.build_request("GET", f"/v1/passes/{held.path}", headers=held.authorization)
    del request.headers["Accept"]
    if accept is not None:
        request.headers["Accept"] = accept
    response = device.http.send(request)
    assert response.status_code == 200
    assert response.headers["Content-Type"] == PKPASS
    # Without the header, API Gateway sends the pass as base64 text.
    content = (
        base64.b64decode(response.content) if accept is None and response.content[:4] == b"UEsD" else response.content
    )
    assert content[:4] == b"PK\x03\x04"


def test_d7_voided_and_expired_passes_are_served(service: Service, device: Device) -> None:
    void = service.a_pass(voided=True)
    assert pass_json(device.downloads(void))["voided"] is True
    expired = service.a_pass(overrides={"expirationDate": "2020-01-01T00:00:00Z"})
    assert pass_json(device.downloads(expired))["expirationDate"] == "2020-01-01T00:00:00Z"

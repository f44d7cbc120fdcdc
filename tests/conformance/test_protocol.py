"""Apple's web service protocol from outside: one or more tests per row of the protocol, named after it.

R register, U unregister, L list, D download, G log, P personalize, X anything else.
"""

import base64
import io
import json
import subprocess
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path

import httpx
import pytest

from tests.conformance.service import Device, Pass, Service, eventually

PKPASS = "application/vnd.apple.pkpass"


def pass_json(response: httpx.Response) -> dict[str, object]:
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        return dict(json.loads(archive.read("pass.json")))


@pytest.fixture(scope="module")
def settled(service: Service) -> Iterator[tuple[Device, Pass]]:
    """A device and a pass that is registered before the other tests run, long before L5 lists it."""
    device, held = service.device(), service.a_pass()
    assert device.registers(held).status_code == 201
    yield device, held
    device.unregisters(held)


@pytest.fixture
def held(service: Service, device: Device, settled: tuple[Device, Pass]) -> Iterator[Pass]:
    """A pass that the device has registered for."""
    assert settled
    held = service.a_pass()
    assert device.registers(held).status_code == 201
    yield held
    device.unregisters(held)


# ---------------------------------------------------------------- R: register


def test_r1_first_registration_returns_201(service: Service, device: Device) -> None:
    held = service.a_pass()
    assert device.registers(held).status_code == 201
    assert device.names(held.pass_type_identifier) == [held.serial_number]
    device.unregisters(held)


def test_r2_repeated_registration_returns_200(device: Device, held: Pass) -> None:
    assert device.registers(held).status_code == 200
    assert device.names(held.pass_type_identifier) == [held.serial_number]


def test_r2_new_push_token_replaces_the_old_one_for_every_pass(service: Service, device: Device, held: Pass) -> None:
    other = service.a_pass()
    device.registers(other)
    old = Device(device.http, device.identifier, device.push_token)
    device.push_token = "beef" * 16
    assert device.registers(held).status_code == 200
    before = service.pushes_to(device)
    service.writes(other, fields={"gate": "Z9"})
    eventually(lambda: service.pushes_to(device) > before, "the push to the new token")
    assert service.pushes_to(old) == 0
    device.unregisters(other)


@pytest.mark.parametrize(
    "authorization",
    ["", "ApplePass", "ApplePass {wrong}", "Bearer {token}", "{token}", "Basic {token}", "ApplePass {token}0"],
)
def test_r3_registration_with_wrong_authorization_is_refused(
    service: Service, device: Device, authorization: str
) -> None:
    target = service.a_pass()
    value = authorization.format(wrong="0" * 32, token=target.authentication_token)
    response = device.registers(target, headers={"Authorization": value} if value else {})
    assert response.status_code == 401
    assert device.lists(target.pass_type_identifier).status_code == 204


def test_r3_authorization_scheme_is_case_insensitive(service: Service, device: Device) -> None:
    target = service.a_pass()
    headers = {"Authorization": f"applepass {target.authentication_token}"}
    assert device.registers(target, headers=headers).status_code == 201
    device.unregisters(target)


def test_r3_unknown_pass_and_wrong_token_get_the_same_answer(service: Service, device: Device) -> None:
    known = service.a_pass()
    wrong = Pass(known.pass_type_identifier, known.serial_number, "0" * 32)
    unknown = Pass(known.pass_type_identifier, known.serial_number + "-unknown", known.authentication_token)
    answers = [device.registers(target) for target in (wrong, unknown)]
    assert answers[0].status_code == answers[1].status_code == 401
    assert answers[0].content == answers[1].content


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"no json", 400),
        (b"[]", 400),
        (b"{}", 400),
        (b'{"pushToken": 1}', 400),
        (b'{"pushToken": ""}', 400),
        (b'{"pushToken": "' + b"a" * 1025 + b'"}', 400),
        (b'{"pushToken": "a", "more": "' + b"a" * 4096 + b'"}', 413),
    ],
    ids=["empty", "no json", "array", "no token", "number", "empty token", "long token", "large body"],
)
def test_r4_registration_without_a_push_token_is_refused(
    service: Service, device: Device, content: bytes, status: int
) -> None:
    target = service.a_pass()
    headers = {**target.authorization, "Content-Type": "application/json"}
    assert device.registers(target, content=content, headers=headers).status_code == status
    assert device.lists(target.pass_type_identifier).status_code == 204


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded", "none/", ";"])
def test_r1_r4_registration_is_accepted_by_its_body_with_any_content_type(
    service: Service, device: Device, content_type: str | None
) -> None:
    target = service.a_pass()
    headers = {**target.authorization, **({"Content-Type": content_type} if content_type else {})}
    content = json.dumps({"pushToken": device.push_token}).encode()
    assert device.registers(target, content=content, headers=headers).status_code == 201
    assert device.registers(target, content=b"pushToken=a", headers=headers).status_code == 400
    device.unregisters(target)


# ---------------------------------------------------------------- U: unregister


def test_u1_list_is_empty_after_unregistering(device: Device, held: Pass) -> None:
    assert device.unregisters(held).status_code == 200
    assert device.lists(held.pass_type_identifier).status_code == 204


def test_u1_unregistering_keeps_other_passes(service: Service, device: Device, held: Pass) -> None:
    other = service.a_pass()
    device.registers(other)
    assert device.unregisters(held).status_code == 200
    assert device.names(held.pass_type_identifier) == [other.serial_number]
    device.unregisters(other)


def test_u2_unregistering_twice_returns_200(device: Device, held: Pass) -> None:
    assert device.unregisters(held).status_code == 200
    assert device.unregisters(held).status_code == 200


def test_u3_unregistering_with_a_wrong_token_is_refused(device: Device, held: Pass) -> None:
    response = device.unregisters(held, headers={"Authorization": "ApplePass " + "0" * 32})
    assert response.status_code == 401
    assert device.names(held.pass_type_identifier) == [held.serial_number]


# ---------------------------------------------------------------- L: list


def test_l1_list_without_a_tag_contains_all_passes_of_the_type(service: Service, device: Device, held: Pass) -> None:
    other = service.a_pass()
    device.registers(other)
    response = device.lists(held.pass_type_identifier)
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("application/json")
    assert sorted(response.json()["serialNumbers"]) == sorted([held.serial_number, other.serial_number])
    assert isinstance(response.json()["lastUpdated"], str)
    device.unregisters(other)


def test_l2_list_contains_a_change_for_every_earlier_tag(service: Service, device: Device, held: Pass) -> None:
    tags = [device.lists(held.pass_type_identifier).json()["lastUpdated"]]
    for gate in ("B1", "B2"):
        service.changes(held, fields={"gate": gate})
        assert all(held.serial_number in device.names(held.pass_type_identifier, tag) for tag in tags)
        tags.append(device.lists(held.pass_type_identifier).json()["lastUpdated"])


def test_l3_list_of_an_unknown_device_or_type_returns_204(service: Service, device: Device, held: Pass) -> None:
    assert service.device().lists(held.pass_type_identifier).status_code == 204
    response = device.lists("pass.com.example.unknown")
    assert response.status_code == 204
    assert response.content == b""


@pytest.mark.parametrize(
    "tag",
    [
        "",
        "null",
        "(null)",
        "-1",
        "1.5",
        "tomorrow",
        "9" * 40,
        "٣",
        "2026-11-24T00:00:00Z",
        "9999999999",
        "9" * 18,
        "01",
    ],
)
def test_l4_invalid_tag_is_ignored(device: Device, held: Pass, tag: str) -> None:
    assert device.names(held.pass_type_identifier, tag) == [held.serial_number]


# ---------------------------------------------------------------- D: download


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


# ---------------------------------------------------------------- G: log


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


# ---------------------------------------------------------------- P: personalize

SIGN_UP = {
    "personalizationToken": "dG9rZW4=",
    "requiredPersonalizationInfo": {"fullName": "Ada Lovelace", "emailAddress": "ada@example.com", "postalCode": ""},
}


def test_p1_personalize_returns_the_signed_token(service: Service, device: Device, tmp_path: Path) -> None:
    held = service.a_pass(template="rewards")
    device.registers(held)
    before = device.downloads(held)
    assert "personalization.json" in zipfile.ZipFile(io.BytesIO(before.content)).namelist()
    pushes = service.pushes_to(device)

    response = device.personalizes(held, SIGN_UP)
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/octet-stream"
    (tmp_path / "signature").write_bytes(response.content)
    (tmp_path / "token").write_text("dG9rZW4=")
    subprocess.run(
        [
            *("openssl", "smime", "-verify", "-inform", "DER", "-in", tmp_path / "signature"),
            *("-content", tmp_path / "token", "-CAfile", service.certificates["root"]),
            *("-purpose", "any", "-out", "/dev/null"),
        ],
        check=True,
        capture_output=True,
    )

    after = device.downloads(held, **{"If-Modified-Since": before.headers["Last-Modified"]})
    assert after.status_code == 200
    names = zipfile.ZipFile(io.BytesIO(after.content)).namelist()
    assert not [name for name in names if name.startswith("personalization")]
    assert service.item(held)["personalization"] == {"fullName": "Ada Lovelace", "emailAddress": "ada@example.com"}
    eventually(lambda: service.pushes_to(device) > pushes, "the push of the personalized pass")

    service.changes(held, template="rewards", fields={"points": 7})
    names = zipfile.ZipFile(io.BytesIO(device.downloads(held).content)).namelist()
    assert "personalization.json" not in names, "a pipeline's PutItem must not make the phone ask again"
    device.unregisters(held)


@pytest.mark.parametrize(
    "content",
    [
        {},
        [],
        {"personalizationToken": "x"},
        {"requiredPersonalizationInfo": {"fullName": "A", "emailAddress": "a@b"}},
        {"personalizationToken": "", "requiredPersonalizationInfo": {"fullName": "A", "emailAddress": "a@b"}},
        {"personalizationToken": "x", "requiredPersonalizationInfo": {"fullName": "A"}},
        {"personalizationToken": "x", "requiredPersonalizationInfo": {"givenName": "A", "emailAddress": "a@b"}},
        {"personalizationToken": "x", "requiredPersonalizationInfo": {"fullName": " ", "emailAddress": "a@b"}},
        {"personalizationToken": "x", "requiredPersonalizationInfo": {"fullName": 1, "emailAddress": "a@b"}},
        {"personalizationToken": "x", "requiredPersonalizationInfo": {"fullName": "A" * 300, "emailAddress": "a@b"}},
    ],
    ids=["empty", "array", "no info", "no token", "empty token", "no e-mail", "half a name", "blank", "number", "long"],
)
def test_p2_personalize_requires_the_fields_of_the_pass(service: Service, device: Device, content: object) -> None:
    held = service.a_pass(template="rewards")
    assert device.personalizes(held, content, **held.authorization).status_code == 400
    assert "personalization" not in service.item(held)


def test_p2_pass_without_personalization_cannot_be_personalized(service: Service, device: Device) -> None:
    held = service.a_pass()
    unknown = Pass(held.pass_type_identifier, "unknown", held.authentication_token)
    assert device.personalizes(held, SIGN_UP, **held.authorization).status_code == 404
    assert device.personalizes(unknown, SIGN_UP, **unknown.authorization).status_code == 401


def test_p2_refusals_without_the_token_are_identical(service: Service, device: Device) -> None:
    held, personalized, asked = service.a_pass(), service.a_pass(template="rewards"), service.a_pass(template="rewards")
    unknown = Pass(held.pass_type_identifier, "unknown", held.authentication_token)
    assert device.personalizes(personalized, SIGN_UP).status_code == 200
    half = {**SIGN_UP, "requiredPersonalizationInfo": {"fullName": "Ada"}}
    answers = [device.personalizes(target, SIGN_UP) for target in (held, unknown, personalized)]
    answers += [device.personalizes(target, half) for target in (asked, unknown)]
    answers += [
        device.personalizes(target, SIGN_UP, Authorization="ApplePass " + "0" * 32) for target in (asked, unknown)
    ]
    assert {(answer.status_code, answer.content) for answer in answers} == {(401, answers[0].content)}


@pytest.mark.parametrize(
    "token",
    ['{"pass.json": "da39a3ee5e6b4b0d3255bfef95601890afd80709"}', '{"a":"b"}', "a b", "ä", "\ud800", "x" * 1025],
    ids=["manifest", "object", "space", "not ASCII", "lone surrogate", "long"],
)
def test_p2_token_that_could_be_a_manifest_is_not_signed(service: Service, device: Device, token: str) -> None:
    held = service.a_pass(template="rewards")
    content = json.dumps({**SIGN_UP, "personalizationToken": token})
    for headers in ({}, held.authorization):
        response = device.http.post(
            f"/v1/passes/{held.path}/personalize",
            content=content,
            headers={"Content-Type": "application/json", **headers},
        )
        assert response.status_code == 400
    assert "personalization" not in service.item(held)


def test_p2_second_personalization_is_refused(service: Service, device: Device) -> None:
    held = service.a_pass(template="rewards")
    assert device.personalizes(held, SIGN_UP).status_code == 200
    other = {**SIGN_UP, "requiredPersonalizationInfo": {"fullName": "Eve", "emailAddress": "eve@example.com"}}
    response = device.personalizes(held, other, **held.authorization)
    assert response.status_code == 409
    assert device.personalizes(held, other).status_code == 401
    assert service.item(held)["personalization"]["fullName"] == "Ada Lovelace"


# ---------------------------------------------------------------- X: everything else


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


# ---------------------------------------------------------------- serial numbers


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


# ---------------------------------------------------------------- last, since it waits longest


def test_l5_tag_is_exclusive(service: Service, settled: tuple[Device, Pass]) -> None:
    device, held = settled

    def nothing_since() -> str | None:
        tag = str(device.lists(held.pass_type_identifier).json()["lastUpdated"])
        return tag if device.lists(held.pass_type_identifier, tag).status_code == 204 else None

    tag = eventually(nothing_since, "a list of nothing")
    assert device.lists(held.pass_type_identifier, tag).content == b""
    service.changes(held, fields={"gate": "E5"})
    assert device.names(held.pass_type_identifier, tag) == [held.serial_number]

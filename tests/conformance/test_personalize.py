"""Personalization of a pass (P)."""

import io
import json
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.conformance.service import Device, Pass, Service, eventually

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

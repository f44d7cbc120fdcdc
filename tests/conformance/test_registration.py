"""Registering a device for a pass (R), and unregistering it (U)."""

import json

import pytest

from tests.conformance.service import Device, Pass, Service, eventually


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

"""The list of the passes that were changed since a tag (L)."""

import pytest

from tests.conformance.service import Device, Pass, Service, eventually


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


def test_l5_tag_is_exclusive(service: Service, settled: tuple[Device, Pass]) -> None:
    device, held = settled

    def nothing_since() -> str | None:
        tag = str(device.lists(held.pass_type_identifier).json()["lastUpdated"])
        return tag if device.lists(held.pass_type_identifier, tag).status_code == 204 else None

    tag = eventually(nothing_since, "a list of nothing")
    assert device.lists(held.pass_type_identifier, tag).content == b""
    service.changes(held, fields={"gate": "E5"})
    assert device.names(held.pass_type_identifier, tag) == [held.serial_number]

"""Fixtures of the conformance tests: the service under test, devices and passes.

The tests are named after the calls of Apple's protocol and the cases of each (docs/reference/http-api.md): R register,
U unregister, L list, D download, G log, P personalize, X any other request.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.service import Device, Pass, Service


@pytest.fixture(scope="session")
def service(request: pytest.FixtureRequest) -> Service:
    """The service that the environment names, else the session's local run."""

    def local_json() -> Path:
        named = os.environ.get("CONFORMANCE_LOCAL_JSON")
        return Path(named) if named else Path(request.getfixturevalue("local_json"))

    return Service.from_environment(local_json)


@pytest.fixture
def device(service: Service) -> Device:
    return service.device()


@pytest.fixture(scope="session")
def settled(service: Service) -> Iterator[tuple[Device, Pass]]:
    """A device and a pass for which it was registered before most tests ran.

    A list call names a pass for some time after its registration; so `test_l5_tag_is_exclusive` has little to wait for.
    """
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

"""Fixtures of the conformance tests: the service under test and a device."""

import os
from pathlib import Path

import pytest

from tests.conformance.service import Device, Service


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

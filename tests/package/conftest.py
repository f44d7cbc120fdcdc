"""The package of the service, built once for all tests that need no stage."""

import copy
from typing import Any

import pytest
from samtranslator.translator.transform import transform  # type: ignore[import-untyped]  # it has no types

from infra.deploy.package import Package
from infra.deploy.template import with_code
from tests.support.sam import NoManagedPolicies
from tests.support.shared_package import shared_package


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return shared_package(tmp_path_factory, "dev")


@pytest.fixture(scope="session")
def template(package: Package) -> dict[str, Any]:
    """The template as CloudFormation receives it: after SAM's translation."""
    environment = pytest.MonkeyPatch()
    environment.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    packaged = with_code(copy.deepcopy(package.template), bucket="bucket", key="key")
    translated: dict[str, Any] = transform(packaged, {"Stage": "dev"}, NoManagedPolicies())
    environment.undo()
    return translated

"""Fixtures for the tests of infra/."""

from pathlib import Path

import pytest

from infra.deploy.package import Package
from infra.local.run import LocalRun
from tests.support.second_stage import SecondStage, deploy_second_stage


@pytest.fixture(scope="session")
def second_stage(stack: LocalRun, stack_folder: Path, local_package: Package) -> SecondStage:
    return deploy_second_stage(stack, stack_folder, local_package)

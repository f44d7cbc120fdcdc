"""Fixtures for the tests of infra/."""

import json
from pathlib import Path

import pytest

from infra.deploy.package import Package
from infra.local.run import LocalRun
from tests.support.second_stage import SecondStage, deploy_second_stage


@pytest.fixture(scope="session")
def package(stack: LocalRun, stack_folder: Path) -> Package:
    """The package that the local run has built; to build another one takes 8 s of CPU."""
    assert stack
    folder = stack_folder / "package"
    return Package(json.loads((folder / "sam.json").read_text()), folder / "functions.zip")


@pytest.fixture(scope="session")
def second_stage(stack: LocalRun, stack_folder: Path, package: Package) -> SecondStage:
    return deploy_second_stage(stack, stack_folder, package)

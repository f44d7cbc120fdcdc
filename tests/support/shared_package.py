"""Packages of the service, each built once for all processes of a run of the tests."""

import fcntl
import os
import shutil
from pathlib import Path

import pytest

from infra.deploy.package import Package
from infra.local.kept_package import kept_package


def shared_package(factory: pytest.TempPathFactory, stage: str) -> Package:
    """Return the package of a stage, which the first process that needs it builds: that takes 8 s of CPU.

    Args:
        factory: of the process's temporary folders. Those of pytest-xdist's workers are in one folder.
        stage: the name of the stage.
    """
    own = factory.getbasetemp()
    root = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    folder = root / f"package-of-{stage}"
    with (root / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return kept_package(stage, folder)


def with_package(package: Package, folder: Path) -> Path:
    """Put the package of an earlier start into the folder of a local run that has not started yet; returns the folder.

    Args:
        package: from `shared_package`.
        folder: of the local run.
    """
    shutil.copytree(package.zip_file.parent, folder / "package")
    return folder

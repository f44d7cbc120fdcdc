"""The package of the local run, built once for all processes of a run of the tests."""

import fcntl
import shutil
from pathlib import Path

from infra.local.kept_package import kept_package
from infra.stage.local import STAGE


def shared_package(root: Path) -> Path:
    """Return a folder with the package of the local run, which the first process builds.

    Args:
        root: a folder that all processes have in common.
    """
    folder = root / "package-of-the-local-run"
    with (root / "package-of-the-local-run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            unfinished = folder.with_suffix(".unfinished")
            kept_package(STAGE, unfinished)
            unfinished.rename(folder)
    return folder


def with_package(package: Path, folder: Path) -> Path:
    """Put a package into the folder of a local run that has not started yet; returns the folder."""
    shutil.copytree(package, folder / "package")
    return folder

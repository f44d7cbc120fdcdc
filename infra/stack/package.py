"""From the checkout to what CloudFormation takes: Chalice's template and a zip that holds only what runs.

`chalice package` makes both, for the Python that runs it and for the architecture that `.chalice/config.json` says
(`lambda_architecture`); `slim.py` takes from the zip what does not run.
"""

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chalicelib.domain.errors import PasswireError
from infra.stack.resources import resources
from infra.stack.slim import CompilationError, slim_down
from infra.stack.verify import VerificationError, verify_zip

PROJECT = Path(__file__).parents[2]
REGION_TO_PACKAGE = "us-east-1"
"""Chalice wants to know one; nothing in the template depends on it."""


class PackagingError(PasswireError):
    """The app could not be packaged; the message is Chalice's own, or names the library that is in the way."""


@dataclass(frozen=True, slots=True)
class Package:
    """What a deployment needs.

    Args:
        template: SAM, as Chalice makes it from app.py and `resources()`; functions' code still stands as a path.
        zip_file: the code.
    """

    template: dict[str, Any]
    zip_file: Path


def build_package(stage: str, folder: Path, *, project: Path = PROJECT) -> Package:
    """Package a checkout into `folder`.

    Args:
        stage: a stage of `.chalice/config.json`, or one without settings of its own.
        folder: for what is made.
        project: the checkout; this one unless told otherwise.

    Raises:
        PackagingError: Chalice refused, a library is missing or not for the functions' platform, or a function cannot
            be imported from the zip.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chalice = Path(sys.executable).with_name("chalice")
    merged = folder / "resources.json"
    merged.write_text(json.dumps(resources()))
    command = [str(chalice), "package", "--stage", stage, "--merge-template", str(merged), str(folder)]
    with whole_packages(project / ".chalice" / "deployments"):
        made = subprocess.run(
            command,
            cwd=project,
            env={**os.environ, "AWS_DEFAULT_REGION": REGION_TO_PACKAGE},
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    if made.returncode:
        raise PackagingError(f"chalice package failed: {(made.stderr or made.stdout).strip().splitlines()[-1]}")
    original = folder / "deployment.zip"
    slim = folder / "functions.zip"
    try:
        slim_down(original, slim)
        template = json.loads((folder / "sam.json").read_text())
        verify_zip(slim, template)
    except (CompilationError, VerificationError) as error:
        raise PackagingError(str(error)) from error
    return Package(template=template, zip_file=slim)


@contextlib.contextmanager
def whole_packages(folder: Path) -> Iterator[None]:
    """Keep Chalice from taking a zip that is not whole for one of an earlier run.

    It writes a zip under the name by which it finds it again, so one that a killed run left there, or that another run
    is still writing, would be taken as it is: the former go, the latter are waited for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for path in folder.glob("*.zip"):
            if not zipfile.is_zipfile(path):
                path.unlink()
        yield

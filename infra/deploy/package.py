"""From the checkout to what CloudFormation takes: Chalice's template and a zip that holds only what runs.

`chalice package` makes both, for the Python that runs it and for the architecture that `.chalice/config.json` says
(`lambda_architecture`); `slim.py` takes from the zip what does not run.
"""

import contextlib
import fcntl
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chalicelib.core.errors import PasswireError
from infra.deploy.resources import resources
from infra.deploy.slim import CompilationError, slim_down
from infra.deploy.verify import VerificationError, verify_zip

PROJECT = Path(__file__).parents[2]
REGION_TO_PACKAGE = "us-east-1"
"""Chalice wants to know one; nothing in the template depends on it."""


VERIFIED = "verified.txt"
"""Names the zips of Chalice's folder that were made of verified files."""
HASH_MISMATCH = re.compile(r"DO NOT MATCH THE HASHES.*?^\s+([A-Za-z0-9._-]+==\S+) from ", re.DOTALL | re.MULTILINE)
"""pip's report of a file that is not the one that was locked; the group is the requirement."""
NOT_PACKAGED = re.compile(r"Could not install dependencies:\s*(.*?)\s*You will have to", re.DOTALL)
"""Chalice's report of libraries that are not in its zip: it warns, and makes the zip without them."""


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
    kept_by_chalice = project / ".chalice" / "deployments"
    with whole_packages(kept_by_chalice):
        _remove_unverified(kept_by_chalice)
        made = subprocess.run(
            command,
            cwd=project,
            env={**os.environ, "AWS_DEFAULT_REGION": REGION_TO_PACKAGE, **pip_environment(project)},
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        _check(made, project)
        _note_verified(kept_by_chalice)
    original = folder / "deployment.zip"
    slim = folder / "functions.zip"
    try:
        slim_down(original, slim)
        template = json.loads((folder / "sam.json").read_text())
        verify_zip(slim, template)
    except (CompilationError, VerificationError) as error:
        raise PackagingError(str(error)) from error
    return Package(template=template, zip_file=slim)


def pip_environment(project: Path) -> dict[str, str]:
    """Environment variables with which pip verifies every file that Chalice downloads.

    Chalice runs pip twice: for `requirements.txt`, whose hashes pip then verifies, and for wheels of Lambda's platform
    by name and version alone, which pip would take unverified. As a constraint, the same file applies to both.
    """
    return {"PIP_REQUIRE_HASHES": "1", "PIP_CONSTRAINT": str(project / "requirements.txt")}


def _check(made: "subprocess.CompletedProcess[str]", project: Path) -> None:
    """Refuse what Chalice could not package, or packaged without all libraries.

    Raises:
        PackagingError: the message names the libraries.
    """
    output = made.stdout + made.stderr
    if mismatch := HASH_MISMATCH.search(output):
        raise PackagingError(
            f"{mismatch[1]}: the downloaded file does not have the SHA-256 hash of {project / 'requirements.txt'}; "
            "nothing was packaged. Find out who changed the file or the hash; only a version that you changed yourself "
            "is locked again, with: make lock"
        )
    if made.returncode:
        raise PackagingError(f"chalice package failed: {(made.stderr or made.stdout).strip().splitlines()[-1]}")
    if missing := NOT_PACKAGED.search(output):
        libraries = ", ".join(sorted(missing[1].split()))
        raise PackagingError(
            f"{libraries}: no wheel for Lambda has a hash of {project / 'requirements.txt'}; nothing was packaged. "
            "Lock a version that has one, with: make lock"
        )


def _remove_unverified(folder: Path) -> None:
    """Remove the zips that Chalice would take up again and that `build_package` did not make: nothing verified them."""
    noted = folder / VERIFIED
    verified = noted.read_text().split() if noted.exists() else []
    for path in folder.glob("*.zip"):
        if path.name not in verified:
            path.unlink()


def _note_verified(folder: Path) -> None:
    (folder / VERIFIED).write_text("".join(f"{path.name}\n" for path in sorted(folder.glob("*.zip"))))


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

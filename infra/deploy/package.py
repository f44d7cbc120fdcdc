"""Packages a checkout for CloudFormation: Chalice's template and a zip of the code.

`chalice package` creates both, for the running version of Python and the architecture in `.chalice/config.json`
(`lambda_architecture`). `slim.py` then removes from the zip what never runs.
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
"""Chalice requires a region; nothing in the template depends on it."""
VERIFIED = "verified.txt"
"""The file that lists the zips of Chalice's folder which were built from verified files."""
HASH_MISMATCH = re.compile(r"DO NOT MATCH THE HASHES.*?^\s+([A-Za-z0-9._-]+==\S+) from ", re.DOTALL | re.MULTILINE)
"""pip's report of a file whose hash differs from the locked one; the group is the requirement."""
NOT_PACKAGED = re.compile(r"Could not install dependencies:\s*(.*?)\s*You will have to", re.DOTALL)
"""Chalice's warning about libraries that it omitted from its zip."""


class PackagingError(PasswireError):
    """The app could not be packaged. The message is Chalice's, or names the library that caused it."""


@dataclass(frozen=True, slots=True)
class Package:
    """A packaged checkout.

    Args:
        template: the SAM template that Chalice creates from app.py and `resources()`; its functions' code is a path.
        zip_file: the code.
    """

    template: dict[str, Any]
    zip_file: Path


def build_package(stage: str, folder: Path, *, project: Path = PROJECT) -> Package:
    """Package a checkout into `folder`.

    Args:
        stage: the name of a stage, with or without settings in `.chalice/config.json`.
        folder: the folder to write to.
        project: the checkout; this one by default.

    Raises:
        PackagingError: Chalice failed, a library is missing or not for the functions' platform, or a function cannot
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
    """Return the environment variables that make pip verify every file that Chalice downloads.

    Chalice runs pip twice: for `requirements.txt`, whose hashes pip verifies, and for wheels of Lambda's platform by
    name and version, which pip would not verify. As a constraint file, `requirements.txt` applies to both.
    """
    return {"PIP_REQUIRE_HASHES": "1", "PIP_CONSTRAINT": str(project / "requirements.txt")}


def _check(made: "subprocess.CompletedProcess[str]", project: Path) -> None:
    """Refuse a package that Chalice could not create, or created without all libraries.

    Raises:
        PackagingError: the message names the libraries.
    """
    output = made.stdout + made.stderr
    if mismatch := HASH_MISMATCH.search(output):
        raise PackagingError(
            f"{mismatch[1]}: the downloaded file does not have the SHA-256 hash in {project / 'requirements.txt'}; "
            "nothing was packaged. Find out who changed the file or the hash. Only if you changed the version "
            "yourself, lock it again with: make lock"
        )
    if made.returncode:
        raise PackagingError(f"chalice package failed: {(made.stderr or made.stdout).strip().splitlines()[-1]}")
    if missing := NOT_PACKAGED.search(output):
        libraries = ", ".join(sorted(missing[1].split()))
        raise PackagingError(
            f"{libraries}: no wheel for Lambda has a hash in {project / 'requirements.txt'}; nothing was packaged. "
            "Lock a version that has a wheel, with: make lock"
        )


def _remove_unverified(folder: Path) -> None:
    """Remove the zips that `build_package` did not create: Chalice would reuse them, and nothing verified them."""
    noted = folder / VERIFIED
    verified = noted.read_text().split() if noted.exists() else []
    for path in folder.glob("*.zip"):
        if path.name not in verified:
            path.unlink()


def _note_verified(folder: Path) -> None:
    (folder / VERIFIED).write_text("".join(f"{path.name}\n" for path in sorted(folder.glob("*.zip"))))


@contextlib.contextmanager
def whole_packages(folder: Path) -> Iterator[None]:
    """Keep Chalice from reusing an incomplete zip.

    Chalice writes a zip under its final name, so that it would reuse one that a killed run left incomplete or that
    another run is still writing. The former are removed; for the latter, this waits.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for path in folder.glob("*.zip"):
            if not zipfile.is_zipfile(path):
                path.unlink()
        yield

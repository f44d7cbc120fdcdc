"""From the checkout to what CloudFormation takes: Chalice's template and a zip that holds only what runs.

`chalice package` makes both; its zip carries every dependency of Chalice's own command line and every service that
botocore knows. What a Lambda imports stands in `KEPT`; the rest goes, and what stays is compiled, since Lambda's file
system is read-only and would compile it anew at every cold start.
"""

import compileall
import json
import os
import py_compile
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.stack.resources import resources

PROJECT = Path(__file__).parents[2]
KEPT = (
    "app.py",
    "chalicelib",
    "chalice",
    "botocore",
    "cffi",
    "cryptography",
    "dateutil",
    "h2",
    "hpack",
    "hyperframe",
    "jinja2",
    "jmespath",
    "jwt",
    "markupsafe",
    "orjson",
    "pynamodb",
    "six.py",
    "typing_extensions.py",
    "urllib3",
)
"""Top-level names that the functions import, and what those import."""
KEPT_BINARIES = ("_cffi_backend", "zint.")
"""How the names begin of the extension modules that stand beside the packages."""
KEPT_SERVICES = ("dynamodb", "s3", "secretsmanager", "sqs")
"""What botocore keeps its descriptions of."""
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The date of every member, so that the same content is the same zip."""
FILE_MODE = 0o100644 << 16
REGION_TO_PACKAGE = "us-east-1"
"""Chalice wants to know one; nothing in the template depends on it."""


class PackagingError(Exception):
    """Chalice could not package the app; the message is its own."""


@dataclass(frozen=True, slots=True)
class Package:
    """What a deployment needs.

    Args:
        template: SAM, as Chalice makes it from app.py and `resources()`; functions' code still stands as a path.
        zip_file: the code.
    """

    template: dict[str, Any]
    zip_file: Path


def build_package(stage: str, folder: Path) -> Package:
    """Package the checkout into `folder`.

    Raises:
        PackagingError: Chalice refused.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chalice = Path(sys.executable).with_name("chalice")
    merged = folder / "resources.json"
    merged.write_text(json.dumps(resources()))
    command = [str(chalice), "package", "--stage", stage, "--merge-template", str(merged), str(folder)]
    made = subprocess.run(
        command,
        cwd=PROJECT,
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
    slim_down(original, slim)
    return Package(template=json.loads((folder / "sam.json").read_text()), zip_file=slim)


def slim_down(original: Path, slim: Path) -> None:
    """Write `slim` with what runs of `original`: pruned, compiled, reproducible."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with zipfile.ZipFile(original) as archive:
            archive.extractall(folder, [m for m in archive.namelist() if _kept(m)])
        for cache in folder.rglob("__pycache__"):
            shutil.rmtree(cache)
        compileall.compile_dir(
            folder, quiet=2, stripdir=folder, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
        )
        with zipfile.ZipFile(slim, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for path in sorted(p for p in folder.rglob("*") if p.is_file()):
                member = zipfile.ZipInfo(path.relative_to(folder).as_posix(), EPOCH)
                member.external_attr = FILE_MODE
                member.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(member, path.read_bytes())


def _kept(member: str) -> bool:
    top, _, rest = member.partition("/")
    if top.startswith(KEPT_BINARIES):
        return True
    if top not in KEPT or member.endswith((".pyi", "py.typed")) or "/tests/" in member:
        return False
    data, _, path = rest.partition("/")
    if top == "botocore" and data == "data" and "/" in path:
        return path.partition("/")[0] in KEPT_SERVICES and not path.endswith(("examples-1.json", "paginators-1.json"))
    if top == "chalice":
        return rest.count("/") == 0 and not rest.startswith(("cli", "deploy"))
    return True

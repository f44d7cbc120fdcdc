"""Keeps the package of the last start, so that a start with unchanged sources does not build it again."""

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

from infra.deploy.package import PROJECT, Package, build_package

SOURCES = ("app.py", "requirements.txt", "chalicelib", "vendor", ".chalice", "infra/deploy", "infra/stage")
"""Everything that a package is made from: the app, its libraries, its settings, and the code that packages it."""
BUILT_BY_CHALICE = ".chalice/deployments/"
COMPILED = ".pyc"
RECORD = "built.json"


def kept_package(
    stage: str, folder: Path, *, project: Path = PROJECT, build: Callable[[str, Path], Package] = build_package
) -> Package:
    """Return the package that `build_package` made in a folder, made again if anything has changed since.

    Args:
        stage: the name of the stage.
        folder: the folder of the package.
        project: the checkout.
        build: makes the package.

    Raises:
        PackagingError: as `build_package`.
    """
    record, sources = folder / RECORD, _hash_of_sources(project)
    template, code = folder / "sam.json", folder / "functions.zip"
    try:
        if json.loads(record.read_text()) == _record(stage, sources, template, code):
            return Package(template=json.loads(template.read_text()), zip_file=code)
    except (OSError, ValueError):
        pass
    record.unlink(missing_ok=True)
    package = build(stage, folder)
    record.write_text(json.dumps(_record(stage, sources, template, package.zip_file)))
    return package


def _record(stage: str, sources: str, template: Path, code: Path) -> dict[str, str]:
    return {
        "stage": stage,
        "sources": sources,
        "python": sys.version,
        "chalice": version("chalice"),
        "template": hashlib.sha256(template.read_bytes()).hexdigest(),
        "code": hashlib.sha256(code.read_bytes()).hexdigest(),
    }


def _hash_of_sources(project: Path) -> str:
    hashed = hashlib.sha256()
    for name in SOURCES:
        for path in _files(project / name):
            shown = path.relative_to(project).as_posix()
            if not shown.startswith(BUILT_BY_CHALICE) and path.suffix != COMPILED:
                hashed.update(f"{shown}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\0".encode())
    return hashed.hexdigest()


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    else:
        yield from sorted(each for each in path.rglob("*") if each.is_file())

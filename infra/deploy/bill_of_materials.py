"""Writes the bill of materials of the functions' zip: a CycloneDX 1.6 document in JSON.

It lists the libraries that are in the zip, with their versions and the SHA-256 hashes of their files as
requirements.txt locks them. Source: CycloneDX, "JSON Reference v1.6"; package URLs: purl-spec, "pypi".
"""

import hashlib
import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from infra.deploy.package import PROJECT, PackagingError

OWN = frozenset({"app", "chalicelib", "__pycache__"})
"""Top-level names of this project."""
COPIED = {"roots": "certifi"}
"""Names of this project whose content comes from a library (`chalicelib/roots.py`)."""
MODULE_SUFFIXES = (".py", ".so", ".pyd")
_LOCKED = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)((?:.*\\\n)(?:\s+--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE)
_HASH = re.compile(r"sha256:([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Locked:
    """A library in requirements.txt.

    Args:
        name: of the distribution.
        version: the locked one.
        hashes: SHA-256 of each of its files, any of which may be installed.
    """

    name: str
    version: str
    hashes: tuple[str, ...]


def bill_of_materials(zip_file: Path, *, commit: str, project: Path = PROJECT) -> dict[str, Any]:
    """Describe a zip.

    Args:
        zip_file: the functions' code.
        commit: the version of this project.
        project: the checkout with requirements.txt.

    Returns:
        The CycloneDX document. The same zip and commit give the same document.

    Raises:
        PackagingError: the zip contains a module that belongs to no locked library.
    """
    with zipfile.ZipFile(zip_file) as archive:
        modules = {re.split(r"[./]", name)[0] for name in archive.namelist()}
    locked = read_locked((project / "requirements.txt").read_text())
    libraries = {name: locked[name] for name in _owners(modules - OWN, locked)}
    digest = hashlib.sha256(zip_file.read_bytes()).hexdigest()
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "bom-ref": "passwire",
                "type": "application",
                "name": "passwire",
                "version": commit,
                "hashes": [{"alg": "SHA-256", "content": digest}],
            }
        },
        "components": [_component(libraries[name]) for name in sorted(libraries)],
        "dependencies": [{"ref": "passwire", "dependsOn": sorted(map(_purl, libraries.values()))}],
    }


def read_locked(requirements: str) -> dict[str, Locked]:
    """Read the locked libraries of requirements.txt by their normalized name."""
    found = (
        Locked(_normalized(name), version, tuple(_HASH.findall(rest)))
        for name, version, rest in _LOCKED.findall(requirements)
    )
    return {library.name: library for library in found}


def _owners(modules: Iterable[str], locked: Mapping[str, Locked]) -> set[str]:
    """Return the libraries that top-level modules belong to, as they are installed beside this program."""
    owners = {module: name for name in locked for module in _modules_of(name)}
    found: set[str] = set()
    for module in sorted(modules):
        name = COPIED.get(module) or owners.get(module)
        if name is None:
            raise PackagingError(f"the zip contains {module}, which belongs to no library of requirements.txt")
        found.add(name)
    return found


def _modules_of(name: str) -> set[str]:
    """Return the top-level modules and packages of a library; none if it is not installed on this machine."""
    try:
        files = distribution(name).files or ()
    except PackageNotFoundError:
        return set()
    return {file.parts[0].partition(".")[0] for file in files if file.suffix in MODULE_SUFFIXES}


def _component(library: Locked) -> dict[str, Any]:
    component: dict[str, Any] = {
        "bom-ref": _purl(library),
        "type": "library",
        "name": library.name,
        "version": library.version,
        "purl": _purl(library),
        "externalReferences": [
            {
                "type": "distribution",
                "url": f"https://pypi.org/project/{library.name}/{library.version}/",
                "hashes": [{"alg": "SHA-256", "content": content} for content in library.hashes],
            }
        ],
    }
    if license_name := _license(library.name):
        component["licenses"] = [{"license": {"name": license_name}}]
    return component


def _license(name: str) -> str:
    """Return the license that a library names; empty if it names none in one line."""
    try:
        found = distribution(name).metadata.json
    except PackageNotFoundError:
        return ""
    named = str(found.get("license_expression") or found.get("license") or "")
    return named if "\n" not in named else ""


def _purl(library: Locked) -> str:
    return f"pkg:pypi/{library.name}@{library.version}"


def _normalized(name: str) -> str:
    """Return the name as package indexes compare it (PyPA, "Names and normalization")."""
    return re.sub(r"[-_.]+", "-", name).lower()

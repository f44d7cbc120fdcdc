"""Verifies the zip before it is uploaded: all libraries are there, for the functions' platform, and can be imported.

If a library has no wheel for Lambda's platform, Chalice omits it from the zip and exits with 0.
"""

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from chalicelib import roots
from infra.deploy.slim import BINARIES, LIBRARIES

ELF_MAGIC = b"\x7fELF"
ELF_MACHINES = {62: "x86_64", 183: "arm64"}
"""`e_machine` of the ELF header (System V ABI): EM_X86_64 and EM_AARCH64, by Lambda's names."""
E_MACHINE = slice(18, 20)
THIS_MACHINE = {"x86_64": "x86_64", "AMD64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}
"""`platform.machine()` by Lambda's names."""
PYTHON_TAG = re.compile(r"\.cpython-(\d)(\d+)")
"""The Python version in the name of an extension module; modules of the stable ABI (`.abi3`) have none."""
APNS_ROOTS: Mapping[str, str] = {
    "USERTrust RSA Certification Authority": "fc5a8f99",
    "Sectigo Public Server Authentication Root R46": "9046744a",
}
"""The root of APNs' server certificate (Apple, "Apple Push Notification service server certificate update", 2025) and
the next root of its authority: common names, with the hashes by which OpenSSL finds them (`openssl rehash`).
"""
IMPORT = """
import importlib, json, sys
sys.path.insert(0, sys.argv[1])
for handler in json.loads(sys.argv[2]):
    module, _, name = handler.rpartition(".")
    getattr(importlib.import_module(module), name)
for name in json.loads(sys.argv[3]):
    importlib.import_module(name)
"""


class VerificationError(Exception):
    """The zip would not run. The message names the library or function."""


def verify_zip(file: Path, template: Mapping[str, Any]) -> None:
    """Verify a zip against the functions that will run it.

    Args:
        file: the zip to upload.
        template: the SAM template, with the functions' handlers, runtime and architecture.

    Raises:
        VerificationError: a library is missing or for another platform, a root that APNs needs is missing, or a
            function cannot be imported.
    """
    functions = [of["Properties"] for of in template["Resources"].values() if of["Type"] == "AWS::Serverless::Function"]
    architecture = next((of["Architectures"][0] for of in functions if "Architectures" in of), "x86_64")
    runtime = next(of["Runtime"] for of in functions)
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        _libraries(names)
        for name in names:
            if name.endswith(".so"):
                _extension(name, archive.read(name), architecture=architecture, runtime=runtime)
        _roots(names)
        if sys.platform == "linux" and THIS_MACHINE.get(platform.machine()) == architecture:
            _import(archive, [of["Handler"] for of in functions])


def _libraries(names: list[str]) -> None:
    tops = {name.partition("/")[0] for name in names}
    compiled = {name.removesuffix("c") for name in tops if name.endswith(".pyc")}
    missing = [library for library in LIBRARIES if library not in tops | compiled]
    missing += [prefix.rstrip(".") for prefix in BINARIES if not any(top.startswith(prefix) for top in tops)]
    if missing:
        raise VerificationError(
            f"the zip lacks {', '.join(name.removesuffix('.py') for name in missing)}: pip found no wheel for "
            "Lambda's platform. Pin a version that has one in pyproject.toml, then run: make lock"
        )


def _extension(name: str, content: bytes, *, architecture: str, runtime: str) -> None:
    library = name.partition("/")[0].partition(".")[0]
    machine = "another platform"
    if content.startswith(ELF_MAGIC):
        machine = ELF_MACHINES.get(int.from_bytes(content[E_MACHINE], "little"), machine)
    if machine != architecture:
        raise VerificationError(
            f"library {library}: {name} is for {machine}, but the functions run on {architecture} (Linux); "
            "remove .chalice/deployments and vendor/, then run the command again"
        )
    tag = PYTHON_TAG.search(name)
    if tag and (wanted := f"python{tag[1]}.{tag[2]}") != runtime:
        raise VerificationError(
            f"library {library}: {name} is for {wanted}, but the functions run on {runtime}; "
            "remove .chalice/deployments, then run the command again"
        )


def _roots(names: list[str]) -> None:
    if missing := [name for name, hashed in APNS_ROOTS.items() if f"{roots.FOLDER.name}/{hashed}.0" not in names]:
        raise VerificationError(
            f"the zip lacks the root certificate {', '.join(missing)}, without which the functions do not trust APNs: "
            "update certifi (make lock)"
        )


def _import(archive: zipfile.ZipFile, handlers: list[str]) -> None:
    """Import the handlers in a new process that finds only the zip and the standard library."""
    with tempfile.TemporaryDirectory() as folder:
        archive.extractall(folder)
        arguments = [
            folder,
            json.dumps(handlers),
            json.dumps([*_modules(archive.namelist()), *map(_module, LIBRARIES)]),
        ]
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", IMPORT, *arguments],
            env={"AWS_DEFAULT_REGION": "us-east-1", "PATH": os.defpath},
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["the process ended without an error message"])[-1]
        raise VerificationError(f"the functions ({', '.join(handlers)}) cannot be imported from the zip: {said}")


def _modules(names: list[str]) -> Iterator[str]:
    """Return all modules of the service; handlers import many of them only at their first use."""
    for name in names:
        if name.startswith("chalicelib/") and name.endswith(".py"):
            yield _module(name.removesuffix("/__init__.py"))


def _module(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".")

"""The deployed zip: its content is sufficient and minimal, and the same commit results in the same bytes."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from infra.deploy.package import PROJECT, Package, build_package, whole_packages
from infra.deploy.slim import OPERATIONS

MAX_BYTES = 9_000_000
UNCHECKED_HASH = 0b01
"""The flags of a `.pyc` that Python does not compare with its source (PEP 552)."""
pytestmark = pytest.mark.timeout(600)
ELF_MACHINE = {62: "x86_64", 183: "arm64"}
"""`e_machine`: EM_X86_64 and EM_AARCH64."""
IMPORT_ALL = """
import importlib, pathlib, sys
root = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(root))
for path in sorted(root.rglob("*")):
    if path.suffix in (".py", ".pyc", ".so") and "__pycache__" not in path.parts:
        *packages, name = path.relative_to(root).parts
        name = name.partition(".")[0]
        importlib.import_module(".".join([*packages, name] if name != "__init__" else packages))
print(len(sys.modules))
"""


@pytest.fixture
def original(package: Package) -> Path:
    """As Chalice made it."""
    return package.zip_file.with_name("deployment.zip")


@pytest.fixture
def slim(package: Package) -> Path:
    """As it is deployed."""
    return package.zip_file


@pytest.fixture(scope="module")
def for_arm64(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """Packaged for the other architecture, by another person on another day: another folder, dates and umask."""
    folder = tmp_path_factory.mktemp("arm64")
    project = folder / "checkout"
    project.mkdir()
    before = os.umask(0o077)
    try:
        shutil.copytree(PROJECT / "chalicelib", project / "chalicelib", copy_function=shutil.copyfile)
        for name in ("app.py", "requirements.txt"):
            shutil.copyfile(PROJECT / name, project / name)
        shutil.copytree(PROJECT / ".chalice", project / ".chalice", ignore=shutil.ignore_patterns("deployments"))
        config = json.loads((project / ".chalice" / "config.json").read_text())
        config["stages"]["graviton"] = {"api_gateway_stage": "api", "lambda_architecture": "arm64"}
        (project / ".chalice" / "config.json").write_text(json.dumps(config))
        return build_package("graviton", folder / "package", project=project)
    finally:
        os.umask(before)


def test_incomplete_zip_of_a_killed_run_is_built_again(original: Path, tmp_path: Path) -> None:
    """Uses the session's zip in place of a run of Chalice, which takes most of a minute."""
    (torn, whole) = (tmp_path / "torn.zip", tmp_path / "whole.zip")
    torn.write_bytes(original.read_bytes()[:-1000])
    shutil.copyfile(original, whole)
    with whole_packages(tmp_path):
        assert not torn.exists()
        assert whole.exists()


def test_zip_is_small(slim: Path) -> None:
    assert slim.stat().st_size < MAX_BYTES


def test_every_module_imports_from_the_zip_alone(slim: Path, tmp_path: Path) -> None:
    """Without dist-info, site-packages and environment variables: nothing is missing."""
    with zipfile.ZipFile(slim) as archive:
        archive.extractall(tmp_path)
    interpreter = [sys.executable, "-I", "-S", "-B", "-W", "error::ImportWarning"]
    done = subprocess.run([*interpreter, "-c", IMPORT_ALL, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 300


def test_zip_needs_no_compilation_at_cold_start(slim: Path) -> None:
    """Libraries are compiled without sources; the service is compiled and has its sources for tracebacks."""
    with zipfile.ZipFile(slim) as archive:
        names = archive.namelist()
        compiled = [archive.read(name)[:8] for name in names if name.endswith(".pyc")]
    sources = [name for name in names if name.endswith(".py")]
    assert {name.partition("/")[0] for name in sources} == {"app.py", "chalicelib"}
    for source in map(PurePosixPath, sources):
        assert f"{source.parent / '__pycache__' / source.stem}.{sys.implementation.cache_tag}.pyc" in names
    expected = importlib.util.MAGIC_NUMBER + UNCHECKED_HASH.to_bytes(4, "little")
    assert set(compiled) == {expected}


def test_functions_trust_every_root_of_mozilla(original: Path, slim: Path) -> None:
    """Each root is a file with the name that OpenSSL looks for."""
    with zipfile.ZipFile(original) as archive:
        bundle = archive.read("certifi/cacert.pem").decode()
    with zipfile.ZipFile(slim) as archive:
        roots = {name: archive.read(name).decode() for name in archive.namelist() if name.startswith("roots/")}
    assert bundle.count("BEGIN CERTIFICATE") == len(roots) == sum(root.count("BEGIN CERT") for root in roots.values())
    assert all(root in bundle for root in roots.values())


def test_runtime_is_the_python_that_compiled_the_zip(for_arm64: Package) -> None:
    functions = [r for r in for_arm64.template["Resources"].values() if r["Type"] == "AWS::Serverless::Function"]
    expected = f"python{sys.version_info.major}.{sys.version_info.minor}"
    assert functions
    assert {function["Properties"]["Runtime"] for function in functions} == {expected}


def test_zip_contains_only_what_runs(slim: Path) -> None:
    with zipfile.ZipFile(slim) as archive:
        names = archive.namelist()
        services = {name.split("/")[2] for name in names if name.startswith("botocore/data/") and name.count("/") > 2}
        model = json.loads(archive.read("botocore/data/s3/2006-03-01/service-2.json"))
    assert not [name for name in names if "dist-info" in name or "/tests/" in name or name.endswith((".pyi", ".gz"))]
    assert services == set(OPERATIONS)
    assert set(model["operations"]) == OPERATIONS["s3"]


def test_same_commit_results_in_the_same_bytes(slim: Path, for_arm64: Package) -> None:
    """Packaged again with another date, umask and folder, everything but machine code is the same."""
    with zipfile.ZipFile(slim) as ours, zipfile.ZipFile(for_arm64.zip_file) as theirs:
        first, second = (
            [(m.filename, m.date_time, m.external_attr, m.CRC, m.compress_size) for m in archive.infolist() if _text(m)]
            for archive in (ours, theirs)
        )
    assert first == second
    assert len(first) > 300


def test_arm64_package_has_arm64_code(for_arm64: Package, slim: Path) -> None:
    functions = [r for r in for_arm64.template["Resources"].values() if r["Type"] == "AWS::Serverless::Function"]
    assert {tuple(function["Properties"]["Architectures"]) for function in functions} == {("arm64",)}
    assert _machines(slim) == {"x86_64"}
    assert _machines(for_arm64.zip_file) == {"arm64"}
    assert for_arm64.zip_file.stat().st_size < MAX_BYTES


def _text(member: zipfile.ZipInfo) -> bool:
    return not member.filename.endswith(".so")


def _machines(path: Path) -> set[str]:
    """Return the machines of the ELF files in a zip."""
    with zipfile.ZipFile(path) as archive:
        libraries = [archive.read(member) for member in archive.infolist() if not _text(member)]
    assert all(library.startswith(b"\x7fELF") for library in libraries)
    return {ELF_MACHINE[int.from_bytes(library[18:20], "little")] for library in libraries}

"""Tests of what `pip install passwire` and its extras install, and of the command that comes with it."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from infra.__main__ import main

PROJECT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
OURS = {"app", "benchmarks", "chalicelib", "infra", "tests"}
INSTALLED_ELSEWHERE = {"ministack", "aioapns", "django", "django_walletpass", "fastapi", "listing", "mangum"}
"""Modules that the embedded AWS and the benchmarks' peers import: in virtual environments of their own, or, `listing`,
beside the peers."""
NOT_RECORDED = {"zint": "zint-bindings"}
"""Distributions whose metadata does not list the modules that they contain."""


def distributions(*extras: str) -> set[str]:
    """The distributions that pyproject.toml names for the base package and these extras, by normalized name."""
    optional = PYPROJECT["optional-dependencies"]
    found: set[str] = set()
    for text in [*PYPROJECT["dependencies"], *(text for extra in extras for text in optional[extra])]:
        requirement = Requirement(text)
        if requirement.name == "passwire":
            found |= distributions(*requirement.extras)
        else:
            found.add(normalized(requirement.name))
    return found


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported(paths: Iterable[Path]) -> set[str]:
    """The distributions that modules import, wherever in the module; standard library and own packages left out."""
    names: set[str] = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    foreign = names - OURS - INSTALLED_ELSEWHERE - set(sys.stdlib_module_names)
    by_module = packages_distributions()
    return {normalized(by_module.get(name, [NOT_RECORDED.get(name, name)])[0]) for name in foreign}


def modules(*roots: str) -> list[Path]:
    return [path for root in roots for path in sorted((PROJECT / root).rglob("*.py"))]


def pinned(name: str) -> dict[str, set[str]]:
    """The versions that a requirements file pins, by distribution; several where they depend on the Python."""
    versions: dict[str, set[str]] = {}
    for distribution, version in re.findall(r"^([a-z0-9._-]+)==(\S+)", (PROJECT / name).read_text(), re.MULTILINE):
        versions.setdefault(normalized(distribution), set()).add(version)
    return versions


def test_the_functions_import_only_base_dependencies() -> None:
    assert imported([PROJECT / "app.py", *modules("chalicelib")]) <= distributions()


def test_the_command_line_imports_only_its_extra() -> None:
    assert imported(modules("infra")) <= distributions("cli", "bulk")


def test_the_tests_import_only_what_their_extras_install() -> None:
    assert imported(modules("tests", "benchmarks")) <= distributions("test", "bench")


@pytest.mark.parametrize("name", ["pandas", "mypy", "pytest", "ruff", "cfn-lint", "hypothesis"])
def test_deploying_does_not_install_the_tools_of_tests(name: str) -> None:
    assert name not in pinned("requirements-cli.txt")
    assert name in pinned("requirements-dev.txt")


@pytest.mark.parametrize(
    ("name", "extras"),
    [
        ("requirements.txt", ()),
        ("requirements-cli.txt", ("cli", "bulk")),
        ("requirements-dev.txt", tuple(PYPROJECT["optional-dependencies"])),
    ],
)
def test_requirements_files_pin_everything_that_pyproject_names(name: str, extras: tuple[str, ...]) -> None:
    assert distributions(*extras) <= pinned(name).keys()


@pytest.mark.parametrize(
    ("smaller", "larger"),
    [("requirements.txt", "requirements-cli.txt"), ("requirements-cli.txt", "requirements-dev.txt")],
)
def test_installing_the_larger_file_changes_no_version_of_the_smaller(smaller: str, larger: str) -> None:
    assert pinned(smaller) == {name: pinned(larger).get(name) for name in pinned(smaller)}


def test_passwire_is_the_command_line() -> None:
    assert PYPROJECT["scripts"] == {"passwire": f"{main.__module__}:{main.__name__}"}


def test_version_option_prints_the_version_of_pyproject() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "infra", "--version"], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert shown.stdout == f"passwire {PYPROJECT['version']}\n"


def test_command_without_a_checkout_says_so_in_one_sentence(tmp_path: Path) -> None:
    for name in ("chalicelib", "infra"):
        shutil.copytree(PROJECT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run(
        [sys.executable, "-m", "infra", "diff"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "is not a checkout of Passwire; clone the repository" in done.stderr
    assert done.stderr.count("\n") == 1

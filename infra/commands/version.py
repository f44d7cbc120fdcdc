"""`--version`: which version of Passwire this is."""

import tomllib
from importlib import metadata

import typer

from infra.local.processes import PROJECT


def version() -> str:
    """The version number, such as `0.1.0`: the checkout's, or that of an installed package without a checkout."""
    project = PROJECT / "pyproject.toml"
    if not project.exists():
        return metadata.version("passwire")
    return str(tomllib.loads(project.read_text())["project"]["version"])


def print_version(value: bool) -> None:  # noqa: FBT001 - the signature of a Typer callback
    """Print the version and exit with 0, if the option is given."""
    if value:
        print(f"passwire {version()}")
        raise typer.Exit

"""Which version of Passwire this is, and whether it runs from a checkout, which its commands need."""

import tomllib
from importlib import metadata

import typer

from chalicelib.core.errors import PasswireError
from infra.core.terminal import write_line
from infra.local.processes import PROJECT


class CheckoutError(PasswireError):
    """The command line was installed without its checkout."""


def version() -> str:
    """The version number, such as `0.1.0`: the checkout's, or that of an installed package without a checkout."""
    project = PROJECT / "pyproject.toml"
    if not project.exists():
        return metadata.version("passwire")
    return str(tomllib.loads(project.read_text())["project"]["version"])


def print_version(value: bool) -> None:  # noqa: FBT001 - the signature of a Typer callback
    """Print the version and exit with 0, if the option is given."""
    if value:
        write_line(f"passwire {version()}")
        raise typer.Exit


def require_checkout() -> None:
    """Check that the command line runs from a checkout: it packages, deploys and reads files of it.

    Raises:
        CheckoutError: it was installed as a package alone.
    """
    if not (PROJECT / ".chalice" / "config.json").exists():
        raise CheckoutError(
            f"{PROJECT} is not a checkout of Passwire; clone the repository, and install from there with: "
            "pip install -e '.[cli]'"
        )

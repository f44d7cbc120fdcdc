"""Tests of the version."""

import tomllib

import pytest
import typer

from infra.commands.version import print_version, require_checkout, version
from infra.local.processes import PROJECT


def test_version_is_that_of_the_checkout(capsys: pytest.CaptureFixture[str]) -> None:
    expected = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    assert version() == expected
    with pytest.raises(typer.Exit):
        print_version(value=True)
    assert capsys.readouterr().out == f"passwire {expected}\n"


def test_checkout_is_recognized() -> None:
    require_checkout()

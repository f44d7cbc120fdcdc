"""Tests of options of the command line that follow a command."""

import pytest

from infra.commands.lazy import hoisted


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (["outputs", "--region", "eu-west-1", "--json"], ["--region", "eu-west-1", "outputs", "--json"]),
        (["outputs", "--profile=a", "--region", "b"], ["--profile=a", "--region", "b", "outputs"]),
        (["--region", "b", "outputs"], ["--region", "b", "outputs"]),
        (["pass", "show", "--", "--region", "x"], ["pass", "show", "--", "--region", "x"]),
        (["outputs", "--region"], ["--region", "outputs"]),
    ],
)
def test_global_options_are_read_wherever_they_are(given: list[str], read: list[str]) -> None:
    assert hoisted(given) == read

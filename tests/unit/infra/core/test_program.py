"""Tests of the program's name in messages."""

import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.core import program


@pytest.mark.parametrize(
    ("called", "name"),
    [
        ("passwire", "passwire"),
        ("/checkout/infra/__main__.py", "python -m infra"),
        ("/site-packages/pytest/__main__.py", "passwire"),
    ],
)
def test_messages_name_the_program_as_it_was_called(monkeypatch: pytest.MonkeyPatch, called: str, name: str) -> None:
    monkeypatch.setattr("sys.argv", [called])
    assert program.command("cert import", "pass.x", "my file.cer") == f"{name} cert import pass.x 'my file.cer'"
    assert program.renamed("Runs.\n\nExample: passwire up") == f"Runs.\n\nExample: {name} up"


def test_stacks_and_secrets_keep_their_names_in_help_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/checkout/infra/__main__.py"])
    assert program.renamed("the stack passwire-dev, the secret passwire/dev") == (
        "the stack passwire-dev, the secret passwire/dev"
    )


def test_global_options_are_repeated_in_the_command_to_run() -> None:
    with program.called_with(("--profile", "my team")):
        assert program.command("deploy", "--stage", "dev") == "passwire deploy --stage dev --profile 'my team'"
    assert program.command("deploy") == "passwire deploy"


@given(st.lists(st.text(min_size=1)))
def test_a_shell_reads_the_arguments_as_they_were(arguments: list[str]) -> None:
    assert shlex.split(program.command("pass show", *arguments)) == ["passwire", "pass", "show", *arguments]


def test_program_that_is_not_on_the_path_is_named_by_its_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program_file = tmp_path / ".venv" / "bin" / "passwire"
    program_file.parent.mkdir(parents=True)
    program_file.touch(mode=0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [".venv/bin/passwire"])
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert program.command("doctor", "--stage", "dev") == ".venv/bin/passwire doctor --stage dev"
    assert program.name() == "passwire"  # by which shells complete it
    monkeypatch.setenv("PATH", f"/usr/bin:{program_file.parent}")
    assert program.command("doctor", "--stage", "dev") == "passwire doctor --stage dev"

"""Rules for every command: help with an example, --json for data, exit codes, colours, completion."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperCommand, TyperGroup
from typer.testing import CliRunner

from infra.commands import app
from infra.commands.dialogue import Terminal
from infra.deploy.errors import DeployError
from infra.local.processes import PROJECT
from tests.support.command_line import COMMAND, AtTerminal, infra

WITHOUT_DATA = {
    "up": "it runs until Ctrl-C; local.json describes it",
    "demo": "it tells a story to a person",
    "destroy": "it asks, and says what it did",
    "prepare": "it writes Chalice's files and says which",
    "completion": "its output is a shell's",
    "template pull": "it prints a path",
    "push send": "it says that it asked",
}
"""Commands without --json, and why."""
ANSI = "\x1b["


def walk(group: TyperGroup, *names: str) -> Iterator[tuple[str, TyperCommand]]:
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from walk(command, *names, name)
        else:
            assert isinstance(command, TyperCommand)
            yield " ".join((*names, name)), command


ROOT = typer.main.get_command(app)
assert isinstance(ROOT, TyperGroup)
COMMANDS = dict(walk(ROOT))


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_every_command_has_an_example_that_parses(name: str) -> None:
    shown = CliRunner().invoke(app, [*name.split(), "--help"], env={"COLUMNS": "200"}).output
    written = re.search(r"^    Example: (.+)$", str(COMMANDS[name].callback.__doc__), re.MULTILINE)
    assert written, "no example"
    assert f"Example: {written[1]}" in " ".join(shown.split()), "the help mangles it"
    assert f"python -m infra {name}" in written[1]
    if not written[1].startswith("python"):
        return
    arguments = shlex.split(written[1].partition(f"python -m infra {name}")[2])
    given = {argument for argument in arguments if argument.startswith("--")}
    known = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert given <= known


@pytest.mark.parametrize("name", COMMANDS)
def test_help_contains_no_angle_brackets_outside_of_code(name: str) -> None:
    """Markdown would take `<word>` for markup and drop it."""
    options = [getattr(parameter, "help", None) or "" for parameter in COMMANDS[name].params]
    for text in (str(COMMANDS[name].callback.__doc__), *options):
        assert "<" not in re.sub(r"`[^`]*`", "", text)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_with_data_has_json(name: str) -> None:
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert ("--json" in options) != (name in WITHOUT_DATA), WITHOUT_DATA.get(name)


def test_exit_codes_are_in_the_help_and_in_the_reference() -> None:
    help_ = " ".join(CliRunner().invoke(app, ["--help"]).output.split())
    page = (PROJECT / "docs" / "reference" / "cli.md").read_text()
    for code in (0, 1, 2, 3, 130):
        assert re.search(rf"\b{code}\b", help_.partition("Exit codes")[2]), code
        assert f"| {code} |" in page, code


@pytest.mark.parametrize("arguments", [["nonsense"], ["cert", "nonsense"], ["cert", "status", "--nonsense"], ["cert"]])
def test_unknown_command_or_option_exits_with_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, arguments).exit_code == 2


def test_closed_pipe_is_not_an_error() -> None:
    """As in `python -m infra ... | head -1`."""
    command = [*COMMAND, "template", "check", "chalicelib/templates/boarding.pass", "--json"]
    process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.wait(60)


def test_colours_are_printed_to_terminals_without_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = ("template", "check", "nowhere")
    refused = infra(*wrong)
    assert ANSI not in refused.stdout + refused.stderr
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    colourful = AtTerminal("push", "--help")
    colourful.ends()
    assert "\x1b[3" in colourful.shown or "\x1b[1;3" in colourful.shown
    monkeypatch.setenv("NO_COLOR", "1")
    plain = AtTerminal("push", "--help")
    plain.ends()
    assert not re.search(r"\x1b\[(?:\d;)?3\d", plain.shown)


def completed(line: str, *, cwd: Path) -> list[str]:
    """Return bash's completions of a line."""
    script = infra("completion", "bash").stdout
    words = line.split(" ")
    asked = (
        f"{script}\nCOMP_WORDS=({' '.join(shlex.quote(word) for word in words)}); COMP_CWORD={len(words) - 1}\n"
        "$(complete -p passwire | sed 's/.*-F \\([^ ]*\\) .*/\\1/')\n"
        "printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    return subprocess.run(
        ["bash", "--norc", "-c", asked], cwd=cwd, capture_output=True, text=True, check=True, env=dict(os.environ)
    ).stdout.split()


def test_bash_completes_groups_commands_and_options_in_any_folder(tmp_path: Path) -> None:
    assert {"request", "import", "rotate", "status"} == set(completed("passwire cert ", cwd=tmp_path))
    assert completed("passwire cer", cwd=tmp_path) == ["cert"]
    assert "--days" in completed("passwire cert status --d", cwd=tmp_path)


def test_short_name_runs_the_command_line_from_any_folder(tmp_path: Path) -> None:
    folder = PROJECT / "chalicelib" / "templates" / "boarding.pass"
    script = f"{infra('completion', 'bash').stdout}\npasswire template check {folder} --json"
    done = subprocess.run(["bash", "--norc", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert list(json.loads(done.stdout).values()) == [[]]
    assert sys.executable in script


def test_yes_does_not_confirm_what_needs_a_person() -> None:
    """--yes allows ordinary changes, but not those that make phones lose the address of the service."""
    with Terminal(stage="dev", yes=True) as terminal:
        assert terminal.allows("continue?")
        with pytest.raises(DeployError, match="--yes does not confirm this"):
            terminal.confirms("strand 7 phones?")

"""Rules for every command: help with an example, --json for data, exit codes, colours, completion."""

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
from infra.commands.lazy import GLOBAL_OPTIONS
from infra.deploy.errors import DeployError
from infra.local.processes import PROJECT
from infra.local.run import LocalRun
from tests.support.command_line import COMMAND, AtTerminal, infra

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
    called = re.search(rf"\bpasswire {name}\b([^)]*)", written[1])
    assert called
    arguments = shlex.split(called[1])
    given = {argument for argument in arguments if argument.startswith("--")}
    known = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert given <= known | {*GLOBAL_OPTIONS}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_contains_no_angle_brackets_outside_of_code(name: str) -> None:
    """Markdown would take `<word>` for markup and drop it."""
    options = [getattr(parameter, "help", None) or "" for parameter in COMMANDS[name].params]
    for text in (str(COMMANDS[name].callback.__doc__), *options):
        assert "<" not in re.sub(r"`[^`]*`", "", text)


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


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """The environment of a shell that has the program on its path, as `pip install` puts it there."""
    program = tmp_path / "bin" / "passwire"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(PROJECT)!r})\n"
        "from infra.commands import main\nsys.exit(main())\n"
    )
    program.chmod(0o755)
    return {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}


def completed(line: str, *, cwd: Path, installed: dict[str, str]) -> list[str]:
    """Return bash's completions of a line, by the script that `--install-completion` installs."""
    words = line.split(" ")
    asked = (
        f'eval "$(passwire --show-completion)"\nCOMP_WORDS=({" ".join(shlex.quote(word) for word in words)})\n'
        f"COMP_CWORD={len(words) - 1}\n"
        "$(complete -p passwire | sed 's/.*-F \\([^ ]*\\) .*/\\1/') passwire\n"
        "printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    return subprocess.run(
        ["bash", "--norc", "-c", asked], cwd=cwd, capture_output=True, text=True, check=True, env=installed
    ).stdout.split()


def test_bash_completes_groups_commands_and_options_in_any_folder(tmp_path: Path, installed: dict[str, str]) -> None:
    assert {"request", "import", "rotate", "status"} == set(
        completed("passwire cert ", cwd=tmp_path, installed=installed)
    )
    assert completed("passwire cer", cwd=tmp_path, installed=installed) == ["cert"]
    assert "--days" in completed("passwire cert status --d", cwd=tmp_path, installed=installed)


def test_bash_completes_stages_templates_and_pass_types(
    stack: LocalRun, tmp_path: Path, installed: dict[str, str]
) -> None:
    def offered(line: str) -> list[str]:
        return completed(line, cwd=tmp_path, installed=installed)

    assert stack.stage in offered("passwire doctor --stage ")
    assert stack.stage in offered("passwire -s ")
    assert "boarding" in offered(f"passwire pass issue --stage {stack.stage} --template b")
    assert stack.pass_type_identifier in offered(f"passwire -s {stack.stage} pass list --type ")
    assert stack.pass_type_identifier in offered(f"passwire cert status --stage {stack.stage} pass.")
    assert offered("passwire pass issue --stage no-such-stage --template ") == []


def test_name_of_the_installed_program_is_in_help_and_messages(tmp_path: Path, installed: dict[str, str]) -> None:
    for command, name in ((["passwire"], "passwire"), ([sys.executable, "-m", "infra"], "python -m infra")):
        cwd = tmp_path if name == "passwire" else PROJECT
        shown = subprocess.check_output([*command, "stages", "--help"], cwd=cwd, env=installed, text=True)
        assert f"Usage: {name} stages" in shown
        assert f"Example: {name} stages" in shown


def test_yes_does_not_confirm_what_needs_a_person() -> None:
    """--yes allows ordinary changes, but not those that make phones lose the address of the service."""
    with Terminal(stage="dev", yes=True) as terminal:
        assert terminal.allows("continue?")
        with pytest.raises(DeployError, match="--yes does not confirm this"):
            terminal.confirms("strand 7 phones?")

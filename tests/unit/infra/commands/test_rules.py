"""Rules for every command, tested on each: a command that is added is tested here too."""

import io
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from typer.testing import CliRunner

from chalicelib.aws.templates import read_folder
from chalicelib.core.errors import PasswireError
from infra.commands import app, main
from infra.local.processes import PROJECT
from infra.operate.templates.folder import zipped_folder
from tests.support.reference import command_tree, confirmation, exit_codes

TREE = command_tree()
WITHOUT_JSON = {"up": "it runs until Ctrl-C", "demo": "it shows a timeline"}
"""Commands without --json, and why."""
PASS = "pass.com.acme.boarding/1"
TEMPLATE = "chalicelib/templates/boarding.pass"
ARGUMENTS: dict[str, list[str]] = {
    "backup": ["--to", "b.gz"],
    "restore": ["--from", "b.gz"],
    "events replay": ["--since", "2h"],
    "cert request": ["pass.com.acme.boarding"],
    "cert import": ["pass.com.acme.boarding", "README.md"],
    "cert rotate": ["pass.com.acme.boarding", "README.md"],
    "keys revoke": ["1"],
    "template check": [TEMPLATE],
    "template push": [TEMPLATE],
    "template pull": ["boarding"],
    "template rollback": ["boarding"],
    "template delete": ["boarding"],
    "image put": ["x.png"],
    "push send": [PASS],
    "push stop": ["--type", "pass.com.acme.boarding", "--drop"],
    "push resume": ["--type", "pass.com.acme.boarding"],
    "pass issue": [PASS, "--template", "boarding"],
    "pass link": [PASS],
    "pass update": [PASS, "--field", "gate=B22"],
    "pass void": [PASS],
    "pass unvoid": [PASS],
    "pass show": [PASS],
    "pass delete": [PASS],
    "pass import": ["README.md"],
    "pass export": ["x.csv"],
    "pass history": [PASS],
}
"""Required arguments of each command, beside the stage."""


def options(name: str) -> set[str]:
    return {option for parameter in TREE[name].params for option in parameter.opts}


WITH_STAGE = [name for name in TREE if "-s" in options(name)]
ASKING_OF_WHAT_THERE_IS = {"pass delete", "push removals accept", "ci github"}
"""They ask only if there is something to delete or to replace; they have tests of their own."""
ALWAYS_ASKING = [name for name in TREE if confirmation(TREE[name]) == "always" and name not in ASKING_OF_WHAT_THERE_IS]


@pytest.fixture(autouse=True)
def _no_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Remove credentials, region and stage from the environment: no command reaches AWS."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "PASSWIRE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


def run(name: str, *more: str) -> tuple[int, str]:
    """Run a command with the arguments that it needs; returns its exit code and what it printed."""
    done = CliRunner().invoke(app, [*name.split(), *ARGUMENTS.get(name, []), *more])
    return done.exit_code, " ".join(re.sub(r"[│╭╮╰╯─]", " ", done.output).split())


def test_every_command_has_json() -> None:
    assert {name for name in TREE if "--json" not in options(name)} == set(WITHOUT_JSON)


@pytest.mark.parametrize("name", WITH_STAGE)
def test_invalid_stage_ends_with_2_before_anything_is_done(name: str) -> None:
    code, shown = run(name, "--stage=No Stage")
    assert code == 2
    assert "24 lower case letters" in shown
    assert "'No Stage'" in shown


@pytest.mark.parametrize("value", ["", "-x", "a" * 25, "é"])
def test_stage_that_cannot_exist_is_refused(value: str) -> None:
    code, shown = run("doctor", f"--stage={value}")
    assert code == 2
    assert "24 lower case letters" in shown


@pytest.mark.parametrize("name", WITH_STAGE)
def test_stage_of_the_environment_and_of_the_command_line_itself_is_used(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("PASSWIRE_STAGE", "Of The Environment")
    assert "Of The" in run(name)[1]
    done = CliRunner().invoke(app, ["-s", "Before", *name.split(), *ARGUMENTS.get(name, [])])
    assert done.exit_code == 2
    assert "'Before'" in done.output


FOLDERS = {
    ("up", "folder"): "it keeps data",
    ("demo", "folder"): "it keeps data",
    ("phones", "folder"): "it keeps data",
    ("env", "folder"): "it keeps data",
    ("package", "out"): "several files",
    ("ci github", "out"): "several files",
    ("template new", "into"): "a folder to edit",
}
"""Parameters that name a folder, which `-` cannot be, and why."""
REPLACING = {
    "cert request": "its file is compared",
    "backup": "it never replaces a file",
    "template pull": "it never replaces a folder",
    "image put": "it writes no file",
}
"""Commands with `-` and without --overwrite, beside those that only read."""


def takes_path(hint: object) -> bool:
    return hint is Path or any(map(takes_path, get_args(hint)))


PATHS = [
    (name, parameter.name)
    for name, command in TREE.items()
    for parameter in command.params
    if takes_path(get_type_hints(command.callback)[str(parameter.name)])
]


def test_parameters_with_paths_are_found() -> None:
    assert {("simulate", "output"), ("cert import", "files"), ("template push", "folder")} < set(PATHS)
    assert set(FOLDERS) < set(PATHS)


@pytest.mark.parametrize(("name", "parameter"), [each for each in PATHS if each not in FOLDERS])
def test_every_file_can_be_standard_input_or_output(name: str, parameter: str) -> None:
    (found,) = (each for each in TREE[name].params if each.name == parameter)
    help_ = str(getattr(found, "help", ""))
    assert re.search("- for .*standard (input|output)", help_)
    if "output" in help_.partition("- for")[2] and name not in REPLACING:
        assert "--overwrite" in options(name)


@pytest.mark.parametrize(
    "arguments",
    [
        ["cert", "import", "pass.com.acme.boarding", "-"],
        ["template", "check", "-"],
        ["template", "push", "-", "--stage", "dev"],
        ["template", "preview", "-"],
        ["schema", "-"],
    ],
    ids=" ".join,
)
def test_what_standard_input_lacks_is_one_sentence(arguments: list[str]) -> None:
    done = CliRunner().invoke(app, arguments, input=b"neither")
    assert isinstance(done.exception, PasswireError)
    assert str(done.exception).startswith("standard input: ")


@pytest.mark.parametrize("top", ["boarding.pass", "boarding.pkpasstemplate"])
def test_template_is_read_from_a_zip_on_standard_input(top: str) -> None:
    data = zipped_folder(top, read_folder(Path(TEMPLATE)))
    done = CliRunner().invoke(app, ["template", "check", "-"], input=data)
    assert (done.exit_code, done.output) == (0, "-: no problems found\n")
    shown = CliRunner().invoke(app, ["template", "preview", "-", "--output", "-"], input=data)
    assert shown.stdout.startswith("<!DOCTYPE html>")
    schema = CliRunner().invoke(app, ["schema", "-"], input=data)
    assert '"gate"' in schema.stdout


def test_template_on_standard_input_has_one_folder() -> None:
    files = read_folder(Path(TEMPLATE))
    for top in ("boarding.pass/more", "..", "a\\..\\b.pass", "boarding"):
        done = CliRunner().invoke(app, ["template", "check", "-"], input=zipped_folder(top, files))
        assert done.exit_code, top


def test_preview_reads_an_item_from_standard_input() -> None:
    arguments = ["template", "preview", TEMPLATE, "--item", "-", "--output", "-"]
    assert "Z99" in CliRunner().invoke(app, arguments, input='{"fields": {"gate": "Z99"}}').stdout


@pytest.mark.parametrize("arguments", [["template", "check", TEMPLATE], ["template", "preview", TEMPLATE]])
def test_template_is_checked_without_aws_unless_a_stage_is_named(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    assert CliRunner().invoke(app, arguments).exit_code == 0
    if "check" in arguments:
        for way in (["-s", "dev", *arguments], [*arguments, "-s", "dev"]):
            assert "no AWS region" in str(CliRunner().invoke(app, way).exception)
        monkeypatch.setenv("PASSWIRE_STAGE", "dev")
        assert "no AWS region" in str(CliRunner().invoke(app, arguments).exception)


@pytest.mark.parametrize("name", ALWAYS_ASKING)
def test_command_that_always_asks_is_refused_without_a_terminal(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Before AWS is asked."""
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    code, shown = run(name, "--stage", "dev")
    assert code == 2
    assert "confirmation needs a terminal; without one, add --yes" in shown


def test_commands_with_a_dry_run_also_ask() -> None:
    assert [name for name in TREE if "--dry-run" in options(name) and not confirmation(TREE[name])] == []


def test_help_names_exit_codes_other_than_0_and_1() -> None:
    assert {name: codes for name in TREE if (codes := exit_codes(TREE[name])) != [0, 1]} == {"diff": [0, 1, 3]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--profile", "no-such", "stages"], "has no profile 'no-such'"),
        (["stages", "--profile", "no-such"], "has no profile 'no-such'"),
        (["stages", "--region", "Frankfurt"], "'Frankfurt' is not a region"),
        (["logs", "--since", "yesterday"], "'yesterday' is not a moment"),
        (["pass", "history", PASS, "--since", "5"], "'5' is not a moment"),
        (["push", "send", "--changed-since", "x"], "'x' is not a moment"),
        (["pass", "history", "no-slash"], "must be <passTypeIdentifier>/<serialNumber>"),
        (["push", "send", "no-slash"], "must be <passTypeIdentifier>/<serialNumber>"),
        (["pass", "update", PASS, "--unset", "overrides."], "names no value"),
        (["pass", "update", PASS, "--unset", "attributes.pass_id"], "every item must have it"),
        (["pass", "show", ""], "a key has 1 to 2,048 bytes"),
        (["cert", "status", "boarding"], "not a valid pass type identifier"),
        (["backup", "--to", "s3://bucket"], "not an S3 object"),
        (["restore", "--from", "s3://bucket", "--yes"], "not an S3 object"),
        (["deploy", "--set", "nonsense", "--yes"], "give NAME=VALUE"),
        (["diff", "--web-service-url", "http://x"], "https"),
        (["destroy", "--yes"], "name the stage"),
        (["template", "pull", "../x"], "is not a template name"),
        (["pass", "import", "x.csv", "--type", "no slash/"], "not a valid pass type identifier"),
        (["pass", "import", "x.csv", "--map", "nonsense"], "is not a mapping"),
        (["pass", "import", "x.xls"], "save it as .xlsx"),
        (["pass", "export", "x.xlsx"], "must end in one of .csv, .jsonl, .parquet"),
        (["pass", "import", "-", "--format", "pdf"], "must end in one of"),
        (["pass", "issue", "--type", "BAD", "--template", "boarding"], "not a valid pass type identifier"),
        (["pass", "issue", PASS, "--template", "../x"], "is not a template name"),
        (["pass", "import", "x.csv", "--template", "../x"], "is not a template name"),
        (["pass", "list", "--type", "BAD"], "not a valid pass type identifier"),
        (["pass", "list", "--template", "../x"], "is not a template name"),
        (["pass", "link", "--all", "--type", "BAD", "--output", "x.csv"], "not a valid pass type identifier"),
        (["push", "stop", "--type", "BAD", "--drop", "--yes"], "not a valid pass type identifier"),
        (["push", "resume", "--type", "BAD"], "not a valid pass type identifier"),
        (["push", "removals", "discard", "--type", "BAD"], "not a valid pass type identifier"),
        (["simulate", "--phones", "9", "--set", "X=1"], "give NAME=VALUE"),
        (["env", "No Stage"], "24 lower case letters"),
        (["-s", "No Stage", "env"], "24 lower case letters"),
        (["up", "--port", "65536"], "65535"),
        (["template", "push", TEMPLATE, "--rate", "0", "--stage", "dev"], "0.1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_invalid_value_ends_with_2_and_is_named(arguments: list[str], message: str) -> None:
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "300"})
    assert done.exit_code == 2, done.output
    assert message in done.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pass", "import", "no-such.csv"], "no-such.csv: no such file"),
        (["pass", "export", "no-such-folder/x.csv"], "there is no folder no-such-folder"),
        (["pass", "export", "README.md/x.csv"], "there is no folder README.md"),
        (["template", "check", "no-such.pass"], "not a template"),
        (["image", "put", "no-such.png", "--stage", "dev"], "no-such.png: no such file"),
        (["cert", "import", "pass.com.acme.boarding", "infra", "--stage", "dev"], "is a folder; give a file"),
        (["template", "pull", "boarding", "--into", "no-such-folder"], "there is no such folder"),
        (["simulate", "--phones", "9", "--output", "no-such-folder/x.svg"], "there is no folder no-such-folder"),
        (["stats", "--plot", "no-such-folder/x.svg"], "there is no folder no-such-folder"),
        (["ci", "github", "--repository", "acme", "--stage", f"dev={'1' * 12}"], "repository 'acme'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_invalid_path_ends_with_2_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    monkeypatch.setattr("sys.argv", ["passwire", *arguments])
    assert main() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line


@pytest.mark.parametrize("option", ["--install-completion", "--show-completion"])
def test_completion_needs_the_name_of_the_installed_program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    monkeypatch.setattr("sys.argv", ["/checkout/infra/__main__.py", option])
    assert main() == 2
    assert "call it passwire" in capsys.readouterr().err


def test_table_that_does_not_fit_becomes_blocks(capsys: pytest.CaptureFixture[str]) -> None:
    done = CliRunner().invoke(app, ["cost", "--devices", "1", "--updates-per-day", "1"], env={"COLUMNS": "60"})
    assert done.exit_code == 0
    assert max(map(len, done.output.splitlines())) <= 60
    assert capsys.readouterr().err == ""


def test_ctrl_c_while_the_command_line_is_loaded_ends_with_130_and_without_a_traceback() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "infra", "stages"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=PROJECT) as loading:
        assert loading.stderr is not None
        printed = []
        for line in loading.stderr:
            printed.append(line)
            if "typer" in line:
                loading.send_signal(signal.SIGINT)
    assert loading.returncode == 130
    assert "Traceback" not in "".join(printed)

"""Tests of commands for a stage that does not exist, or without credentials: each answers in one sentence."""

from collections.abc import Callable
from pathlib import Path

import pytest

from infra.commands import main
from infra.local.run import LocalRun
from tests.support.aws_stand_in import aws_environment

STAGE = "no-such-stage"
PASS = "pass.com.acme.boarding/1"
COMMANDS = [
    ["pass", "issue", PASS, "--template", "boarding"],
    ["pass", "link", PASS],
    ["pass", "update", PASS, "--field", "gate=B22"],
    ["pass", "show", PASS],
    ["pass", "list"],
    ["pass", "delete", PASS, "--yes"],
    ["pass", "import", "passes.csv"],
    ["pass", "export", "exported.csv"],
    ["pass", "history", PASS],
    ["template", "push", "chalicelib/templates/boarding.pass"],
    ["template", "pull", "boarding"],
    ["template", "list"],
    ["image", "put", "icon.png"],
    ["cert", "status"],
    ["push", "status"],
    ["push", "redrive"],
    ["push", "send", PASS],
    ["push", "removals"],
    ["backup", "--to", "backup.gz"],
    ["restore", "--from", "backup.gz", "--yes"],
    ["doctor"],
    ["logs"],
]
each_command = pytest.mark.parametrize("command", COMMANDS, ids=[" ".join(command[:2]) for command in COMMANDS])


@pytest.fixture
def error_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[[list[str]], str]:
    """Runs a command for the missing stage in a folder with some files; returns the last line on standard error."""
    template = Path("chalicelib/templates/boarding.pass").resolve()
    (tmp_path / "chalicelib" / "templates").mkdir(parents=True)
    (tmp_path / "chalicelib" / "templates" / "boarding.pass").symlink_to(template)
    (tmp_path / "passes.csv").write_text("serial_number\n1\n")
    (tmp_path / "icon.png").write_bytes((template / "icon.png").read_bytes())
    monkeypatch.chdir(tmp_path)

    def run(command: list[str]) -> str:
        monkeypatch.setattr("sys.argv", ["infra", *command, "--stage", STAGE])
        assert main() == 1
        printed = capsys.readouterr()
        assert printed.out == ""
        assert "Traceback" not in printed.err
        return printed.err.splitlines()[-1]

    return run


@each_command
def test_missing_stage_is_reported_in_one_sentence(
    stack: LocalRun, error_of: Callable[[list[str]], str], command: list[str]
) -> None:
    assert stack
    message = error_of(command)
    assert message.startswith("error: ")
    assert STAGE in message


@pytest.mark.parametrize(
    "command",
    [command for command in COMMANDS if command != ["cert", "status"]],  # tested in a process of its own, with `cert`
    ids=" ".join,
)
def test_missing_credentials_are_reported_in_one_sentence(
    error_of: Callable[[list[str]], str], tmp_path: Path, command: list[str]
) -> None:
    values = {
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
    }
    with aws_environment(values):
        assert error_of(command).startswith("error: no AWS credentials")

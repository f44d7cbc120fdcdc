"""Tests of `template check`: exit codes, findings as JSON, and folders with invalid names."""

import json
from pathlib import Path

import pytest

from tests.stack.infra.operate.templates.template_commands import break_, make, run
from tests.support import samples


def test_check_ends_with_1_if_there_is_an_error_and_else_with_0(folder: Path) -> None:
    done = run("check", folder)
    assert (done.exit_code, done.stdout.count("no problems found")) == (0, 1)
    break_(folder)
    done = run("check", folder)
    assert done.exit_code == 1
    assert "error: icon.png: is not a PNG; export it as one" in done.stdout


def test_findings_are_printed_as_json(folder: Path) -> None:
    break_(folder)
    done = run("check", folder, "--json")
    assert json.loads(done.stdout)[str(folder)] == [
        {"severity": "error", "file": "icon.png", "path": "", "problem": "is not a PNG; export it as one", "source": ""}
    ]


@pytest.mark.parametrize("wrong", ["a b", "x" * 65, "ä"])
def test_folder_with_an_invalid_template_name_is_refused(tmp_path: Path, wrong: str) -> None:
    folder = make(tmp_path / f"{wrong}.pass", samples.files_of("generic"))
    for command in ("check", "preview", "push"):
        assert "is not a valid template name: rename it" in str(run(command, folder).exception)

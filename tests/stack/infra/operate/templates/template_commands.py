"""Runs `template` commands, and makes the folders that they take."""

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from infra.commands import app


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["template", *map(str, arguments)])


def make(folder: Path, files: dict[str, bytes]) -> Path:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def break_(folder: Path) -> None:
    (folder / "icon.png").write_bytes(b"GIF89a")


def revision_in(result: Result) -> str:
    assert result.exit_code == 0, result.output
    revision: str = json.loads(result.stdout.splitlines()[-1])["revision"]
    return revision

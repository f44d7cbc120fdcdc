"""The tutorial's part on this machine, run from its text against the deployed local run."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from infra.local.processes import PROJECT
from infra.local.run import LocalRun

PAGE = (PROJECT / "docs" / "tutorial.md").read_text()
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PASS_ID = "pass.dev.passwire.boarding/TUTORIAL-1"
TEMPLATE = "my-flight"


def section(number: int) -> str:
    """The text of a numbered section."""
    return re.split(r"^## \d+\. ", PAGE, flags=re.MULTILINE)[number]


def run(number: int, folder: Path) -> str:
    """Run the blocks of a section in order, in a folder that looks like the checkout; what they print."""
    shown = ""
    for language, block in BLOCK.findall(section(number)):
        command = [sys.executable, "-c", block]
        if language == "sh":
            tool = shlex.join([sys.executable, "-P", "-m", "infra"])
            command = ["sh", "-ec", f'passwire() {{ {tool} "$@"; }}\n{block.replace("make demo", "true")}']
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, f"{block}\n{done.stderr}"
        shown += done.stdout
    return shown


@pytest.fixture
def checkout(stack: LocalRun, tmp_path: Path) -> Iterator[Path]:
    """A folder in which the tutorial's commands find the packaged templates; what they make in the stage is removed."""
    assert stack.stage == "local"
    (tmp_path / "chalicelib").symlink_to(PROJECT / "chalicelib")
    yield tmp_path
    boto3.resource("dynamodb").Table(stack.tables["passes"]).delete_item(Key={"pass_id": PASS_ID})
    boto3.resource("s3").Bucket(stack.templates_bucket).objects.filter(Prefix=f"templates/{TEMPLATE}/").delete()


def test_tutorial_on_this_machine(checkout: Path) -> None:
    assert "no problems found" in run(2, checkout)
    assert "A7" in run(3, checkout)
    assert "updated" in run(4, checkout)

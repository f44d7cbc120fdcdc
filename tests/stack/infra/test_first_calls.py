"""Modules that a cold start loads: each function from the zip, with its first event and the local run's services."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from app import GARBAGE_COLLECTION_THRESHOLD
from benchmarks.cold import PROGRAMS
from infra.local.processes import PROJECT
from infra.local.run import LocalRun
from tests.support.first_events import Calls, environment, first_calls

SIGNING = (
    "cryptography",
    "orjson",
    "chalicelib.passes.signing",
    "chalicelib.aws.templates",
    "chalicelib.passes.rendering",
)
PUSHING = ("h2", "hpack", "jwt", "chalicelib.apns")
SHOWING = ("jinja2", "zint", "chalicelib.preview")
CHANGING = (
    "chalicelib.passes.item",
    "chalicelib.updates.changes",
    "chalicelib.updates.events",
    "chalicelib.updates.push_tasks",
    "chalicelib.updates.removals",
)
NEVER = ("boto3", "s3transfer", "httpx", "infra")
NOT_NEEDED = {
    "register": (*SIGNING, *PUSHING, *CHANGING, *SHOWING, *NEVER),
    "list": (*SIGNING, *PUSHING, *SHOWING, *NEVER, "chalicelib.aws.secrets", "chalicelib.aws.queue"),
    "download": (
        *PUSHING,
        *SHOWING,
        *NEVER,
        "chalicelib.aws.queue",
        "chalicelib.updates.events",
        "chalicelib.updates.push_tasks",
    ),
    "link": ("h2", "hpack", "chalicelib.apns", *NEVER, "chalicelib.aws.queue"),
    "push": (
        *SHOWING,
        *NEVER,
        "chalicelib.passes.signing",
        "chalicelib.flows.push_worker",
        "chalicelib.updates.events",
        "chalicelib.updates.recent",
    ),
    "push_worker": (
        *SHOWING,
        *NEVER,
        "chalicelib.passes.signing",
        "chalicelib.aws.templates",
        "chalicelib.flows.change",
    ),
    "publish_events": (
        *SIGNING,
        *PUSHING,
        *SHOWING,
        *NEVER,
        "chalicelib.aws.secrets",
        "chalicelib.flows.push_worker",
    ),
    "check_certificates": (*PUSHING, *SHOWING, *NEVER, "chalicelib.aws.templates", "chalicelib.aws.queue"),
}


@pytest.fixture(scope="module")
def calls(stack: LocalRun) -> dict[str, Calls]:
    return first_calls(stack)


@pytest.fixture(scope="module")
def unpacked(stack: LocalRun, stack_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked zip of the deployment."""
    assert stack
    folder: Path = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(stack_folder / "package" / "functions.zip") as archive:
        archive.extractall(folder)
    return folder


@pytest.mark.parametrize("name", NOT_NEEDED)
def test_function_loads_only_the_modules_that_it_needs(
    stack: LocalRun, calls: dict[str, Calls], unpacked: Path, tmp_path: Path, name: str
) -> None:
    called = calls[name]
    events = tmp_path / "events.json"
    events.write_text(json.dumps(called.events))
    program = [sys.executable, "-I", "-S", "-B", str(PROGRAMS / "first_call.py"), str(unpacked), "app"]
    done = subprocess.run(
        [*program, called.handler, str(events)],
        env=environment(stack, called.function),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert (result["answer"] or {}).get("statusCode", 200) in (200, 201)
    loaded = [module for module in result["modules"] if module.startswith(tuple(f"{n}." for n in NOT_NEEDED[name]))]
    assert loaded + [module for module in result["modules"] if module in NOT_NEEDED[name]] == []


def test_garbage_collection_is_tuned_before_the_imports() -> None:
    program = """
import gc, sys

class Finder:
    @staticmethod
    def find_spec(name, *_):
        if name == "chalice":
            print(gc.get_threshold()[0])

sys.meta_path.insert(0, Finder)
import app
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert int(done.stdout) == GARBAGE_COLLECTION_THRESHOLD

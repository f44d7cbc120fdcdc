"""What a cold start loads: each function, from the zip alone, with its first event, against the stack's services."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from infra.local.stack import LocalStack
from tests.benchmarks.cold import PROGRAMS
from tests.first_events import Calls, environment, first_calls

SIGNING = ("cryptography", "orjson", "chalicelib.signing", "chalicelib.template_store", "chalicelib.domain.rendering")
PUSHING = ("h2", "hpack", "jwt", "chalicelib.apns")
SHOWING = ("jinja2", "zint", "chalicelib.picture")
NEVER = ("boto3", "s3transfer", "httpx", "infra")
NOT_NEEDED = {
    "register": (*SIGNING, *PUSHING, *SHOWING, *NEVER),
    "list": (*SIGNING, *PUSHING, *SHOWING, *NEVER, "chalicelib.secrets", "chalicelib.queue"),
    "download": (*PUSHING, *SHOWING, *NEVER, "chalicelib.queue"),
    "link": ("h2", "hpack", "chalicelib.apns", *NEVER, "chalicelib.queue"),
    "push": (*SHOWING, *NEVER, "chalicelib.signing", "chalicelib.flows.drain"),
    "drain": (*SHOWING, *NEVER, "chalicelib.signing", "chalicelib.template_store", "chalicelib.flows.change"),
    "watch": (*PUSHING, *SHOWING, *NEVER, "chalicelib.template_store", "chalicelib.queue"),
}


@pytest.fixture(scope="module")
def calls(stack: LocalStack) -> dict[str, Calls]:
    return first_calls(stack)


@pytest.fixture(scope="module")
def unpacked(stack: LocalStack, stack_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zip that is deployed."""
    assert stack
    folder: Path = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(stack_folder / "package" / "functions.zip") as archive:
        archive.extractall(folder)
    return folder


@pytest.mark.parametrize("name", NOT_NEEDED)
def test_a_function_loads_only_what_it_needs(
    stack: LocalStack, calls: dict[str, Calls], unpacked: Path, tmp_path: Path, name: str
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

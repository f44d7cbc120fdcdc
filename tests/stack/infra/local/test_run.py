"""`make up` and `make demo`, as a person at a terminal uses them."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import boto3
import httpx
import psutil
import pytest

from chalicelib.core.identifiers import PassId
from infra.deploy.package import Package
from infra.local.demo import run_demo
from infra.local.phone import PKPASS, SAFARI, Phone
from infra.local.processes import PROJECT, free_port
from infra.local.run import LocalRun, local_run
from infra.operate.passes.links import Links
from infra.stage.stage import Stage
from tests.support.command_line import COMMAND
from tests.support.eventually import eventually
from tests.support.shared_package import with_package

ISSUED = "created a development certificate for pass type pass.com.acme.tickets"
START_SECONDS = 60


class Up:
    """Runs `python -m infra up` in a process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [*COMMAND, "up", "--folder", str(folder)], cwd=PROJECT, stdout=subprocess.PIPE, text=True
        )
        self.printed: list[str] = []

    def is_ready(self) -> LocalRun:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.printed.append(line)
            if "Ctrl-C" in line:
                running = LocalRun.read(self.folder)
                assert running is not None
                return running
        pytest.fail(f"it ended: {self.printed}")

    def started(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


@pytest.fixture
def up(tmp_path: Path, local_package: Package) -> Iterator[Up]:
    run = Up(with_package(local_package, tmp_path / "local"))
    yield run
    if run.process.poll() is None:
        run.process.terminate()
        run.process.wait(30)


def test_up_can_be_used_from_outside_and_ctrl_c_ends_all_processes(up: Up) -> None:
    stack = up.is_ready()
    assert httpx.post(f"{stack.api_url}/v1/log", json={"logs": []}).status_code == 200
    assert httpx.get(f"{stack.apns_control_url}/pushes").json() == []
    assert Path(stack.ca_file).is_file()
    assert all(Path(path).is_file() for path in stack.certificates.values())
    printed = "".join(up.printed)
    assert stack.api_url in printed
    assert stack.apns_url in printed

    second = subprocess.run(
        [*COMMAND, "up", "--folder", str(up.folder)], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert second.returncode == 1
    assert re.fullmatch(r"error: a local run is active in .* already; stop it, or .*\n", second.stderr), second.stderr

    started = up.started()
    assert started
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(30) == 130
    _, alive = psutil.wait_procs(started, timeout=10)
    assert not alive
    assert not (up.folder / "local.json").exists()


def is_stamped(stack: LocalRun, pass_id: str, revision: int) -> bool:
    versions = boto3.resource("dynamodb").Table(stack.tables["versions"])
    return bool(versions.get_item(Key={"pass_id": pass_id}).get("Item", {}).get("revision") == revision)


@pytest.mark.timeout(360)
def test_run_keeps_its_ports_its_data_and_its_certificates(tmp_path: Path, local_package: Package) -> None:
    with_package(local_package, tmp_path)
    pass_id = "pass.com.acme.tickets/KEPT-1"
    said: list[str] = []
    descriptions = []
    packaged_at = []
    for _ in range(2):
        with local_run(tmp_path, on_progress=said.append, any_pass_type=True) as stack:
            stack.use()
            descriptions.append(stack)
            packaged_at.append((tmp_path / "package" / "functions.zip").stat().st_mtime_ns)
            passes = boto3.resource("dynamodb").Table(stack.tables["passes"])
            revision = len(descriptions)
            if revision == 2:
                assert passes.get_item(Key={"pass_id": pass_id})["Item"]["fields"] == {"gate": "1"}
            fields = {"gate": str(revision)}
            passes.put_item(Item={"pass_id": pass_id, "template": stack.template, "fields": fields})
            eventually(partial(is_stamped, stack, pass_id, revision), "the stamp")
            link = Links(Stage.open(stack.stage)).make([PassId.parse(pass_id)], lifetime=timedelta(hours=1))
            phone = Phone()
            assert phone.opens(link.url) == 201
            phone.close()
    assert descriptions[0] == descriptions[1]
    assert said.count(ISSUED) == 1
    assert packaged_at[0] == packaged_at[1]
    assert not [line for line in said if "warning" in line or "role" in line]
    with local_run(tmp_path, on_progress=said.append, fresh=True) as stack:
        stack.use()
        assert stack.aws_endpoint_url == descriptions[0].aws_endpoint_url
        assert boto3.resource("dynamodb").Table(stack.tables["passes"]).scan()["Items"] == []


def test_environment_of_the_run_configures_other_programs(up: Up) -> None:
    up.is_ready()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    exports = subprocess.run(
        [*COMMAND, "env", "local", "--folder", str(up.folder)],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    example = (PROJECT / "README.md").read_text().partition("```python\n")[2].partition("```")[0]
    done = subprocess.run(
        ["bash", "-ec", f'{exports}\n"{sys.executable}" -c "$1"', "bash", example],
        env={**environment, "AWS_PROFILE": "no-such-profile"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    described = subprocess.run(
        [*COMMAND, "env", "local", "--json", "--folder", str(up.folder)],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    serves_the_api_by_chalice_local({**environment, **json.loads(described)})


def serves_the_api_by_chalice_local(environment: dict[str, str]) -> None:
    """`chalice local` serves the API of the checkout with the data of the run."""
    port = free_port()
    chalice = Path(sys.executable).with_name("chalice")
    serving = subprocess.Popen([chalice, "local", "--port", str(port), "--no-autoreload"], cwd=PROJECT, env=environment)
    try:
        pass_id = "pass.com.acme.boarding/7K2M9Q"  # of the example
        url = f"http://127.0.0.1:{port}"

        def is_serving() -> bool:
            try:
                return httpx.post(f"{url}/v1/log", json={"logs": ["by chalice local"]}).status_code == 200
            except httpx.TransportError:
                return False

        eventually(is_serving, "the answer of chalice local")
        assert httpx.get(f"{url}/v1/passes/{pass_id}").status_code == 401
        make_link = [*COMMAND, "pass", "link", pass_id, "--stage", "local"]
        link = subprocess.run(
            make_link, cwd=PROJECT, env=environment, capture_output=True, text=True, check=True
        ).stdout
        opened = httpx.get(f"{url}/p/{link.strip().rpartition('/')[2]}", headers={"User-Agent": SAFARI})
        assert (opened.status_code, opened.headers["Content-Type"]) == (200, PKPASS)
    finally:
        serving.terminate()
        serving.wait(30)


def test_killed_run_ends_all_processes(up: Up) -> None:
    up.is_ready()
    started = up.started()
    up.process.kill()
    _, alive = psutil.wait_procs(started, timeout=20)
    assert not alive
    assert (up.folder / "local.json").exists()
    assert LocalRun.read(up.folder) is None


def test_port_in_use_is_reported_in_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [*COMMAND, "up", "--folder", str(tmp_path), "--port", str(port)],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == f"error: port {port} is in use; stop what listens there or choose another with --port\n"


def test_full_disk_is_reported_in_one_sentence(tmp_path: Path) -> None:
    """The zip does not fit: a limit of a megabyte per file fails as a full disk does."""
    done = subprocess.run(
        ["bash", "-c", 'ulimit -f 1000; exec "$@"', "bash", *COMMAND, "up", "--folder", str(tmp_path)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert re.fullmatch(r"error: .*File too large.*\n", done.stderr), done.stderr
    assert LocalRun.read(tmp_path) is None


def test_demo_prints_the_loop_and_writes_the_final_pass(stack: LocalRun, tmp_path: Path) -> None:
    said: list[str] = []
    final = run_demo(stack, tmp_path, on_progress=said.append)
    assert any('shows "Gate changed to B22"' in line for line in said)
    assert any("Verification successful" in line for line in said)
    registered, updated, unregistered = (line for line in said if "events: " in line)
    assert re.search(r"pass\.registered .*holders=1 first_holder=true", registered)
    assert re.search(r"pass\.updated .*devices=1", updated)
    assert re.search(r"pass\.unregistered .*cause=person", unregistered)
    with zipfile.ZipFile(final) as archive:
        assert "B22" in archive.read("pass.json").decode()
    assert os.environ["AWS_ENDPOINT_URL"] == stack.aws_endpoint_url

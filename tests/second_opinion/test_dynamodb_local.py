"""Tests of the store with AWS's DynamoDB Local, if Java and its jar are installed.

`npm install --prefix .passwire/dynamodb-local --ignore-scripts amplify-dynamodb-simulator` installs the jar for
development and testing, which its licence permits; this project does not ship it. PASSWIRE_DYNAMODB_LOCAL names another
folder that holds DynamoDBLocal.jar.
"""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import boto3
import pytest
from botocore.exceptions import BotoCoreError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId, PushToken
from infra.local.processes import LOOPBACK, PROJECT, free_port
from tests.schedules.tables import ScratchTables
from tests.schedules.test_memory import hold_against_dynamodb
from tests.schedules.test_schedules import play_on_dynamodb

NPM_PACKAGE = "amplify-dynamodb-simulator"  # prose: its name
FOLDER = PROJECT / ".passwire" / "dynamodb-local" / "node_modules" / NPM_PACKAGE / "emulator"
JAR = "DynamoDBLocal.jar"
START_SECONDS = 60.0
AT_ONCE = 30
DEVICE = DeviceLibraryIdentifier("device")
TOKEN = PushToken("0" * 64)
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module", autouse=True)
def _dynamodb_local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Start DynamoDB Local for every AWS client of this module."""
    folder = Path(os.environ.get("PASSWIRE_DYNAMODB_LOCAL", FOLDER))
    if not shutil.which("java"):
        pytest.skip("java is not installed")
    if not (folder / JAR).exists():
        pytest.skip(f"{folder / JAR} is not there; this module's docstring says how to install it")
    port = free_port()
    log = tmp_path_factory.mktemp("dynamodb-local") / "log"
    command = ["java", "-Djava.library.path=DynamoDBLocal_lib", "-jar", JAR, "-inMemory", "-disableTelemetry"]
    environment = {
        "AWS_ENDPOINT_URL": f"http://{LOOPBACK}:{port}",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "NO_PROXY": LOOPBACK,
    }
    with log.open("wb") as output, pytest.MonkeyPatch.context() as patch:
        process = subprocess.Popen([*command, "-port", str(port)], cwd=folder, stdout=output, stderr=output)
        for name, value in environment.items():
            patch.setenv(name, value)
        try:
            _wait(process, log)
            yield
        finally:
            process.terminate()
            process.wait(10)


def _wait(process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(BotoCoreError):
            boto3.client("dynamodb").list_tables()
            return
    raise AssertionError(f"DynamoDB Local did not start: {log.read_text()}")


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(random=st.randoms(use_true_random=False))
def test_tables_in_memory_answer_as_dynamodb_local_does(random: Random) -> None:
    hold_against_dynamodb(random)


@pytest.mark.parametrize("seed", range(100, 108))
def test_random_schedules_lose_no_update(seed: int) -> None:
    play_on_dynamodb(seed)


def test_device_registers_and_unregisters_many_passes_at_once() -> None:
    """All of them change one device row: conflicts are retried, and no row is left."""
    with ScratchTables() as tables, ThreadPoolExecutor(AT_ONCE) as threads:
        store = tables.store()
        passes = [PassId("pass.com.example", f"P{number}") for number in range(AT_ONCE)]

        def unregister(pass_id: PassId) -> None:
            store.registrations.delete(DEVICE, pass_id)
            store.devices.delete_if_empty(DEVICE)

        def all_at_once(call: Callable[[PassId], object]) -> None:
            for done in [threads.submit(call, pass_id) for pass_id in passes]:
                done.result()

        all_at_once(lambda pass_id: store.registrations.create(DEVICE, pass_id, push_token=TOKEN, at=1))
        device = store.devices.get(DEVICE)
        assert device is not None
        assert device.passes == frozenset(passes)
        all_at_once(unregister)
        assert store.devices.get(DEVICE) is None
        assert not any(store.registrations.page(pass_id, after=None, limit=1).devices for pass_id in passes)

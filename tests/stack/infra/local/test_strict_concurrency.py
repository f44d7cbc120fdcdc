"""All functions of an account share one pool of concurrency, and reserved concurrency divides it (A8)."""

import io
import json
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import boto3
import httpx
import pytest
from botocore.config import Config

from infra.deploy.deployer import Deployer
from infra.deploy.errors import DeployError
from infra.deploy.functions import set_function
from infra.local.phone import Phone
from infra.local.run import LocalRun
from tests.conftest import Issuer, Pipeline
from tests.support.eventually import Apns, eventually
from tests.support.strict import StrictAws, client

pytestmark = pytest.mark.timeout(300)
ROLES = ("push", "push_worker")
LONGEST_SECONDS = 60
RETRY_SECONDS = 0.05
BUSY = f"""
import os, time
def handler(event, context):
    until = time.time() + {LONGEST_SECONDS}
    open(event["started"], "w").close()
    while os.path.exists(event["while"]) and time.time() < until:
        time.sleep(0.02)
"""


class BusyFunction:
    """A function whose executions run as long as a file exists.

    Args:
        name: of the function.
        folder: for these files.
        reserved: its reserved concurrency; 0 for none.
    """

    def __init__(self, name: str, folder: Path, *, reserved: int = 0) -> None:
        self._name = name
        self._folder = folder
        self._lambda = boto3.client("lambda", config=Config(retries={"total_max_attempts": 1}, read_timeout=90))
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as archive:
            archive.writestr("busy.py", BUSY)
        self._lambda.create_function(
            FunctionName=name,
            Runtime="python3.11",
            Role="arn:aws:iam::000000000000:role/any",
            Handler="busy.handler",
            Timeout=LONGEST_SECONDS,
            Code={"ZipFile": code.getvalue()},
        )
        self._lambda.get_waiter("function_active_v2").wait(FunctionName=name)
        if reserved:
            self._lambda.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=reserved)

    @contextmanager
    def running(self, times: int, *, wanted: int = 0) -> Iterator[None]:
        """Run it at once while the context lasts.

        Args:
            times: number of executions that are running when the context begins.
            wanted: number of executions that are tried until then and later, again and again, as phones do.
        """
        flags = [self._folder / f"{self._name}-{number}" for number in range(max(times, wanted))]
        with ThreadPoolExecutor(len(flags)) as threads:
            for flag in flags:
                flag.touch()
                threads.submit(self._invoke_until_it_starts, flag)
            try:
                eventually(lambda: sum(_started(flag).exists() for flag in flags) >= times, f"{times} executions")
                yield
            finally:
                for flag in flags:
                    flag.unlink()

    def _invoke_until_it_starts(self, flag: Path) -> None:
        while flag.exists():
            with suppress(self._lambda.exceptions.TooManyRequestsException):
                self.invoke(flag)
                return
            time.sleep(RETRY_SECONDS)

    def invoke(self, flag: Path) -> None:
        payload = json.dumps({"while": str(flag), "started": str(_started(flag))})
        self._lambda.invoke(FunctionName=self._name, Payload=payload)

    @property
    def is_throttled(self) -> bool:
        try:
            self.invoke(self._folder / "ends-at-once")
        except self._lambda.exceptions.TooManyRequestsException:
            return True
        return False

    def delete(self) -> None:
        self._lambda.delete_function(FunctionName=self._name)


def _started(flag: Path) -> Path:
    return flag.with_suffix(".started")


@pytest.fixture
def burst(stack: LocalRun, tmp_path: Path) -> Iterator[BusyFunction]:
    """A function without reserved concurrency, in place of a burst of API requests."""
    assert stack
    function = BusyFunction("burst", tmp_path)
    yield function
    function.delete()


@pytest.fixture
def fan_out(stack: LocalRun, tmp_path: Path) -> Iterator[BusyFunction]:
    """A function with reserved concurrency, in place of a fan-out that runs as often as it may."""
    assert stack
    function = BusyFunction("fan-out", tmp_path, reserved=2)
    yield function
    function.delete()


@contextmanager
def reserved(stack: LocalRun, concurrency: int) -> Iterator[None]:
    """Reserve concurrency for the functions that push, as the stack's parameters and `finish` do."""
    _reserve(stack, concurrency)
    try:
        yield
    finally:
        _reserve(stack, 0)


def _reserve(stack: LocalRun, concurrency: int) -> None:
    for role in ROLES:
        set_function(stack.functions[role], {"ReservedConcurrentExecutions": concurrency})


def is_throttled(stack: LocalRun, role: str) -> bool:
    functions = client("lambda")
    try:
        functions.invoke(FunctionName=stack.functions[role], Payload=json.dumps({"Records": []}))
    except functions.exceptions.TooManyRequestsException:
        return True
    return False


def test_burst_of_api_requests_leaves_pushes_their_reserved_concurrency(
    stack: LocalRun,
    strict: StrictAws,
    burst: BusyFunction,
    pipeline: Pipeline,
    issuer: Issuer,
    phone: Phone,
    apns: Apns,
) -> None:
    """With 2 of 4 reserved, the burst wants 4 and gets 2: the API answers 500, and a change still reaches the phone."""
    pass_id = pipeline.writes("CONCURRENCY-1", fields={"gate": "A1"})
    phone.adds(issuer.issues(pass_id).content)
    with reserved(stack, 1), strict.limits(account_concurrency=4), burst.running(2, wanted=4):
        assert burst.is_throttled
        assert httpx.post(f"{stack.api_url}/v1/log", json={"logs": []}, timeout=30).status_code == 500
        assert not is_throttled(stack, "push_worker")
        pipeline.writes("CONCURRENCY-1", fields={"gate": "B2"})
        eventually(lambda: apns.pushes_to(phone), "the push")


def test_without_reserved_concurrency_a_burst_of_api_requests_throttles_pushes(
    stack: LocalRun, strict: StrictAws, burst: BusyFunction
) -> None:
    with strict.limits(account_concurrency=4), burst.running(4):
        assert [is_throttled(stack, role) for role in ROLES] == [True, True]
    assert [is_throttled(stack, role) for role in ROLES] == [False, False]


def test_fan_out_takes_no_more_than_its_reserved_concurrency(
    stack: LocalRun, strict: StrictAws, fan_out: BusyFunction
) -> None:
    with strict.limits(account_concurrency=4), fan_out.running(2):
        assert fan_out.is_throttled
        assert httpx.post(f"{stack.api_url}/v1/log", json={"logs": []}, timeout=30).status_code == 200


def test_account_limited_to_ten_executions_gets_a_stage_without_reserved_concurrency(strict: StrictAws) -> None:
    said: list[str] = []
    deployer = Deployer("limited", on_progress=said.append)
    with strict.limits(account_concurrency=10):
        with pytest.raises(DeployError, match="the account's concurrency limit is 10, of which 0 can be reserved"):
            deployer.check({"PushReservedConcurrency": "1"})
        deployer.check({})
    assert [line for line in said if "the account's concurrency limit is 10, below the" in line] == said
    said.clear()
    deployer.check({})
    assert said == [], "a limit of 1,000 needs no warning"

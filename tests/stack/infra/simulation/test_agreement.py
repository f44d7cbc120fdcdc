"""The simulation agrees with a small rollout that is measured in the local run."""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import asdict

import boto3
import httpx
import pytest

from benchmarks.rollout import NO_PACING, Bench
from infra.core.phone_retries import Retries
from infra.deploy.resources import resources
from infra.local.run import LocalRun
from tests.support.rollout_agreement import disagreements

PHONES = 80
RATE = 10.0
"""Requests per second: few, so that a busy machine serves them, too."""
STEADY = Retries(attempts=60, first_delay_seconds=2, growth=1, spread=0.5)
"""Phones that do not give up, and do not wait for longer each time: so few phones are else served in steps."""
MOST_LOAD = 3.0
"""Processes per core that want to run. With more of them, the local run itself limits the rate."""


@pytest.fixture
def bench(stack: LocalRun) -> Iterator[Bench]:
    """Phones of the session's local run, whose rates are restored afterwards."""
    yield Bench(stack, PHONES, retries=STEADY, campaign=stack.pass_type_identifier)
    functions = boto3.client("lambda")
    for role in ("push", "push_worker"):
        name = stack.functions[role]
        variables = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        variables.pop("PASSWIRE_PUSH_RATE_LIMIT", None)
        functions.update_function_configuration(FunctionName=name, Environment={"Variables": variables})
    parameters = resources()["Parameters"]
    limits = {"rateLimit": parameters["ThrottleRate"], "burstLimit": parameters["ThrottleBurst"]}
    patch = [
        {"op": "replace", "path": f"/*/*/throttling/{key}", "value": str(of["Default"])} for key, of in limits.items()
    ]
    api_id = httpx.URL(stack.api_url).path.split("/")[2]
    boto3.client("apigateway").update_stage(restApiId=api_id, stageName="api", patchOperations=patch)


@pytest.mark.timeout(400)
def test_simulation_agrees_with_an_unpaced_rollout(bench: Bench) -> None:
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    if load > MOST_LOAD:
        pytest.skip(f"the machine is busy with other work: {load:.1f} processes per core")

    async def play() -> dict[str, object]:
        await bench.prepare()
        bench.limit(rate=RATE, devices_per_second=NO_PACING)
        await bench.change(shared=True, rate=RATE)  # starts the functions
        figures, _ = await bench.change(shared=True, rate=RATE)
        return asdict(figures)

    figures = asyncio.run(play())
    settings = {"rate": RATE, "burst": RATE, "devices_per_second": RATE / 2}
    assert figures["phones"] == PHONES
    assert disagreements(figures, settings, shared=True, paced=False, retries=STEADY) == {}

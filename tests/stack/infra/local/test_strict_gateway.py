"""The embedded gateway answers 429 above the rates of a stage, of a method and of the account (A8)."""

import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from infra.deploy.resources import resources
from infra.local.run import LocalRun
from tests.support.strict import StrictAws, client


def listed(stack: LocalRun) -> httpx.Response:
    """The response to a list call of an unknown device, which is 204."""
    return httpx.get(f"{stack.api_url}/v1/devices/unknown/registrations/{stack.pass_type_identifier}", trust_env=False)


def logged(stack: LocalRun) -> httpx.Response:
    return httpx.post(f"{stack.api_url}/v1/log", json={"logs": []}, trust_env=False)


def unknown_download(stack: LocalRun) -> httpx.Response:
    return httpx.get(f"{stack.api_url}/v1/passes/{stack.pass_type_identifier}/unknown", trust_env=False)


@pytest.fixture
def set_rate(stack: LocalRun) -> Iterator[Callable[[str, float, int], None]]:
    """Changes the throttle settings of a method of the stage, and restores them."""
    gateway = client("apigateway")
    api_id = httpx.URL(stack.api_url).path.split("/")[2]
    before = gateway.get_stage(restApiId=api_id, stageName="api")["methodSettings"]

    def change(method: str, rate: float, burst: int) -> None:
        limits = {"rateLimit": str(rate), "burstLimit": str(burst)}
        patch = [
            {"op": "replace", "path": f"/{method}/throttling/{name}", "value": value} for name, value in limits.items()
        ]
        gateway.update_stage(restApiId=api_id, stageName="api", patchOperations=patch)

    yield change
    for method, settings in (("*/*", before["*/*"]), ("~1v1~1log/POST", before["/~1v1~1log/POST"])):
        change(method, settings["throttlingRateLimit"], settings["throttlingBurstLimit"])


def test_api_answers_429_above_the_rate_of_its_stage(
    strict: StrictAws, stack: LocalRun, set_rate: Callable[[str, float, int], None]
) -> None:
    set_rate("*/*", 0.01, 3)
    with strict.limits():
        assert [listed(stack).status_code for _ in range(2)] == [204, 204]
        assert unknown_download(stack).status_code == 401  # methods share the bucket
        refused = listed(stack)
        assert (refused.status_code, refused.json()) == (429, {"message": "Too Many Requests"})
        assert strict.refused()["TooManyRequests"] == 1
    set_rate("*/*", 100, 3)
    assert listed(stack).status_code == 204


def test_bucket_of_a_stage_fills_at_its_rate(stack: LocalRun, set_rate: Callable[[str, float, int], None]) -> None:
    set_rate("*/*", 1, 2)
    started = time.monotonic()
    statuses = []
    while time.monotonic() - started < 4:
        statuses.append(listed(stack).status_code)
    elapsed = time.monotonic() - started
    assert 429 in statuses
    assert elapsed - 1 <= statuses.count(204) <= 2 + elapsed


def test_method_with_a_rate_of_its_own_does_not_use_that_of_the_stage(
    stack: LocalRun, set_rate: Callable[[str, float, int], None]
) -> None:
    set_rate("~1v1~1log/POST", 0.01, 2)
    assert [logged(stack).status_code for _ in range(3)] == [200, 200, 429]
    assert listed(stack).status_code == 204
    set_rate("*/*", 0.01, 1)
    assert [listed(stack).status_code for _ in range(2)] == [204, 429]
    set_rate("~1v1~1log/POST", 0.01, 1)
    assert logged(stack).status_code == 200


def test_stage_has_the_rates_of_the_template(stack: LocalRun) -> None:
    """`make up` is as strict as a stage with the default parameters."""
    api_id = httpx.URL(stack.api_url).path.split("/")[2]
    settings = client("apigateway").get_stage(restApiId=api_id, stageName="api")["methodSettings"]
    parameters = resources()["Parameters"]
    for name, settings_of in (("", "*/*"), ("Log", "/~1v1~1log/POST")):
        rate, burst = (parameters[f"{name}Throttle{kind}"]["Default"] for kind in ("Rate", "Burst"))
        found = settings[settings_of]
        assert (found["throttlingRateLimit"], found["throttlingBurstLimit"]) == (rate, burst)


def test_api_answers_429_above_the_rate_of_the_account(strict: StrictAws, stack: LocalRun) -> None:
    with strict.limits(account_rate=0.01, account_burst=2):
        assert [listed(stack).status_code for _ in range(2)] == [204, 204]
        assert logged(stack).status_code == 429
    assert listed(stack).status_code == 204

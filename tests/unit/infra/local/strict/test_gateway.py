"""Tests of the token buckets of API Gateway."""

from types import SimpleNamespace
from typing import Any

import pytest

from infra.local.strict.gateway import Gateway
from infra.local.strict.limits import Limits

LOG = ("/v1/log", "POST")
LISTED = ("/v1/devices/{id}", "GET")


class Requests:
    """A gateway with limits, to which a test sends requests."""

    def __init__(self, settings: dict[str, Any], **limits: float) -> None:
        module = SimpleNamespace(_gw_error=lambda kind, _: kind, _GATEWAY_ERROR_MESSAGES={"THROTTLED": ""})
        self.gateway = Gateway(Limits(**limits), module)  # type: ignore[arg-type]
        self.stage = {"methodSettings": settings}

    def sends(self, count: int, method: tuple[str, str], *, api: str = "a") -> int:
        """Send requests at once; returns how many the gateway lets through."""
        answers = [self.gateway.check(self.stage, api, "api", *method, None) for _ in range(count)]
        return answers.count(None)


def rate(burst: int) -> dict[str, float]:
    return {"throttlingRateLimit": 0.001, "throttlingBurstLimit": burst}


def test_methods_share_the_bucket_of_their_stage() -> None:
    requests = Requests({"*/*": rate(5)})
    assert requests.sends(4, LOG) + requests.sends(4, LISTED) == 5
    assert requests.gateway.refused == 3
    assert requests.sends(9, LOG, api="b") == 5, "another API has a bucket of its own"


@pytest.mark.parametrize("name", ["~1v1~1log/POST", "/v1/log/POST"])
def test_method_with_settings_of_its_own_has_a_bucket_of_its_own(name: str) -> None:
    requests = Requests({"*/*": rate(5), name: rate(2)})
    assert (requests.sends(9, LOG), requests.sends(9, LISTED)) == (2, 5)


def test_all_stages_share_the_accounts_bucket() -> None:
    requests = Requests({}, account_rate=0.001, account_burst=3)
    assert requests.sends(2, LOG) + requests.sends(9, LISTED, api="b") == 3


def test_changed_rate_begins_with_a_full_bucket() -> None:
    requests = Requests({"*/*": rate(2)})
    assert requests.sends(5, LOG) == 2
    requests.stage = {"methodSettings": {"*/*": rate(3)}}
    assert requests.sends(5, LOG) == 3


def test_without_limits_everything_is_let_through() -> None:
    assert Requests({}, account_rate=0).sends(50, LOG) == 50

"""Tests of the cost of a simulated rollout."""

from dataclasses import replace

import pytest

from infra.simulation.constants import aws
from infra.simulation.cost import cost_of
from infra.simulation.rollout import Rollout, simulate

RESULT = simulate(Rollout(1000, 1, paced=True), aws(gateway_rate=3000, gateway_burst=500, devices_per_second=1000))
PHONES, TRANSFER = "API Gateway, requests of phones", "Data transfer to phones, GB"


def quantities(**changes: object) -> dict[str, float]:
    return {line.what: line.quantity for line in cost_of(replace(RESULT, **changes))}  # type: ignore[arg-type]


def test_each_phone_lists_and_downloads_once() -> None:
    found = quantities()
    assert found[PHONES] == pytest.approx(2000)
    assert found[TRANSFER] == pytest.approx(1000 * 40 / 1e6, rel=1e-3)
    assert all(line.dollars > 0 for line in cost_of(RESULT))


def test_refused_requests_are_free_and_failed_ones_are_paid() -> None:
    assert quantities(refused=500.0) == quantities()
    failed = quantities(failed=500.0)
    assert failed[PHONES] == pytest.approx(2500)
    assert failed["Lambda, invocations"] == pytest.approx(quantities()["Lambda, invocations"] + 500)
    assert failed[TRANSFER] == quantities()[TRANSFER], "a failed call transfers no pass"


def test_answers_from_recent_versions_read_no_rows() -> None:
    read, answered = quantities(read=RESULT.served), quantities(read=(0.0, 0.0))
    assert read["DynamoDB, read units"] - answered["DynamoDB, read units"] == pytest.approx(1000 * 2 + 1000 * 2)

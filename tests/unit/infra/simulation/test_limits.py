"""Tests of the phones per second that each part of a stage can serve."""

from dataclasses import replace

import pytest

from infra.simulation.constants import Constants, aws
from infra.simulation.limits import limits_of

LARGE = aws(gateway_rate=10_000, gateway_burst=5000, devices_per_second=5000)


def test_limits_name_the_phones_per_second_of_each_part() -> None:
    def found(constants: Constants) -> dict[str, float]:
        return {limit.what: limit.phones_per_second for limit in limits_of(constants, passes=1)}

    parts = {"gateway": 5000, "Lambda, API": 9000}
    assert found(replace(LARGE, cache_seconds=0)) == {**parts, "version row of a pass": 1500, "item of a pass": 3000}
    assert found(LARGE) == {**parts, "version row of a pass": 15_000, "item of a pass": 30_000}


@pytest.mark.parametrize("cache_seconds", [0, 1])
def test_rows_of_more_passes_serve_more_phones(cache_seconds: float) -> None:
    stage = replace(LARGE, cache_seconds=cache_seconds)
    one, ten = limits_of(stage, passes=1), limits_of(stage, passes=10)
    for few, many in zip(one, ten, strict=True):
        factor = 10 if few.what.endswith("of a pass") else 1
        assert many.phones_per_second == pytest.approx(factor * few.phones_per_second), few.what


def test_row_that_no_call_reads_does_not_limit() -> None:
    unread = replace(
        LARGE,
        cache_seconds=0,
        listing=replace(LARGE.listing, version_units=0),
        download=replace(LARGE.download, version_units=0),
    )
    assert {limit.what: limit.phones_per_second for limit in limits_of(unread, passes=1)}[
        "version row of a pass"
    ] == float("inf")

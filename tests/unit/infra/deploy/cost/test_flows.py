"""Tests of the requests that the cost model assumes. The suite compares them with the service's
(tests/stack/infra/deploy/test_cost.py).
"""

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.flows.fan_out import FanOutLimits
from chalicelib.updates.pacing import NARROW_DEVICES
from infra.deploy.cost.flows import READ_UNIT_BYTES, REGISTRATION_BYTES, change, listing


def test_pass_with_many_devices_uses_the_queue() -> None:
    assert change(devices=20).messages == 0
    many = change(devices=101_000)
    assert many.requests == {"UpdateItem": 1037, "GetItem": 12, "Query": 203, "BatchGetItem": 1010}
    assert many.messages == 214


def test_fan_out_has_a_message_for_each_begun_page() -> None:
    page = FanOutLimits().page
    one, two = change(devices=page), change(devices=page + 1)
    assert two.messages - one.messages == two.requests["Query"] - one.requests["Query"] == 1


@given(st.integers(0, 200_000))
def test_change_reads_every_registration_and_every_device(devices: int) -> None:
    flow = change(devices=devices)
    assert flow.read_units >= devices + devices * REGISTRATION_BYTES / READ_UNIT_BYTES
    assert flow.write_units == 1 + flow.requests["UpdateItem"], "the pipeline's own write, and one per update"
    assert (flow.messages > 0) == (devices > NARROW_DEVICES), "only a wide pass is fanned out"


@given(st.integers(0, 50_000), st.integers(1, 5000))
def test_more_devices_never_cost_less(devices: int, more: int) -> None:
    few, many = change(devices=devices), change(devices=devices + more)
    assert few.read_units <= many.read_units
    assert few.write_units <= many.write_units
    assert few.messages <= many.messages


@pytest.mark.parametrize(("held", "batches"), [(0, 0), (1, 1), (50, 1), (51, 2), (500, 10)])
def test_listing_reads_two_items_per_pass_in_batches_of_100(held: int, batches: int) -> None:
    flow = listing(held=held)
    assert flow.requests.get("BatchGetItem", 0) == batches == ceil(2 * held / 100)
    assert flow.read_units == 1 + 2 * held

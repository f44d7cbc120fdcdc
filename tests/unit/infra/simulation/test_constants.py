"""Tests of the constants of a stage on AWS and of a local run."""

import math
from dataclasses import replace

from chalicelib.updates.recent import CACHE_SECONDS, PUSH_DELAY_SECONDS
from infra.simulation.constants import DOWNLOAD, PHONES_POLL_SECONDS, Measured, aws, local

MACHINE = Measured(
    pushes_per_second=700, first_push_seconds=0.4, list_seconds=0.01, download_seconds=0.02, received_per_second=150
)


def test_stage_on_aws_is_limited_as_it_is_set() -> None:
    stage = aws(gateway_rate=3000, gateway_burst=500, devices_per_second=1000)
    assert (stage.gateway_rate, stage.gateway_burst, stage.devices_per_second) == (3000, 500, 1000)
    assert (stage.cache_seconds, stage.wide_delay_seconds) == (CACHE_SECONDS, PUSH_DELAY_SECONDS)


def test_stage_on_aws_receives_every_call_at_once() -> None:
    assert aws(gateway_rate=3000, gateway_burst=500, devices_per_second=1000).received_per_second == math.inf


def test_pace_does_not_change_what_the_service_can_do() -> None:
    slow, fast = (aws(gateway_rate=3000, gateway_burst=500, devices_per_second=rate) for rate in (10, 1000))
    assert replace(slow, devices_per_second=1000) == fast


def test_local_run_has_the_measured_durations() -> None:
    run = local(MACHINE, gateway_rate=200, gateway_burst=20, devices_per_second=66)
    assert (run.listing.seconds, run.download.seconds, run.first_push_seconds) == (0.01, 0.02, 0.4)
    assert run.download.item_units == DOWNLOAD.item_units
    assert {run.unpaced_devices_per_second, run.unpaced_changes_per_second, run.writes_per_second} == {700}
    assert run.delivery_seconds == (0.0, PHONES_POLL_SECONDS)
    assert run.received_per_second == 150
    assert run.cold_start_seconds == run.wide_delay_seconds == 0

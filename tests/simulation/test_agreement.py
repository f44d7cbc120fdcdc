"""The simulation agrees with a recorded measurement of `make bench-rollout` within 20 %."""

import json
from pathlib import Path

import pytest

from infra.core.phone_retries import Retries
from tests.support.rollout_agreement import disagreements

RECORDED = json.loads(Path(__file__).with_name("recorded_rollout.json").read_text())
"""`.passwire/bench/rollout.json` of a run, without the times of each phone."""
CASES = [(pacing, name) for pacing in ("paced", "unpaced") for name in RECORDED.get(pacing, ())]


@pytest.mark.parametrize(("pacing", "name"), CASES)
def test_simulation_agrees_with_the_recorded_measurement(pacing: str, name: str) -> None:
    assert disagreements(RECORDED, pacing=pacing, name=name) == {}


def test_phones_that_repeat_calls_otherwise_are_noticed() -> None:
    assert disagreements(RECORDED, pacing="unpaced", name="shared", retries=Retries(first_delay_seconds=20))

"""The simulation agrees with a recorded measurement of `make bench-rollout` within 20 %."""

import json
from pathlib import Path

import pytest

from tests.support.rollout_agreement import disagreements

RECORDED = json.loads(Path(__file__).with_name("recorded_rollout.json").read_text())
"""`.passwire/bench/rollout.json` of a run, without the times of each phone."""
CASES = [(pacing, name) for pacing in ("paced", "unpaced") for name in RECORDED.get(pacing, ())]


@pytest.mark.parametrize(("pacing", "name"), CASES)
def test_simulation_agrees_with_the_recorded_measurement(pacing: str, name: str) -> None:
    figures = RECORDED[pacing][name]
    found = disagreements(figures, RECORDED["settings"], shared=name == "shared", paced=pacing == "paced")
    assert found == {}

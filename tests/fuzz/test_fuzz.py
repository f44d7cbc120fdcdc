"""Each target with its stored inputs and some hundred made from them: no undocumented error, within time and memory."""

import time
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.corpus import CORPUS, inputs, stored
from tests.fuzz.targets import TARGETS, app, run

EXAMPLES = 200
SLOW = {"png": 20, "certificates": 40, "stream_records": 60, "queue_messages": 60, "import_xlsx": 60, "zips": 60}
"""Fewer inputs for targets that take milliseconds for each."""
MAX_MEMORY_BYTES = 64 * 1024 * 1024


def within_limits(name: str, data: bytes) -> None:
    start = time.process_time()
    run(name, data)
    seconds = time.process_time() - start
    assert seconds < TARGETS[name].cpu_seconds, f"{seconds:.1f} s of CPU for {len(data)} bytes"


def test_every_target_has_stored_inputs() -> None:
    assert sorted(path.name for path in CORPUS.iterdir()) == sorted(TARGETS)
    assert all(stored(name) for name in TARGETS)
    assert max(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) <= 16_384


@pytest.mark.parametrize("name", TARGETS)
def test_stored_inputs_are_answered_within_time_and_memory(name: str) -> None:
    app()
    for data in stored(name).values():
        within_limits(name, data)
        tracemalloc.start()
        run(name, data)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < MAX_MEMORY_BYTES


@pytest.mark.parametrize("name", TARGETS)
def test_inputs_made_from_the_stored_ones_are_answered(name: str) -> None:
    app()

    @settings(max_examples=SLOW.get(name, EXAMPLES), suppress_health_check=list(HealthCheck), derandomize=True)
    @given(inputs(name, max_bytes=TARGETS[name].max_bytes) | st.sampled_from(list(stored(name).values())))
    def try_it(data: bytes) -> None:
        within_limits(name, data)

    try_it()

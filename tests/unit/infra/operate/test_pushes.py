"""Tests of redriving: splitting stream batches for the push function, and the tasks that return to the queue."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.identifiers import PassId
from chalicelib.updates.push_tasks import FanOut, Recheck, RecheckReason
from infra.operate.pushes import unconditional
from infra.operate.stream_batches import in_invocations


@given(st.lists(st.integers(min_value=1, max_value=800_000), max_size=260))
def test_records_are_split_into_invocations_within_the_limits(sizes: list[int]) -> None:
    """The range of a given-up batch may contain records of concurrent batches, and Lambda accepts 6 MB."""
    sizes = [size if number % 20 == 0 else size % 3000 for number, size in enumerate(sizes)]  # some are large
    records = [{"number": number, "image": "x" * size} for number, size in enumerate(sizes)]
    chunks = list(in_invocations(records))
    assert [record for chunk in chunks for record in chunk] == records
    for chunk in chunks:
        assert 0 < len(chunk) <= 100
        assert len(json.dumps({"Records": chunk}).encode()) < 5_100_000
    for chunk, following in pairwise(chunks):
        together = len(json.dumps({"Records": [*chunk, following[0]]}).encode())
        assert len(chunk) == 100 or together > 5_000_000, "each chunk is as large as possible"


@pytest.mark.parametrize("reason", RecheckReason)
def test_redriven_recheck_is_carried_out_in_any_case(reason: RecheckReason) -> None:
    """It may have set its stamp and failed before its fan-out was queued."""
    recheck = Recheck(PassId("pass.com.acme", "1"), reason, 1.0)
    assert unconditional(recheck) == Recheck(recheck.pass_id, RecheckReason.UNSETTLED, 1.0)


def test_other_redriven_tasks_are_unchanged() -> None:
    fan_out = FanOut(PassId("pass.com.acme", "1"), None, 1.0)
    assert unconditional(fan_out) == fan_out

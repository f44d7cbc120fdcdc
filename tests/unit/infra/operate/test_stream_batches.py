"""Tests of splitting stream batches for the push function."""

import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

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

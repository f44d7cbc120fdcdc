"""Tests of dividing rows into requests."""

from hypothesis import given
from hypothesis import strategies as st

from infra.operate.backup.stage import chunked


@given(st.integers(0, 100), st.integers(1, 30))
def test_chunks_contain_every_row_once_in_order(count: int, size: int) -> None:
    rows = [{"number": number} for number in range(count)]
    chunks = list(chunked(iter(rows), size))
    assert [row for chunk in chunks for row in chunk] == rows
    assert all(len(chunk) == size for chunk in chunks[:-1])
    assert all(0 < len(chunk) <= size for chunk in chunks)

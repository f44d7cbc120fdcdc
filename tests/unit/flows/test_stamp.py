"""Tests of stamping a version."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.identifiers import PassId
from chalicelib.flows.stamp import StampLostError, stamp
from tests.schedules.memory import Memory

PASS = PassId("pass.com.acme", "1")


@given(st.lists(st.floats(min_value=1, max_value=2_000_000_000), min_size=2, max_size=20))
def test_stamps_strictly_increase_whatever_the_clocks_say(clocks: list[float]) -> None:
    """Two changes within a second, or by machines whose clocks differ, get two `Last-Modified`."""
    store = Memory().store()
    stamps = [stamp(store, PASS, now=now, changes=1, deleted=False).modified_at for now in clocks]
    assert all(later > earlier for earlier, later in pairwise(stamps))
    assert all(stamped >= int(now) for stamped, now in zip(stamps, clocks, strict=True))


def test_revision_counts_the_changes() -> None:
    store = Memory().store()
    assert stamp(store, PASS, now=10, changes=1, deleted=False).revision == 1
    assert stamp(store, PASS, now=10, changes=3, deleted=False).revision == 4


def test_record_that_is_delivered_again_keeps_its_stamp() -> None:
    """Else the retried batch would announce another fan-out than the first attempt."""
    store = Memory().store()
    first = stamp(store, PASS, now=10, changes=1, deleted=False, record="r1")
    assert stamp(store, PASS, now=20, changes=1, deleted=False, record="r1") == first
    assert stamp(store, PASS, now=20, changes=1, deleted=False, record="r2").modified_at == 20


def test_stamp_of_a_record_is_announced_and_others_are_not() -> None:
    store = Memory().store()
    announced = stamp(store, PASS, now=10, changes=1, deleted=False, record="r1")
    assert announced.announced == announced.modified_at == 10
    assert stamp(store, PASS, now=20, changes=1, deleted=False).announced == 10


def test_deletion_is_marked_until_the_pass_returns() -> None:
    store = Memory().store()
    assert stamp(store, PASS, now=10, changes=1, deleted=True).deleted
    assert not stamp(store, PASS, now=10, changes=1, deleted=False).deleted


def test_version_that_was_removed_in_between_is_an_error_to_retry() -> None:
    memory = Memory()
    store = memory.store()
    stamp(store, PASS, now=10, changes=1, deleted=False)

    class Vanishing:
        """The row is removed after the first of the two updates."""

        def stamp_at(self, *_: object, **__: object) -> None:
            memory.versions.clear()

        def __getattr__(self, name: str) -> object:
            return getattr(store.versions, name)

    object.__setattr__(broken := memory.store(), "versions", Vanishing())
    with pytest.raises(StampLostError, match=r"pass\.com\.acme/1"):
        stamp(broken, PASS, now=5, changes=1, deleted=False)

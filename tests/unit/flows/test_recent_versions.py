"""Tests of keeping versions: how long, by which clocks, and how many."""

import pytest

from chalicelib.aws.clocks import Clocks
from chalicelib.core.identifiers import AuthenticationToken, PassId
from chalicelib.flows.recent_versions import RecentVersions
from chalicelib.updates.protocol import Version
from chalicelib.updates.recent import MAX_PASSES, RecentPass

PASS_ID = PassId("pass.com.example", "P")
VERSION = Version(1_800_000_000, revision=3, fanned_out=True)


class Machine:
    """A machine with a wall clock and a monotonic clock that are moved by hand."""

    def __init__(self) -> None:
        self.wall, self.monotonic = 1_800_000_000.0, 50.0
        self.recent = RecentVersions(Clocks(clock=lambda: self.wall, timer=lambda: self.monotonic))

    def passes(self, *, wall: float, monotonic: float) -> None:
        self.wall += wall
        self.monotonic += monotonic


@pytest.mark.parametrize(
    ("wall", "monotonic", "kept"),
    [
        (0.9, 0.9, True),
        (1.0, 1.0, False),
        (5.0, 0.1, False),  # the environment was frozen
        (-3.0, 1.1, False),  # the wall clock was set back
        (-3.0, 0.5, True),
    ],
)
def test_version_is_kept_for_a_second_by_both_clocks(*, wall: float, monotonic: float, kept: bool) -> None:
    machine = Machine()
    machine.recent.keep(PASS_ID, VERSION, read_at=machine.recent.now())
    machine.passes(wall=wall, monotonic=monotonic)
    assert (machine.recent.get(PASS_ID) is not None) == kept


def test_age_counts_from_before_the_read() -> None:
    machine = Machine()
    read_at = machine.recent.now()
    machine.passes(wall=0.8, monotonic=0.8)
    machine.recent.keep(PASS_ID, VERSION, read_at=read_at)
    kept = machine.recent.get(PASS_ID)
    assert kept is not None
    assert kept.as_of == 1_800_000_000.0
    machine.passes(wall=0.3, monotonic=0.3)
    assert machine.recent.get(PASS_ID) is None


def test_newer_version_replaces_the_signed_pass() -> None:
    machine = Machine()
    signed = RecentPass(b"pass", AuthenticationToken("t" * 32), "https://a.example", "boarding")
    machine.recent.keep(PASS_ID, VERSION, read_at=machine.recent.now(), signed=signed)
    newer = Version(1_800_000_001, revision=4, fanned_out=True)
    machine.recent.keep(PASS_ID, newer, read_at=machine.recent.now())
    kept = machine.recent.get(PASS_ID)
    assert kept is not None
    assert (kept.version, kept.signed) == (newer, None)


def test_few_passes_are_kept_at_a_time() -> None:
    machine = Machine()
    ids = [PassId("pass.com.example", str(number)) for number in range(MAX_PASSES + 3)]
    for pass_id in ids:
        machine.recent.keep(pass_id, VERSION, read_at=machine.recent.now())
    assert [machine.recent.get(pass_id) is not None for pass_id in ids] == [False] * 3 + [True] * MAX_PASSES


def test_version_of_a_pass_on_few_devices_is_not_kept() -> None:
    machine = Machine()
    machine.recent.keep(PASS_ID, Version(1_800_000_000, 3), read_at=machine.recent.now())
    machine.recent.keep(PASS_ID, None, read_at=machine.recent.now())
    assert machine.recent.get(PASS_ID) is None

"""Lambda kills an invocation, delivers a batch twice, or has a wrong clock."""

import contextlib

from tests.faults.injection import dies_after_outcomes, dies_at_request
from tests.faults.rig import DIRECT_DEVICES, Rig
from tests.faults.sizes import FEW, HOUR, MANY, VERY_MANY


def killed_at_each_step(rig: Rig) -> None:
    """Killed before each request of a change with a fan-out, and once in the push worker."""
    for number in range(1, 8):
        record = rig.record(rig.has_a_pass(f"P{number}", devices=DIRECT_DEVICES + 20))
        with dies_at_request(rig, number):
            rig.delivers([record])
        with dies_at_request(rig, number):
            rig.runs_push_worker()


def killed_in_the_middle_of_pushing(rig: Rig) -> None:
    """Half of the pushes were sent, but not recorded."""
    record = rig.record(rig.has_a_pass("P", devices=FEW))

    def once(_: int) -> None:
        dying.close()

    with contextlib.ExitStack() as dying:
        dying.enter_context(dies_after_outcomes(rig, FEW // 2))
        rig.delivers([record], between=once)
    rig.runs_push_worker()


def killed_after_queueing(rig: Rig) -> None:
    """The push function has queued the fan-out and sent some pushes; the worker finishes before the retry."""
    record = rig.record(rig.has_a_pass("P", devices=MANY))

    def worker(_: int) -> None:
        dying.close()
        rig.runs_push_worker()

    with contextlib.ExitStack() as dying:
        dying.enter_context(dies_after_outcomes(rig, DIRECT_DEVICES // 4))
        rig.delivers([record], between=worker)
    rig.runs_push_worker()


def killed_in_the_middle_of_a_fan_out(rig: Rig) -> None:
    """The worker has queued the pushes of some pages, and has not recorded the last page."""
    rig.delivers([rig.record(rig.has_a_pass("P", devices=VERY_MANY))])
    with dies_at_request(rig, 20):
        rig.runs_push_worker()


def same_batch_twice(rig: Rig) -> None:
    record = rig.record(rig.has_a_pass("P", devices=FEW))
    rig.delivers([record])
    rig.delivers([record])
    rig.runs_push_worker()


def clock_jumped_by_an_hour(rig: Rig) -> None:
    """The clock is ahead, then back: stamps still increase strictly, and pushes are sent."""
    pass_id = rig.has_a_pass("P", devices=FEW)
    rig.clock.skew = HOUR
    rig.delivers([rig.record(pass_id)])
    ahead = rig.store.versions.get(pass_id)
    rig.clock.skew = 0.0
    rig.delivers([rig.record(pass_id, gate="B23")])
    rig.runs_push_worker()
    back = rig.store.versions.get(pass_id)
    assert ahead is not None
    assert back is not None
    assert back.modified_at == ahead.modified_at + 1

"""A short soak loses no change, and a soak of a broken service does."""

import asyncio
from dataclasses import replace

import pytest

from infra.local.run import LocalRun
from tests.schedules.mutations import edited
from tests.soak.plan import LOSSES, Fault, Plan
from tests.soak.report import report_lines
from tests.soak.run import soak
from tests.soak.sabotage import DEFECTS


def test_plan_follows_from_seed_and_length() -> None:
    assert Plan.of(1, seconds=60) == Plan.of(1, seconds=60)
    assert Plan.of(1, seconds=60).digest != Plan.of(2, seconds=60).digest
    assert Plan.of(1, seconds=60, faults=False).steps == Plan.of(1, seconds=60).steps
    assert Plan.of(1, seconds=60, faults=False).faults == []


@pytest.mark.parametrize("defect", DEFECTS)
def test_defect_follows_the_code(defect: str) -> None:
    for module, source in edited(DEFECTS[defect].edits, name=defect).items():
        compile(source, str(module.__file__), "exec")


@pytest.mark.timeout(400)
def test_no_change_is_lost_under_load_and_faults(stack: LocalRun) -> None:
    """`make soak` plays two minutes and more; this one is short."""
    report = asyncio.run(soak(stack, Plan.of(3, seconds=20, passes=20, phones=10), on_progress=print))
    assert report.passed, "\n".join(report_lines(report))
    assert report.changes["shown"] > 0
    assert sum(report.injected.values()) > 0


@pytest.mark.timeout(400)
def test_soak_notices_a_loss(stack: LocalRun) -> None:
    """`python -m tests.soak.sabotage` breaks the service itself in further ways."""
    plan = Plan.of(3, seconds=5, faults=False, passes=20, phones=10)
    plan = replace(plan, faults=[Fault(0, plan.seconds, *LOSSES)])
    report = asyncio.run(soak(stack, plan, on_progress=print, still_seconds=5))
    assert not report.passed
    assert report.lost

"""Two minutes of load and faults lose no change, and a soak of a broken service notices that it does.

Both run on a local run of their own: nothing else may use it meanwhile, and other tests can run beside.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from infra.deploy.package import Package
from infra.local.run import LocalRun, local_run
from tests.soak.plan import LOSSES, Fault, Plan
from tests.soak.report import report_lines
from tests.soak.run import soak
from tests.support.leaks import observe_stack
from tests.support.shared_package import with_package

SECONDS = 120

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def soaked(tmp_path_factory: pytest.TempPathFactory, local_package: Package) -> Iterator[LocalRun]:
    """A local run for soaks only."""
    folder = with_package(local_package, tmp_path_factory.mktemp("soak"))
    with local_run(folder, on_progress=lambda _: None) as running:
        yield running
        running.use()
        observe_stack(running, folder)


def test_no_change_is_lost_under_load_and_faults(soaked: LocalRun) -> None:
    report = asyncio.run(soak(soaked, Plan.of(3, seconds=SECONDS), on_progress=print))
    assert report.passed, "\n".join(report_lines(report))
    assert report.changes["shown"] > 0
    assert sum(report.injected.values()) > 0


def test_soak_notices_a_loss(soaked: LocalRun) -> None:
    """`python -m tests.soak.sabotage` breaks the service itself in further ways."""
    plan = Plan.of(3, seconds=5, faults=False, passes=20, phones=10)
    plan = replace(plan, faults=[Fault(0, plan.seconds, *LOSSES)])
    report = asyncio.run(soak(soaked, plan, on_progress=print, still_seconds=5))
    assert not report.passed
    assert report.lost

"""A soak ends within its limits, and says what it waited for."""

import asyncio
import time
from collections import Counter
from types import SimpleNamespace
from typing import cast

import httpx

from chalicelib.core.identifiers import PassId
from infra.local.phones import HeadlessPhone, PhoneCounts, Phones
from infra.local.run import LocalRun
from tests.soak.ledger import Ledger
from tests.soak.load import Load
from tests.soak.plan import Plan, Step
from tests.soak.report import report_lines
from tests.soak.run import Limits, Report, Run
from tests.soak.stage import SoakedStage
from tests.soak.switches import Switches

PASS = PassId("pass.com.acme.boarding", "SOAK-07")
SHORT = Limits(late=0.1, settle=0.1)


class SlowStage(SoakedStage):
    """A stage whose push queue never becomes empty, and whose writes take long."""

    def __init__(self) -> None:
        pass

    def rewrites(self, pass_id: PassId, **own: object) -> None:  # noqa: ARG002 - those of the stage
        time.sleep(0.3)

    def waiting(self) -> dict[str, int]:
        return {"push": 3, "dead_letter": 0, "stream_failure": 0}

    def wrong_counts(self) -> int:
        return 0


class NoSwitches(Switches):
    def __init__(self) -> None:
        pass

    def end(self) -> None:
        pass

    def injected(self) -> Counter[str]:
        return Counter()


class SettledPhones(Phones):
    """Phones that make no calls."""

    def __init__(self) -> None:
        self.counts = PhoneCounts()

    @property
    def busy(self) -> bool:
        return False

    async def settle(self) -> None:
        pass


class BusyPhones(SettledPhones):
    """Phones that make calls without end."""

    @property
    def busy(self) -> bool:
        return True

    async def settle(self) -> None:
        await asyncio.Event().wait()


class PreparedLoad(Load):
    async def prepare(self) -> None:
        pass


async def played(plan: Plan, ledger: Ledger, phones: Phones) -> Report:
    stack = cast("LocalRun", SimpleNamespace(api_url="http://localhost", apns_control_url="http://localhost"))
    stage = SlowStage()
    async with httpx.AsyncClient() as http:
        load = PreparedLoad(plan, stack, stage, ledger, phones, http)
        run = Run(load, stage=stage, ledger=ledger, population=phones, switches=NoSwitches(), on_progress=print)
        return await run.play(60, SHORT)


def test_soak_that_does_not_settle_fails_and_names_phones_passes_and_queues() -> None:
    ledger, phone = Ledger(), HeadlessPhone({}, updating=True)
    ledger.adds(phone, PASS)
    ledger.wrote(PASS, ledger.next_write())
    report = asyncio.run(played(Plan(0, 1, [], []), ledger, BusyPhones()))
    assert not report.passed
    (problem,) = report.problems
    assert "the phones had not settled after 0.1 s" in problem
    assert f"1 phones make calls ({phone.device_library_identifier[:6]})" in problem
    assert "1 passes on phones are behind (SOAK-07 on phone" in problem
    assert "messages: push 3" in problem
    assert any(problem in line for line in report_lines(report))


def test_soak_whose_load_does_not_end_fails_and_names_the_steps() -> None:
    plan = Plan(0, 1, [Step(0, "write a pass unchanged", number) for number in range(2)], [])
    report = asyncio.run(played(plan, Ledger(), SettledPhones()))
    assert not report.passed
    (problem,) = report.problems
    assert "the load had not ended after 0.1 s: 2 steps `write a pass unchanged`" in problem

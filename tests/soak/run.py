"""Runs a soak: a plan's load and faults, then quiet, then the account of every change."""

import asyncio
import contextlib
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import httpx

from infra.core.phone_retries import Retries
from infra.local.phones import GaveUpError, Phones
from infra.local.run import PASS_TYPE_IDENTIFIER, LocalRun
from tests.soak import ledger as accounts
from tests.soak.ledger import Holding, Ledger
from tests.soak.load import Load
from tests.soak.plan import Fault, Plan
from tests.soak.stage import SoakedStage
from tests.soak.switches import Switches
from tests.soak.traces import Traced, traced

RETRIES = Retries(attempts=5, first_delay_seconds=1.0)
"""Phones wait a fifth of the assumed time."""
CONNECTIONS = 8
AFTER_FAULT_SECONDS = 20.0
"""How long after a fault a request may still fail because of it."""
STILL_SECONDS = 30.0
"""How long no phone may make a request until those that are behind are asked; push tasks wait less for their turn."""
UNCHANGED_SECONDS = 6.0
PROGRESS_SECONDS = 30.0
TICK_SECONDS = 0.25
NAMED = 10
"""Number of passes on phones that a line names."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long the parts of a soak may take, in seconds.

    One that takes longer is cancelled, and the soak fails and says what it waited for.

    Args:
        prepare: until the first phones have added their passes.
        late: from the planned end of the load until its last step has ended.
        settle: from the end of all faults until every phone shows everything.
        explain: until the phones that are behind have asked.
        quiet: until no push arrives any more.
    """

    prepare: float = 180
    late: float = 120
    settle: float = 300
    explain: float = 180
    quiet: float = 120


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class Report:
    """Result of a soak.

    Args:
        plan: what was planned.
        load: how often each step was carried out, or given up.
        phones: counts of the requests of all phones.
        registered: passes on phones at the end.
        injected: faults by what they did.
        changes: changes on phones by what became of them.
        lost: descriptions of what nothing explains.
        problems: other things that must not happen.
        pushes: pushes that arrived at phones.
        extra_pushes: those beyond the changes of a phone's passes.
        unchanged: pushes after all items were written once more without a change, and announce nothing earlier.
        late: pushes that arrived after these writes, and announce an earlier change.
        queues: messages by queue at the end.
        settle_seconds: from the end of the load until every phone showed everything.
    """

    plan: Plan
    load: Counter[str]
    phones: dict[str, Any]
    registered: int
    injected: Counter[str]
    changes: Counter[str]
    lost: list[str]
    problems: list[str]
    pushes: int
    extra_pushes: int
    unchanged: list[Traced]
    late: list[Traced]
    queues: dict[str, int]
    settle_seconds: float

    @property
    def passed(self) -> bool:
        return not (self.lost or self.problems or self.unchanged or self.changes[accounts.LOST])


async def soak(
    stack: LocalRun,
    plan: Plan,
    *,
    on_progress: Callable[[str], None],
    still_seconds: float = STILL_SECONDS,
    limits: Limits = DEFAULT_LIMITS,
) -> Report:
    """Run a plan on a local run, and leave that as it was.

    Args:
        stack: the local run, with no other load.
        plan: what happens.
        on_progress: called with each line of progress.
        still_seconds: how long no phone may make a request until those that are behind count as that.
        limits: how long it may take.
    """
    stack.use()
    stage, ledger, switches = await asyncio.to_thread(SoakedStage, stack), Ledger(), Switches(stack)
    async with contextlib.AsyncExitStack() as cleanup:
        cleanup.callback(switches.close)
        connections = httpx.Limits(max_connections=CONNECTIONS)
        http = await cleanup.enter_async_context(httpx.AsyncClient(limits=connections, timeout=60, trust_env=False))
        population = await cleanup.enter_async_context(
            Phones.running(
                [],
                api_url=stack.api_url,
                apns_control_url=stack.apns_control_url,
                on_shown=ledger.shows,
                on_push=ledger.notified,
                retries=RETRIES,
                connections=CONNECTIONS,
            )
        )
        load = Load(plan, stack, stage, ledger, population, http)
        cleanup.push_async_callback(asyncio.to_thread, stage.cleans_up, load.passes)
        run = Run(load, stage=stage, ledger=ledger, population=population, switches=switches, on_progress=on_progress)
        return await run.play(still_seconds, limits)


class Run:
    """One soak.

    Args:
        load: carries out the steps of its plan.
        stage: the stage.
        ledger: records what happens.
        population: the phones.
        switches: of the faults.
        on_progress: called with each line of progress.
    """

    def __init__(
        self,
        load: Load,
        *,
        stage: SoakedStage,
        ledger: Ledger,
        population: Phones,
        switches: Switches,
        on_progress: Callable[[str], None],
    ) -> None:
        self._load, self._plan, self._stage, self._ledger = load, load.plan, stage, ledger
        self._population, self._switches, self._say = population, switches, on_progress
        self._limits = DEFAULT_LIMITS
        self._began_at = time.time()
        self._problems: list[str] = []
        self._faulty_until = 0.0
        self._active: list[str] = []
        load.faulty = lambda: bool(self._active) or time.monotonic() < self._faulty_until

    async def play(self, still_seconds: float, limits: Limits) -> Report:
        """Play the plan, wait until the phones have settled, and account for every change."""
        self._limits = limits
        await asyncio.to_thread(
            self._stage.wrong_counts
        )  # what ran before on this stage may have written registrations
        if await self._within(limits.prepare, self._load.prepare(), "the first phones had not added their passes"):
            self._say(f"plan {self._plan.digest}: {len(self._plan.steps)} steps, {len(self._plan.faults)} faults")
            playing = asyncio.gather(self._switch(), self._play_load())
            await self._within(self._plan.seconds + limits.late, playing, "the load had not ended")
        await asyncio.to_thread(self._switches.end)
        started = time.monotonic()
        settling = self._settle(still_seconds)
        settled = await self._within(limits.settle, settling, "the phones had not settled")
        settle_seconds = time.monotonic() - started
        explained, lost = await self._explain() if settled and self._ledger.behind() else ({}, [])
        pushes = self._population.counts.pushes
        after = await self._write_unchanged() if not lost and not self._problems else []
        queues = await asyncio.to_thread(self._stage.waiting)
        problems = [*self._problems, *self._load.problems]
        if queues["stream_failure"]:
            problems.append(f"{queues['stream_failure']} batches of the stream were given up")
        if wrong := await asyncio.to_thread(self._stage.wrong_counts):
            problems.append(f"{wrong} counts of holders differed from the registrations")
        return Report(
            plan=self._plan,
            load=self._load.done,
            phones=asdict(self._population.counts),
            registered=len(self._ledger.holdings()),
            injected=await asyncio.to_thread(self._switches.injected),
            changes=self._ledger.account(explained),
            lost=lost,
            problems=problems,
            pushes=pushes,
            extra_pushes=self._ledger.extra_pushes,
            unchanged=[push for push in after if not push.earlier],
            late=[push for push in after if push.earlier],
            queues=queues,
            settle_seconds=settle_seconds,
        )

    async def _within(self, seconds: float, action: Awaitable[object], what: str) -> bool:
        """Wait for an action, but not for longer than a limit; returns true if it ended.

        Otherwise it is cancelled, and what the soak still waited for becomes one of its problems.
        """
        try:
            async with asyncio.timeout(seconds):
                await action
        except TimeoutError:
            waits_for = await self._waits_for()
            self._say(f"{what} after {seconds:g} s")
            self._problems.append(f"{what} after {seconds:g} s: {waits_for}")
            return False
        return True

    async def _waits_for(self) -> str:
        """Say which steps, phones, passes and queues are not done."""
        queues = await asyncio.to_thread(self._stage.waiting)
        phones = {id(holding.phone): holding.phone for holding in self._ledger.holdings()}.values()
        calling = [phone.device_library_identifier[:6] for phone in phones if phone.updating]
        behind = self._ledger.awaited()
        parts = [
            *[f"{count} steps `{kind}`" for kind, count in self._load.unfinished.most_common()],
            f"{len(calling)} phones make calls ({', '.join(calling[:NAMED])})",
            f"{len(behind)} passes on phones are behind ({'; '.join(map(self._described, behind[:NAMED]))})",
            f"messages: {', '.join(f'{role} {count}' for role, count in queues.items() if count) or 'none'}",
        ]
        return ", ".join(parts)

    # ------------------------------------------------------------ load and faults

    async def _play_load(self) -> None:
        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for step in self._plan.steps:
                await asyncio.sleep(max(0.0, started + step.at - time.monotonic()))
                group.create_task(self._load.carry_out(step))

    async def _switch(self) -> None:
        started = time.monotonic()
        for at in _moments(self._plan.faults):
            await asyncio.sleep(max(0.0, started + at - time.monotonic()))
            active = [fault.kind for fault in self._plan.faults if fault.at <= at < fault.until]
            if self._active and not active:
                self._faulty_until = time.monotonic() + AFTER_FAULT_SECONDS
            self._active = active
            await asyncio.to_thread(self._switches.set, active)
            self._say(f"{at:6.1f} s: {', '.join(active) or 'no fault'}")
        self._faulty_until, self._active = time.monotonic() + AFTER_FAULT_SECONDS, []

    # ------------------------------------------------------------ afterwards

    async def _settle(self, still_seconds: float) -> None:
        """Wait until every phone shows what it can show, or nothing more happens."""
        await self._population.settle()
        for _ in range(5):
            with contextlib.suppress(GaveUpError):
                await self._load.finish()
                break
        seen, since = -1, time.monotonic()
        said = since
        while self._ledger.awaited() or self._population.busy:
            now = time.monotonic()
            if (shown := self._population.counts.requests) != seen:
                seen, since = shown, now
            if now - since > still_seconds:
                break
            if now - said > PROGRESS_SECONDS:
                said = now
                self._say(f"settling: {await self._waits_for()}")
            await asyncio.sleep(TICK_SECONDS)

    async def _explain(self) -> tuple[dict[int, str], list[str]]:
        """Find out why phones are behind: by what the stage knows, or by what the phone gets when it asks."""
        explained: dict[int, str] = {}
        refused = await asyncio.to_thread(self._stage.refused)
        asked: list[Holding] = []
        for holding in self._ledger.behind():
            newest = self._ledger.expects(holding.pass_id)
            if newest is not None and newest.deleted:
                explained[id(holding)] = accounts.DELETED
            elif newest is not None and not newest.valid and str(holding.pass_id) in refused:
                explained[id(holding)] = accounts.REFUSED
            else:
                asked.append(holding)
        gave_up = [holding for holding in asked if self._ledger.gave_up(holding)]
        for phone in {id(holding.phone): holding.phone for holding in asked}.values():
            self._population.update(phone, PASS_TYPE_IDENTIFIER)
        waiting = "the phones that were behind had not got an answer"
        await self._within(self._limits.explain, self._population.settle(), waiting)
        behind = {id(holding) for holding in self._ledger.behind()}
        refreshing = asyncio.gather(*(self._refresh(holding) for holding in asked if id(holding) in behind))
        await self._within(self._limits.explain, refreshing, waiting)
        never = {id(holding) for holding in self._ledger.behind()}
        lost: list[str] = []
        for holding in asked:
            if holding in gave_up and id(holding) not in never:
                explained[id(holding)] = accounts.GAVE_UP_DOWNLOAD if id(holding) in behind else accounts.GAVE_UP_LIST
                continue
            explained[id(holding)] = accounts.LOST
            if id(holding) not in behind:
                what = "no push, and shown only when the phone asked"
            elif id(holding) not in never:
                what = "not listed, and downloaded only when the person refreshed"
            else:
                what = "not even downloaded"
            lost.append(f"{self._described(holding)}: {what}")
        return explained, lost

    async def _refresh(self, holding: Holding) -> None:
        """Have a phone download a pass; it has none of one whose first download was cancelled."""
        if held := holding.phone.passes.get(PASS_TYPE_IDENTIFIER, {}).get(holding.pass_id.serial_number):
            with contextlib.suppress(GaveUpError):
                await self._population.download(holding.phone, held)

    def _described(self, holding: Holding) -> str:
        newest = self._ledger.expects(holding.pass_id)
        return (
            f"{holding.pass_id.serial_number} on phone {holding.phone.device_library_identifier[:6]}: "
            f"shows {holding.shown[-1:]}, not write {newest.number if newest else None}, revision "
            f"{self._ledger.revision}"
        )

    async def _write_unchanged(self) -> list[Traced]:
        """Write all items again without a change; returns the pushes that came, and what they announce."""
        if not await self._within(self._limits.quiet, self._quiet(), "pushes had not ended"):
            return []
        written_from = math.floor(time.time()) + 1  # a stream record has the time of its write in whole seconds
        await asyncio.sleep(written_from + TICK_SECONDS - time.time())
        seen = len(self._ledger.arrivals)
        for pass_id in self._load.passes:
            await asyncio.to_thread(self._stage.rewrites, pass_id, note="unchanged")
        await asyncio.sleep(UNCHANGED_SECONDS)
        arrivals = self._ledger.arrivals[seen:]
        stage, began_at = self._stage.stage, self._began_at
        return await asyncio.to_thread(traced, stage, arrivals, since=written_from, logged_since=began_at)

    async def _quiet(self) -> None:
        """Wait until no push has arrived for a time."""
        seen, since = -1, time.monotonic()
        while time.monotonic() - since < UNCHANGED_SECONDS:
            if (now := self._population.counts.pushes) != seen:
                seen, since = now, time.monotonic()
            await asyncio.sleep(TICK_SECONDS)


def _moments(faults: Iterable[Fault]) -> list[float]:
    """The times at which a fault begins or ends."""
    return sorted({moment for fault in faults for moment in (fault.at, fault.until)})

"""Simulates everything that can happen to the update protocol, one request at a time.

Theory of operation
-------------------
The code under test is the service's: `flows/` and `updates/`. Everything that runs concurrently in AWS is an actor, a
greenlet: an API call, a batch of the stream, a message of the queue, a phone. Every request to a table, to the queue or
to APNs is a step: the actor stops before it, and a scheduler decides which actor continues. The scheduler may also move
the clock, fail a request before or after it took effect, stall an actor or end it permanently, freeze an execution
environment of the API between two calls, set its clock, deliver a batch or a message twice, delete the rows that pace
pushes, invalidate a push token, make a phone remove a pass, make a pipeline delete one, or damage a phone's tag.

It respects the limits on which the protocol relies: a push invocation ends after `PUSH_TIMEOUT_SECONDS`, an API call
after `API_TIMEOUT_SECONDS`, clocks differ by at most `SKEW_SECONDS`, no environment of the API is frozen and has its
clock set back within the same second, a pass is not deleted again before the stream has
reported its return, and a phone has no open calls with two push tokens.

A deleted pass stays deleted or is loaded again. If it is loaded again within the grace period, it keeps its phones, and
the final conditions apply to it as to any other pass. If it stays deleted for longer, its phones lose it.

At the end nothing new happens, no request fails, and all actors run to their ends. Then every phone that believes that
it is registered must have the newest content, and every tag that was returned before a change must still list it. And
in no period may more devices have been notified than the rate and its burst allow (`updates/pacing.py`). No answer may
say that nothing changed if a stamp was committed before its call began, or take a phone back to an older version
(`updates/recent.py`).

`scheduler.py` chooses among the actors; `pipeline.py`, `designer.py`, `phone_calls.py`, `api.py` and `triggers.py` are
what they do, `services.py` what they request, `rates.py` how often each event happens, and `conditions.py` what must
hold at the end.
"""

from collections.abc import Callable
from random import Random
from types import SimpleNamespace
from typing import Any, cast

from chalicelib.apns.client import Client
from chalicelib.aws.queue import Queue
from chalicelib.aws.tables import Store
from chalicelib.aws.tables.versions import Versions
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId, PushToken
from chalicelib.flows.change import ChangeHandler, ChangeLimits
from chalicelib.flows.failed_downloads import FailedDownloads
from chalicelib.flows.fan_out import FanOutLimits
from chalicelib.flows.pace import Pacer
from chalicelib.flows.push_worker import PushWorker, WorkerLimits
from chalicelib.flows.recheck import Rechecker
from chalicelib.flows.send_pushes import PushSender
from chalicelib.passes.builder import PassBuilder
from chalicelib.telemetry.metrics import Metrics
from chalicelib.updates.pacing import PushRate
from tests.schedules.actors import Phone
from tests.schedules.api import Api
from tests.schedules.designer import Designer
from tests.schedules.limits import GRACE_SECONDS, JUMP_SECONDS, PASS_TYPE, PUSH_TIMEOUT_SECONDS
from tests.schedules.phone_calls import PhoneCalls
from tests.schedules.pipeline import Pipeline
from tests.schedules.rates import Focus, choose
from tests.schedules.scheduler import Scheduler
from tests.schedules.services import Designs, Stepped, WatchedFailures, WorldApns, WorldBuilder, WorldQueue
from tests.schedules.triggers import Triggers


class StuckError(Exception):
    """A schedule does not end: the simulation is wrong, or the protocol never settles."""


class World:
    """A schedule and the state that it changes.

    Args:
        random: decides; hypothesis can hand in one that it controls.
        store: the real flows' store, without steps.
        write: puts a pass item, None deletes it; the stream is the world's own.
        lose_timelines: deletes the rows of the timelines; None to keep them.
        focus: the subject of the schedule; None to choose one.
    """

    def __init__(
        self,
        random: Random,
        store: Store,
        write: Callable[[PassId, dict[str, object] | None], None],
        lose_timelines: Callable[[], None] | None = None,
        focus: Focus | None = None,
    ) -> None:
        rates = choose(random, focus)
        self.scheduler = Scheduler(random, rates)
        self.phones = [
            Phone(DeviceLibraryIdentifier(f"device-{n}"), PushToken(f"token-{n}-0")) for n in range(rates.phones)
        ]
        pass_ids = [PassId(PASS_TYPE, f"P{n}") for n in range(rates.passes)]
        self.one_pass_each = random.random() < 0.5
        self.planned_steps = 0
        self._lose_timelines = lose_timelines
        self.timelines_lost_at: list[float] = []
        self.pipeline = Pipeline(self.scheduler, pass_ids, self.phones, write)
        self.queue = WorldQueue(self.scheduler)
        self.designs = Designs(self.scheduler)
        self.builder = WorldBuilder(self.scheduler, self.designs)
        self.designer = Designer(self.scheduler, self.designs, self.pipeline, self.queue, store.versions)
        self.apns = WorldApns(self.scheduler, self.phones)
        tables = (store.passes, store.versions, store.registrations, store.devices, store.counts, store.timelines)
        stepped = Store(*(cast("Any", Stepped(self.scheduler, part)) for part in tables))
        self.api = self._api(stepped, store.versions)
        self.phone_calls = PhoneCalls(self.scheduler, self.pipeline, self.api, self.apns)
        self.triggers = self._triggers(stepped)

    def _api(self, stepped: Store, versions: Versions) -> Api:
        builder = cast("PassBuilder", self.builder)
        failed = FailedDownloads(stepped, lambda: cast("Queue", self.queue), builder, clock=self.scheduler.clock)
        failures = WatchedFailures(self.scheduler, self.queue, failed)
        return Api(self.scheduler, self.pipeline, stepped, versions, self.builder, failures, self.queue)

    def _triggers(self, stepped: Store) -> Triggers:
        """Make the push function and the push worker."""
        scheduler, rates, queue = self.scheduler, self.scheduler.rates, cast("Queue", self.queue)
        metrics = cast("Metrics", SimpleNamespace(put=lambda *_, **__: None, count=lambda *_, **__: None))
        pacer = Pacer(stepped, PushRate(rates.push), clock=scheduler.clock, sleep=scheduler.sleep)
        push_sender = PushSender(
            stepped,
            pacer,
            metrics,
            client_for=lambda _: cast("Client", self.apns),
            clock=scheduler.clock,
            hold=lambda _: None,
        )
        changes = ChangeHandler(
            stepped,
            queue,
            push_sender,
            metrics,
            templates=self.designs,
            clock=scheduler.clock,
            deletion_grace_seconds=GRACE_SECONDS,
            limits=ChangeLimits(narrow_devices=rates.narrow),
            overlap=scheduler.overlapped if scheduler.random.random() < 0.5 else map,
        )
        rechecker = Rechecker(
            stepped,
            queue,
            metrics,
            cast("PassBuilder", self.builder),
            clock=scheduler.clock,
            max_stamp_seconds=PUSH_TIMEOUT_SECONDS,
            deletion_grace_seconds=GRACE_SECONDS,
        )
        push_worker = PushWorker(
            stepped,
            queue,
            push_sender,
            rechecker=lambda: rechecker,
            clock=scheduler.clock,
            limits=WorkerLimits(FanOutLimits(page=1, narrow_devices=rates.narrow), removal_page=2),
        )
        return Triggers(scheduler, self.pipeline, self.queue, self.phones, changes, push_worker)

    def run(self, steps: int) -> None:
        """Run a number of steps with events, then let everything settle.

        Raises:
            StuckError: it never does.
        """
        scheduler = self.scheduler
        self.planned_steps = steps
        for pass_id in self.pipeline.pass_ids:
            self.pipeline.writes_a_pass(pass_id)
        if scheduler.rates.prepared:
            self._prepare()
        for scheduler.steps in range(steps):
            self._something_happens()
            scheduler.go_on()
        self.pipeline.reloads(all_of_them=True)
        scheduler.calm = True
        scheduler.random = Random(0)  # noqa: S311 - counterexamples do not depend on how it settles
        self.builder.certificate_missing = False
        if self.designs.broken:
            self.designs.is_repaired()
            self.designer.brings_back()
        for scheduler.steps in range(steps, steps * 100):
            if not self._settle():
                return
            scheduler.go_on()
        raise StuckError([actor.name for actor in scheduler.actors])

    def _prepare(self) -> None:
        """Let all phones add all passes, and one change of each arrive, without disturbances."""
        self.scheduler.calm = True
        for pass_id in self.pipeline.pass_ids:
            self._run_until_settled()
            for phone in self.phones:
                self.phone_calls.adds_a_pass(phone, pass_id)
            self._run_until_settled()
            self.pipeline.writes_a_pass(pass_id)
        self._run_until_settled()
        self.scheduler.calm = False

    def _run_until_settled(self) -> None:
        while self._settle():
            self.scheduler.go_on()

    def _something_happens(self) -> None:
        random, rates = self.scheduler.random, self.scheduler.rates
        self._time_passes()
        self._a_pipeline_acts()
        if random.random() < rates.add:
            number = random.randrange(len(self.phones))
            own = self.pipeline.pass_ids[number % len(self.pipeline.pass_ids)]
            self.phone_calls.adds_a_pass(
                self.phones[number], own if self.one_pass_each else random.choice(self.pipeline.pass_ids)
            )
        if random.random() < rates.rare:
            self._something_rare_happens()
        if random.random() < rates.personalize and self.queue.messages:
            self.api.is_personalized(random.choice(self.pipeline.pass_ids))
        self._something_breaks_or_is_repaired()
        if self.scheduler.actors and random.random() < rates.stall:
            random.choice(self.scheduler.actors).wakes_at = self.scheduler.now + random.choice([3, 30])
        for shard in self.triggers.waiting_shards():
            if random.random() < rates.deliver:
                self.triggers.deliver(shard)
        if self.queue.receivable() and random.random() < rates.deliver:
            self.triggers.run_worker()
        for phone in self.phones:
            phone.push_received = phone.push_received or random.random() < rates.own
            if random.random() < 0.5:
                self.phone_calls.acts(phone)

    def _time_passes(self) -> None:
        scheduler = self.scheduler
        is_jump = scheduler.random.random() < scheduler.rates.jump
        scheduler.now += (
            JUMP_SECONDS if is_jump else scheduler.rates.pace * scheduler.random.choice([0, 0, 0.01, 0.3, 1, 3])
        )
        if self.queue.messages and scheduler.random.random() < scheduler.rates.skip:
            due_at = min(message.visible_from for message in self.queue.messages)
            scheduler.now = min(max(scheduler.now, due_at), scheduler.now + JUMP_SECONDS)

    def _a_pipeline_acts(self) -> None:
        random, rates = self.scheduler.random, self.scheduler.rates
        if random.random() < rates.write and self.scheduler.steps < rates.write_until * self.planned_steps:
            self.pipeline.writes_a_pass(random.choice(self.pipeline.pass_ids), again=random.random() < 0.1)
        self.pipeline.reloads()
        if random.random() < rates.delete:
            self.pipeline.deletes_a_pass(random.choice(self.pipeline.pass_ids))

    def _something_breaks_or_is_repaired(self) -> None:
        scheduler = self.scheduler
        if self._lose_timelines is not None and scheduler.random.random() < scheduler.rates.lose_timelines:
            self._lose_timelines()
            self.timelines_lost_at.append(scheduler.now)
        if scheduler.random.random() < scheduler.rates.repair:
            self.designer.breaks_or_repairs_the_template()
        if scheduler.random.random() < scheduler.rates.certificate:
            self.builder.certificate_missing = not self.builder.certificate_missing

    def _something_rare_happens(self) -> None:
        scheduler = self.scheduler
        phone, pass_id = scheduler.random.choice(self.phones), scheduler.random.choice(self.pipeline.pass_ids)
        match scheduler.random.randrange(4):
            case 0:
                self.pipeline.deletes_a_pass(pass_id)
            case 1:
                self.phone_calls.removes_a_pass(phone, pass_id)
            case 2:
                self.phone_calls.changes_its_token(phone)
            case 3 if scheduler.actors:
                scheduler.end(scheduler.random.choice(scheduler.actors), crashed=True)

    def _settle(self) -> bool:
        """Return true while actors or messages are left."""
        scheduler = self.scheduler
        scheduler.now += 0.01
        for shard in self.triggers.waiting_shards():
            self.triggers.deliver(shard)
        if self.queue.receivable():
            self.triggers.run_worker()
        for phone in self.phones:
            self.phone_calls.acts(phone)
        if not scheduler.actors and self.queue.messages:
            scheduler.now = max(scheduler.now, min(message.visible_from for message in self.queue.messages))
        return bool(scheduler.actors or self.queue.messages)

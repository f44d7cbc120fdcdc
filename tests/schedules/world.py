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
"""

import contextlib
import itertools
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from email.utils import parsedate_to_datetime
from random import Random
from types import SimpleNamespace
from typing import Any, cast

from boto3.dynamodb.types import TypeSerializer
from greenlet import greenlet

from chalicelib.apns.client import Client, Pace
from chalicelib.apns.outcomes import Outcome, Push
from chalicelib.apns.reasons import OutcomeKind
from chalicelib.aws.clocks import Clocks
from chalicelib.aws.queue import Queue
from chalicelib.aws.tables import Store
from chalicelib.core.authentication import AuthenticationKey, AuthenticationKeys
from chalicelib.core.errors import ConfigurationError, PasswireError, TransientError
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId, PushToken
from chalicelib.flows.authorize import UnauthorizedError
from chalicelib.flows.change import ChangeHandler, ChangeLimits, Settle
from chalicelib.flows.download import Downloader
from chalicelib.flows.failed_downloads import FailedDownloads
from chalicelib.flows.fan_out import FanOutLimits
from chalicelib.flows.listing import Lister, Listing
from chalicelib.flows.pace import Pacer
from chalicelib.flows.push_worker import PushWorker, WorkerLimits
from chalicelib.flows.recent_versions import RecentVersions
from chalicelib.flows.recheck import TEMPLATE_AGE_SECONDS, Rechecker
from chalicelib.flows.register import Registrar
from chalicelib.flows.send_pushes import PushSender
from chalicelib.flows.stamp import stamp
from chalicelib.http.events import queue_messages, stream_records
from chalicelib.passes.builder import PassBuilder
from chalicelib.passes.item import PassItem
from chalicelib.telemetry.metrics import Metrics
from chalicelib.updates.changes import Entry
from chalicelib.updates.conditional import Conditions
from chalicelib.updates.pacing import LATENESS_SECONDS, Lane, PushRate
from chalicelib.updates.protocol import Tag, Version, window_seconds
from chalicelib.updates.push_tasks import PushTask, Recheck, RecheckReason, encode
from tests.schedules.actors import UNKNOWN, Actor, Crash, Environment, HandedOut, Message, Phone
from tests.schedules.rates import SKEW_SECONDS, Focus, choose
from tests.schedules.services import Designs, Stepped, WatchedFailures, WorldQueue, content_of

PASS_TYPE = "pass.com.example.world"
PUSH_TIMEOUT_SECONDS = 20
API_TIMEOUT_SECONDS = 10
GRACE_SECONDS = 240
JUMP_SECONDS = 70
WORKER_TIMEOUT_SECONDS = 120
WINDOW_SECONDS = window_seconds(push_timeout_seconds=PUSH_TIMEOUT_SECONDS)
FOREVER = math.inf
_SERIALIZER = TypeSerializer()


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
        self.random = random
        self._lose_timelines = lose_timelines
        self.timelines_lost_at: list[float] = []
        self.pushed_at: list[float] = []
        self.denied: list[str] = []
        """Answers that said that nothing changed, although a stamp was committed before."""
        self.largest_send = 1
        self.now = 1_700_000_000.0
        self.calm = False
        self.steps = self.planned_steps = self.writes = 0
        self._write_item = write
        self._items: dict[PassId, dict[str, object]] = {}
        self._reload: dict[PassId, tuple[int, float]] = {}
        """Passes that will be loaded again: the first step and the latest time."""
        self._sequence_numbers = itertools.count(1)
        self.written_at: dict[PassId, int] = {}
        self.shards: list[list[dict[str, Any]]] = [[], []]
        self.messages: list[Message] = []
        self.actors: list[Actor] = []
        self.current: Actor | None = None
        self.busy_shards: set[int] = set()
        self.dead_tokens: dict[PushToken, float] = {}
        self.handed_out: list[HandedOut] = []
        self.last_request_failed = False
        self.unnoted_failures = 0
        self.certificate_missing = False
        self.repairing = False
        self.rates = choose(random, focus)
        self.phones = [
            Phone(DeviceLibraryIdentifier(f"device-{n}"), PushToken(f"token-{n}-0")) for n in range(self.rates.phones)
        ]
        self.pass_ids = [PassId(PASS_TYPE, f"P{n}") for n in range(self.rates.passes)]
        self.one_pass_each = random.random() < 0.5
        tables = (store.passes, store.versions, store.registrations, store.devices, store.counts, store.timelines)
        stepped = Store(*(cast("Any", Stepped(self, part)) for part in tables))
        self.keys = AuthenticationKeys((AuthenticationKey("k", b"k" * 32),))
        queue = cast("Queue", WorldQueue(self))
        self.designs = Designs(self)
        builder = cast("PassBuilder", SimpleNamespace(build=self._make, templates=self.designs))
        failures = cast(
            "FailedDownloads", WatchedFailures(self, FailedDownloads(stepped, lambda: queue, builder, clock=self.clock))
        )
        client = cast("Client", SimpleNamespace(push=self._push, connections=0, identity="client"))
        metrics = cast("Metrics", SimpleNamespace(put=lambda *_, **__: None, count=lambda *_, **__: None))
        pacer = Pacer(stepped, PushRate(self.rates.push), clock=self.clock, sleep=self._sleep)
        push_sender = PushSender(
            stepped, pacer, metrics, client_for=lambda _: client, clock=self.clock, hold=lambda _: None
        )
        self._stepped = stepped
        self.registrar = Registrar(stepped, self.keys, queue)
        self._api = (builder, failures)
        self.environments = [self._environment() for _ in range(self.rates.environments)]
        self.changes = ChangeHandler(
            stepped,
            queue,
            push_sender,
            metrics,
            templates=self.designs,
            clock=self.clock,
            deletion_grace_seconds=GRACE_SECONDS,
            limits=ChangeLimits(narrow_devices=self.rates.narrow),
            overlap=self._overlapped if random.random() < 0.5 else map,
        )
        rechecker = Rechecker(
            stepped,
            queue,
            metrics,
            builder,
            clock=self.clock,
            max_stamp_seconds=PUSH_TIMEOUT_SECONDS,
            deletion_grace_seconds=GRACE_SECONDS,
        )
        self.push_worker = PushWorker(
            stepped,
            queue,
            push_sender,
            rechecker=lambda: rechecker,
            clock=self.clock,
            limits=WorkerLimits(FanOutLimits(page=1, narrow_devices=self.rates.narrow), removal_page=2),
        )
        self._versions = store.versions

    def _environment(self) -> Environment:
        store, recent = self._stepped, RecentVersions(Clocks(clock=self.clock, timer=self._timer))
        return Environment(
            Lister(store, window_seconds=WINDOW_SECONDS, recent=recent),
            Downloader(store, self.keys, *self._api, window_seconds=WINDOW_SECONDS, recent=recent),
            freezes=self.random.random() < 0.5,
        )

    # ------------------------------------------------------------ templates and certificates

    def _make(self, item: PassItem, *, template_age_seconds: float = TEMPLATE_AGE_SECONDS, **_: object) -> bytes:
        """Build a pass: its content is the item; it needs a template and a certificate."""
        self.designs.get(item.template, max_age_seconds=template_age_seconds)
        self.step()
        if self.certificate_missing:
            raise ConfigurationError("the certificate has expired")
        return str(content_of(item)).encode()

    def breaks_or_repairs_the_template(self) -> None:
        """A designer removes a field from the template, or restores it and has `template push` recheck what
        was refused. Some repairs come without that, by a deployment; a pipeline then writes its items again.
        """
        if not self.designs.broken:
            self.designs.breaks()
        elif not self.repairing:
            self.designs.is_repaired()
            if self.random.random() < 0.3:
                for pass_id in self.pass_ids:
                    if pass_id in self._items:
                        self.writes_a_pass(pass_id, again=True)
                return
            self._brings_back()

    def _brings_back(self) -> None:
        """Recheck refused passes as `template push` does after publishing: an operator's process that reads them and
        queues a recheck for each, until all are queued.
        """
        self.repairing = True
        done = [False]

        def body() -> None:
            self.step()
            for pass_id in sorted(self._versions.refused(self.pass_ids)):
                self.step()
                self.sends(Recheck(pass_id, RecheckReason.REFUSED, self.clock(), "push"))
            done[0] = True

        def ended(_: bool) -> None:  # noqa: FBT001
            self.repairing = False
            if not done[0] and not self.designs.broken:
                self._brings_back()

        self.start("repair", body, ended, FOREVER)

    # ------------------------------------------------------------ the services that actors use

    def clock(self) -> float:
        """The clock of the current actor's machine, epoch seconds."""
        return self.now + (self.current.skew if self.current else 0.0)

    def _timer(self) -> float:
        """The monotonic clock of the current actor's execution environment."""
        assert self.current is not None
        assert self.current.environment is not None
        return self.now - self.current.environment.stopped

    def step(self) -> None:
        """Stop here; the scheduler chooses the actor that continues."""
        actor = self.current
        assert actor is not None
        scheduler = greenlet.getcurrent().parent
        assert scheduler is not None
        scheduler.switch()

    def request(self, carry_out: Callable[[], object], error: type[TransientError]) -> object:
        """Make a request, which may fail before or after it took effect."""
        self.step()
        self.last_request_failed = True
        if self._fails():
            raise error("the world fails it before it took effect")
        result = carry_out()
        if self._fails():
            raise error("the world fails it after it took effect")
        self.last_request_failed = False
        if not self.calm and self.random.random() < self.rates.late:
            self.step()
        return result

    def _fails(self) -> bool:
        return not self.calm and self.random.random() < self.rates.fail

    def sends(self, task: PushTask, *, delay_seconds: int = 0) -> None:
        """Put a message into the queue; it is not received before its delay is over."""
        identifier = f"m{self.steps}-{len(self.messages)}-{time.monotonic_ns()}"
        self.messages.append(Message(identifier, encode(task), visible_from=self.now + delay_seconds))

    def _free_messages(self) -> list[Message]:
        return [message for message in self.messages if not message.taken and message.visible_from <= self.now]

    def _overlapped(self, settle: Settle, entries: Sequence[Entry]) -> list[Any]:
        """Run the parts of a batch as threads do: each is an actor that ends with its invocation."""
        invocation = self.current
        assert invocation is not None
        results: list[Any] = [None] * len(entries)
        left = [len(entries)]
        crashed = [False]

        def part(number: int) -> Actor:
            def body() -> None:
                results[number] = settle(entries[number])

            def ended(died: bool) -> None:  # noqa: FBT001
                left[0] -= 1
                crashed[0] = crashed[0] or died

            return Actor("part of a batch", body, ended, invocation.dies_at, invocation.skew)

        invocation.parts = [part(number) for number in range(len(entries))]
        self.actors += invocation.parts
        while left[0]:
            self.step()
        if crashed[0]:
            raise Crash
        return results

    def _sleep(self, seconds: float) -> None:
        assert self.current is not None
        self.current.wakes_at = self.now + seconds
        self.step()

    def _push(self, pushes: Sequence[Push], *, deadline: float, pace: Pace) -> Iterator[Outcome]:
        assert deadline
        self.largest_send = max(self.largest_send, len(pushes))
        start_until = self.clock() + pace.start_until - time.monotonic()
        for push in pushes:
            self.step()
            if self.clock() > start_until or self._fails():
                yield Outcome(push, OutcomeKind.LATER)
                continue
            self.pushed_at.append(self.now)
            if push.push_token in self.dead_tokens:
                gone_at = int(self.dead_tokens[push.push_token] * 1000)
                yield Outcome(push, OutcomeKind.UNREGISTERED, status=410, reason="Unregistered", timestamp=gone_at)
                continue
            for number, phone in enumerate(self.phones):
                if phone.push_token == push.push_token:
                    phone.push_received = True
                    phone.asleep = number % 2 == 1 and self.random.random() < self.rates.doze
            yield Outcome(push, OutcomeKind.DELIVERED, status=200)

    # ------------------------------------------------------------ events

    def start(self, name: str, body: Callable[[], None], ended: Callable[[bool], None], seconds: float) -> None:
        skew = self.random.uniform(-self.rates.skew, self.rates.skew)
        self.actors.append(Actor(name, body, ended, self.now + seconds, skew))

    @contextlib.contextmanager
    def _in_environment(self) -> Iterator[Environment]:
        """Run a call of the current actor in an execution environment that is free, or in a new one.

        While it was idle, Lambda may have frozen it, or its wall clock may have been set.
        """
        actor, free = self.current, [environment for environment in self.environments if not environment.busy]
        assert actor is not None
        if not free:
            free.append(self._environment())
            self.environments += free
        environment = self.random.choice(free)
        if self.random.random() >= self.rates.freeze:
            pass
        elif environment.freezes:
            environment.stopped += self.now - environment.idle_since
        else:
            environment.skew = self.random.choice([-1, 1]) * self.rates.skew
        skew = actor.skew
        actor.environment, actor.skew, environment.busy = environment, environment.skew, True
        try:
            yield environment
        finally:
            environment.busy, environment.idle_since = False, self.now
            actor.environment, actor.skew = None, skew

    def writes_a_pass(self, pass_id: PassId, *, again: bool = False) -> None:
        """A pipeline writes an item with new content, or the same content again."""
        old = self._items.get(pass_id)
        self._reload.pop(pass_id, None)
        if not again or old is None:
            self.writes += 1
            self.written_at[pass_id] = self.writes
        item: dict[str, object] = {
            "pass_id": str(pass_id),
            "template": "t",
            "fields": {"content": self.written_at[pass_id]},
        }
        self._put(pass_id, old, item)

    def deletes_a_pass(self, pass_id: PassId) -> None:
        """A pipeline deletes an item, to load it again or permanently."""
        old = self._items.get(pass_id)
        if old is None or self._is_in_stream(pass_id):
            return
        self._put(pass_id, old, None)
        if self.random.random() < 0.5:
            self._stays_away(pass_id)
        else:
            until = self.now + GRACE_SECONDS - 3 * SKEW_SECONDS
            self._reload[pass_id] = (self.steps + self.random.choice([1, 10, 40, 80]), until)

    def _stays_away(self, pass_id: PassId) -> None:
        """Forget what phones believe about a pass that no longer exists."""
        for phone in self.phones:
            phone.wanted.discard(pass_id)
            phone.registered_tokens.pop(pass_id, None)
            phone.content.pop(pass_id, None)
            phone.last_modified.pop(pass_id, None)

    def _reloads(self, *, all_of_them: bool = False) -> None:
        """Load some passes again, each before its latest time; after that it stays deleted."""
        for pass_id, (step, until) in list(self._reload.items()):
            if self.now >= until:
                del self._reload[pass_id]
                self._stays_away(pass_id)
            elif all_of_them or until - self.now < JUMP_SECONDS + 5 or self.steps >= step:
                self.writes_a_pass(pass_id)

    def _is_in_stream(self, pass_id: PassId) -> bool:
        return any(
            record["dynamodb"]["Keys"]["pass_id"]["S"] == str(pass_id) for shard in self.shards for record in shard
        )

    def is_personalized(self, pass_id: PassId) -> None:
        """The API stamps a pass; its devices are notified by the stream's record, which is left out here."""
        if pass_id in self._items:

            def body() -> None:
                stamp(self._stepped, pass_id, now=self.clock(), changes=1, deleted=False)

            self.start("personalize", body, lambda _: None, API_TIMEOUT_SECONDS)

    def _put(self, pass_id: PassId, old: dict[str, object] | None, new: dict[str, object] | None) -> None:
        self._write_item(pass_id, new)
        if new is None:
            self._items.pop(pass_id)
        else:
            self._items[pass_id] = new
        images = {name: image for name, image in (("OldImage", old), ("NewImage", new)) if image is not None}
        shard = self.shards[int(pass_id.serial_number[1:]) % 2]
        shard.append(
            {
                "dynamodb": {
                    "Keys": {"pass_id": {"S": str(pass_id)}},
                    "SequenceNumber": str(next(self._sequence_numbers)),
                    "ApproximateCreationDateTime": self.now,
                    **{name: _SERIALIZER.serialize(image)["M"] for name, image in images.items()},
                }
            }
        )

    def adds_a_pass(self, phone: Phone, pass_id: PassId) -> None:
        """A person adds a pass; the registration may come much later."""
        if pass_id not in self._items or pass_id in phone.calling or pass_id in phone.wanted:
            return
        phone.calling.add(pass_id)

        def body() -> None:
            done = self._download(phone, pass_id, since=None)
            if done is not None and pass_id in self._items:
                phone.content[pass_id], phone.last_modified[pass_id] = done
                phone.wanted.add(pass_id)
                steps = 0 if self.calm else self.random.choice([0, 1, 20, 60, 200, 200])
                phone.registers_from[pass_id] = self.steps + min(steps, self.rates.linger)

        self.start("issue", body, lambda _: phone.calling.discard(pass_id), API_TIMEOUT_SECONDS)

    def removes_a_pass(self, phone: Phone, pass_id: PassId) -> None:
        phone.wanted.discard(pass_id)

    def changes_its_token(self, phone: Phone) -> None:
        """Give a phone a new push token, as after a restore: the old one is invalid, and it registers again."""
        if phone.calling:
            return
        self.dead_tokens[phone.push_token] = self.now + 2 * SKEW_SECONDS
        name, number = phone.push_token.value.rsplit("-", 1)
        phone.push_token = PushToken(f"{name}-{int(number) + 1}")

    def _deliver(self, shard: int) -> None:
        """Lambda receives a batch of a shard; the next one waits until this one is settled."""
        records = self.shards[shard]
        batch = records[: self.random.choice([1, 2, 5, 100])]
        self.busy_shards.add(shard)
        if self.random.random() < self.rates.meet:
            self._phones_get_to_it({record["dynamodb"]["Keys"]["pass_id"]["S"] for record in batch})
        settled = [0]

        def body() -> None:
            failed = self.changes.handle(stream_records({"Records": batch}), deadline=FOREVER)
            numbers = [record["dynamodb"]["SequenceNumber"] for record in batch]
            settled[0] = numbers.index(failed[0]) if failed else len(batch)

        def ended(crashed: bool) -> None:  # noqa: FBT001
            self.busy_shards.discard(shard)
            if not crashed and (self.calm or self.random.random() < 0.9):  # else it is delivered twice
                del records[: settled[0]]

        self.start("push", body, ended, PUSH_TIMEOUT_SECONDS)

    def _phones_get_to_it(self, pass_ids: set[str]) -> None:
        """Let phones register for these passes now, since races are the interesting cases."""
        for phone in self.phones:
            for pass_id in phone.registers_from:
                if str(pass_id) in pass_ids:
                    phone.registers_from[pass_id] = 0

    def _run_worker(self) -> None:
        free = self._free_messages()
        taken = self.random.sample(free, min(len(free), self.random.choice([1, 2, 10])))
        for message in taken:
            message.taken = True
            message.received += 1
        kept: set[str] = {message.identifier for message in taken}

        def body() -> None:
            records = [
                {
                    "messageId": message.identifier,
                    "receiptHandle": message.identifier,
                    "attributes": {"ApproximateReceiveCount": str(message.received)},
                    "body": message.body,
                }
                for message in taken
            ]
            failed = self.push_worker.handle(queue_messages({"Records": records}), deadline=FOREVER)
            kept.intersection_update(failed)

        def ended(crashed: bool) -> None:  # noqa: FBT001
            for message in taken:
                message.taken = False
                twice = not self.calm and self.random.random() < 0.1
                if not crashed and message.identifier not in kept and not twice:
                    self.messages.remove(message)

        self.start("push_worker", body, ended, WORKER_TIMEOUT_SECONDS)

    def _phone_calls(self, phone: Phone, pass_id: PassId) -> None:
        """Register or unregister what the phone has added or removed."""
        phone.calling.add(pass_id)
        phone.registered_tokens[pass_id] = UNKNOWN
        wanted, push_token = pass_id in phone.wanted, phone.push_token
        arrived = [False]

        def body() -> None:
            authorization = self._authorization(pass_id)
            try:
                if wanted:
                    self.registrar.register(
                        device=phone.identifier,
                        pass_id=pass_id,
                        authorization=authorization,
                        push_token=push_token,
                        now=self.clock(),
                    )
                else:
                    self.registrar.unregister(device=phone.identifier, pass_id=pass_id, authorization=authorization)
            except UnauthorizedError:
                self.step()
                phone.wanted.discard(pass_id)
            self.step()
            arrived[0] = True

        def ended(crashed: bool) -> None:  # noqa: FBT001
            phone.calling.discard(pass_id)
            if arrived[0] and not crashed and pass_id in self._items:
                phone.registered_tokens[pass_id] = push_token if wanted else None

        self.start("register" if wanted else "unregister", body, ended, API_TIMEOUT_SECONDS)

    def _phone_asks(self, phone: Phone) -> None:
        """An empty push arrived: list and download the changed passes; failed calls are repeated."""
        phone.asking, phone.push_received = True, False
        done = [False]

        def body() -> None:
            writes = self.writes
            if phone.tag is not None and not self.calm and self.random.random() < self.rates.rare:
                phone.tag = str(int(self.now) + 10**6)  # a damaged tag
            listing = self._list(phone, phone.tag)
            self.step()
            if listing is not None:
                phone.tag = str(listing.last_updated)
                self.handed_out.append(HandedOut(phone, phone.tag, writes))
                named = {PassId(PASS_TYPE, serial_number) for serial_number in listing.serial_numbers}
                phone.to_fetch |= named & phone.wanted
            for pass_id in sorted(phone.to_fetch):
                newer = self._download(phone, pass_id, since=phone.last_modified.get(pass_id))
                self.step()
                if newer is not None and pass_id in phone.wanted:
                    phone.content[pass_id], phone.last_modified[pass_id] = newer
                    if not self.calm and self.random.random() < self.rates.chase:
                        self.writes_a_pass(pass_id)
                phone.to_fetch.discard(pass_id)
            done[0] = True

        def ended(_: bool) -> None:  # noqa: FBT001
            phone.asking = False
            phone.push_received = phone.push_received or not done[0]

        self.start("ask", body, ended, API_TIMEOUT_SECONDS)

    def _list(self, phone: Phone, tag: str | None) -> Listing | None:
        """Make a list call. A pass that had a stamp after the tag before the call began must be named."""
        before = self._listed_versions(phone)
        with self._in_environment() as environment:
            listing = environment.lister.list_changed(
                device=phone.identifier, pass_type_identifier=PASS_TYPE, tag=Tag.parse(tag), now=self.clock()
            )
        parsed = Tag.parse(tag)
        named = listing.serial_numbers if listing is not None else ()
        for pass_id, version in before.items() & self._listed_versions(phone).items():
            if parsed is not None and version.modified_at > parsed.seconds and pass_id.serial_number not in named:
                self.denied.append(f"a list call does not name {pass_id}, which was stamped before it")
        return listing

    def _listed_versions(self, phone: Phone) -> dict[PassId, Version]:
        """The newest versions of the passes for which a phone is certainly registered."""
        certain = [p for p in self._items if phone.registered_tokens.get(p) == phone.push_token and p in phone.wanted]
        versions = {pass_id: self._versions.get(pass_id) for pass_id in certain}
        return {pass_id: version for pass_id, version in versions.items() if version and not version.deleted}

    def _download(self, phone: Phone, pass_id: PassId, *, since: str | None) -> tuple[int, str] | None:
        """Apple does not promise that a phone repeats a failed download, so phones do not repeat it here.

        Raises:
            TransientError: the service failed, and neither DynamoDB nor SQS took note of that: only then the phone is
                so kind as to come again.
        """
        assert phone
        unnoted = self.unnoted_failures
        newest = self._versions.get(pass_id)
        try:
            with self._in_environment() as environment:
                download = environment.downloader.download(
                    pass_id=pass_id,
                    authorization=self._authorization(pass_id),
                    conditions=Conditions(if_modified_since=since),
                    web_service_url="https://a.example",
                    now=self.clock(),
                )
        except UnauthorizedError:
            return None
        except PasswireError:
            if self.unnoted_failures > unnoted:
                raise TransientError("the failure was not recorded") from None
            return None
        if download.pkpass is None:
            if newest is not None and not Conditions(if_modified_since=since).not_modified(newest):
                self.denied.append(f"a download of {pass_id} gets 304, although it was stamped before")
            return None
        modified_at = download.validators.last_modified
        if since and newest and parsedate_to_datetime(modified_at) < parsedate_to_datetime(since):
            self.denied.append(f"a download of {pass_id} is older than the pass on the phone")
        return int(download.pkpass), modified_at

    def _authorization(self, pass_id: PassId) -> str:
        return f"ApplePass {self.keys.issue(pass_id, item_token=None).value}"

    # ------------------------------------------------------------ the scheduler

    def run(self, steps: int) -> None:
        """Run a number of steps with events, then let everything settle.

        Raises:
            StuckError: it never does.
        """
        self.planned_steps = steps
        for pass_id in self.pass_ids:
            self.writes_a_pass(pass_id)
        if self.rates.prepared:
            self._prepare()
        for self.steps in range(steps):
            self._something_happens()
            self._go_on()
        self._reloads(all_of_them=True)
        self.calm = True
        self.random = Random(0)  # noqa: S311 - counterexamples do not depend on how it settles
        self.certificate_missing = False
        if self.designs.broken:
            self.designs.is_repaired()
            self._brings_back()
        for self.steps in range(steps, steps * 100):
            if not self._settle():
                return
            self._go_on()
        raise StuckError([actor.name for actor in self.actors])

    def _prepare(self) -> None:
        """Let all phones add all passes, and one change of each arrive, without disturbances."""
        self.calm = True
        for pass_id in self.pass_ids:
            self._run_until_settled()
            for phone in self.phones:
                self.adds_a_pass(phone, pass_id)
            self._run_until_settled()
            self.writes_a_pass(pass_id)
        self._run_until_settled()
        self.calm = False

    def _run_until_settled(self) -> None:
        while self._settle():
            self._go_on()

    def _something_happens(self) -> None:
        random, rates = self.random, self.rates
        self._time_passes()
        self._a_pipeline_acts()
        if random.random() < rates.add:
            number = random.randrange(len(self.phones))
            own = self.pass_ids[number % len(self.pass_ids)]
            self.adds_a_pass(self.phones[number], own if self.one_pass_each else random.choice(self.pass_ids))
        if random.random() < rates.rare:
            self._something_rare_happens()
        if random.random() < rates.personalize and self.messages:
            self.is_personalized(random.choice(self.pass_ids))
        self._something_breaks_or_is_repaired()
        if self.actors and random.random() < rates.stall:
            random.choice(self.actors).wakes_at = self.now + random.choice([3, 30])
        for shard in range(len(self.shards)):
            if self.shards[shard] and shard not in self.busy_shards and random.random() < rates.deliver:
                self._deliver(shard)
        if self._free_messages() and random.random() < rates.deliver:
            self._run_worker()
        for phone in self.phones:
            phone.push_received = phone.push_received or random.random() < rates.own
            if random.random() < 0.5:
                self._phone_acts(phone)

    def _time_passes(self) -> None:
        is_jump = self.random.random() < self.rates.jump
        self.now += JUMP_SECONDS if is_jump else self.rates.pace * self.random.choice([0, 0, 0.01, 0.3, 1, 3])
        if self.messages and self.random.random() < self.rates.skip:
            due_at = min(message.visible_from for message in self.messages)
            self.now = min(max(self.now, due_at), self.now + JUMP_SECONDS)

    def _a_pipeline_acts(self) -> None:
        random, rates = self.random, self.rates
        if random.random() < rates.write and self.steps < rates.write_until * self.planned_steps:
            self.writes_a_pass(random.choice(self.pass_ids), again=random.random() < 0.1)
        self._reloads()
        if random.random() < rates.delete:
            self.deletes_a_pass(random.choice(self.pass_ids))

    def _something_breaks_or_is_repaired(self) -> None:
        if self._lose_timelines is not None and self.random.random() < self.rates.lose_timelines:
            self._lose_timelines()
            self.timelines_lost_at.append(self.now)
        if self.random.random() < self.rates.repair:
            self.breaks_or_repairs_the_template()
        if self.random.random() < self.rates.certificate:
            self.certificate_missing = not self.certificate_missing

    def _something_rare_happens(self) -> None:
        phone, pass_id = self.random.choice(self.phones), self.random.choice(self.pass_ids)
        match self.random.randrange(4):
            case 0:
                self.deletes_a_pass(pass_id)
            case 1:
                self.removes_a_pass(phone, pass_id)
            case 2:
                self.changes_its_token(phone)
            case 3 if self.actors:
                self._end(self.random.choice(self.actors), crashed=True)

    def _phone_acts(self, phone: Phone) -> bool:
        acted = False
        for pass_id in self.pass_ids:
            due = phone.push_token if pass_id in phone.wanted else None
            if pass_id in phone.calling or phone.registered_tokens.get(pass_id) == due:
                continue
            if pass_id in self._items and self.steps >= phone.registers_from.get(pass_id, 0):
                self._phone_calls(phone, pass_id)
                acted = True
        asleep = phone.asleep and not self.calm
        if (phone.push_received or phone.to_fetch) and not phone.asking and not asleep:
            self._phone_asks(phone)
            acted = True
        return acted

    def _settle(self) -> bool:
        """Return true while actors or messages are left."""
        self.now += 0.01
        for shard in range(len(self.shards)):
            if self.shards[shard] and shard not in self.busy_shards:
                self._deliver(shard)
        if self._free_messages():
            self._run_worker()
        for phone in self.phones:
            self._phone_acts(phone)
        if not self.actors and self.messages:
            self.now = max(self.now, min(message.visible_from for message in self.messages))
        return bool(self.actors or self.messages)

    def _go_on(self) -> None:
        """Let one actor make one step; actors whose time is over end."""
        for actor in [actor for actor in self.actors if actor.dies_at <= self.now]:
            self._end(actor, crashed=True)
        awake = [actor for actor in self.actors if actor.wakes_at <= self.now]
        if self.calm and self.actors and not awake:
            self.now = min(actor.wakes_at for actor in self.actors)
            awake = [actor for actor in self.actors if actor.wakes_at <= self.now]
        if awake:
            actor = self.random.choice(awake)
            self.current = actor
            try:
                actor.greenlet.switch()
            except TransientError:
                self._end(actor, crashed=True)
            except Crash:  # of a part of the batch
                self._end(actor, crashed=True)
            else:
                if actor.greenlet.dead:
                    self._end(actor, crashed=False)
            finally:
                self.current = None

    def _end(self, actor: Actor, *, crashed: bool) -> None:
        if actor not in self.actors:
            return
        self.actors.remove(actor)
        for part in actor.parts:
            self._end(part, crashed=crashed)
        if not actor.greenlet.dead and actor.greenlet:
            self.current = actor
            try:
                actor.greenlet.throw(Crash)
            except Crash:
                pass
            finally:
                self.current = None
        actor.ended(crashed)

    # ------------------------------------------------------------ final conditions

    def lost(self) -> list[str]:
        """The updates that phones lack although they follow the protocol; empty if none is lost."""
        found = []
        held: dict[Phone, list[PassId]] = defaultdict(list)
        for phone in self.phones:
            for pass_id in phone.wanted & set(self._items):
                if phone.registered_tokens.get(pass_id) != phone.push_token:
                    continue
                held[phone].append(pass_id)
                newest = self.written_at[pass_id]
                if phone.content.get(pass_id) != newest:
                    found.append(
                        f"{phone.push_token.value} has {pass_id} as of write {phone.content.get(pass_id)}, not {newest}"
                    )
        for handed in self.handed_out:
            due = {p for p in held[handed.phone] if self.written_at[p] > handed.writes}
            if not due:
                continue
            named = self._list_quietly(handed.phone, handed.tag)
            found.extend(f"{p} is not named to tag {handed.tag} of before its change" for p in sorted(due - named))
        return found

    def too_fast(self) -> list[str]:
        """The periods in which more devices were notified than `updates/pacing.py` allows."""
        rate, times = self.rates.push, sorted(self.pushed_at)
        one_send = self.largest_send
        for first, start in enumerate(times):
            for last in range(first + one_send, len(times)):
                lost = sum(start - LATENESS_SECONDS <= at <= times[last] for at in self.timelines_lost_at)
                burst = LATENESS_SECONDS + 2 * self.rates.skew + lost * Lane.NARROW.patience_seconds
                allowed = rate * (times[last] - start + burst) + (2 + lost) * one_send
                if last - first + 1 > allowed:
                    return [f"{last - first + 1} devices notified in {times[last] - start:.1f} s at {rate} per second"]
        return []

    def _list_quietly(self, phone: Phone, tag: str) -> set[PassId]:
        named: set[PassId] = set()

        def body() -> None:
            with self._in_environment() as environment:
                listing = environment.lister.list_changed(
                    device=phone.identifier, pass_type_identifier=PASS_TYPE, tag=Tag.parse(tag), now=self.clock()
                )
            named.update(PassId(PASS_TYPE, s) for s in (listing.serial_numbers if listing else ()))

        self.start("list", body, lambda _: None, FOREVER)
        while self.actors:
            self._go_on()
        return named

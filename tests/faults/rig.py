"""A rig that runs the service's handlers, push client, store and queue, with the stand-in for APNs.

It simulates Lambda and SQS by AWS's rules (`infra/local/aws_rules.py`: A1, A6, A7, A13), with the settings of the
stage's template: how often and for how long a batch or a message is delivered again, how often a function may invoke
itself through its queue, how large an invocation's payload may be. It does not wait: a delivery that would come after a
minute comes at once, and the clock or the waited time moves on.
"""

import contextlib
import json
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import boto3
from boto3.dynamodb.types import TypeSerializer

from chalicelib.apns.client import Client, Pace
from chalicelib.apns.live_connection import Timeouts
from chalicelib.apns.outcomes import Outcome, Push
from chalicelib.aws import session
from chalicelib.aws.queue import Queue
from chalicelib.aws.templates import Templates
from chalicelib.core.authentication import AuthenticationKey, AuthenticationKeys
from chalicelib.core.errors import ConfigurationError, PasswireError, TransientError
from chalicelib.core.identifiers import PassId
from chalicelib.flows.change import ChangeHandler, ChangeLimits
from chalicelib.flows.download import Downloader
from chalicelib.flows.failed_downloads import FailedDownloads
from chalicelib.flows.fan_out import FanOutLimits
from chalicelib.flows.pace import Pacer
from chalicelib.flows.push_worker import PushWorker, WorkerLimits
from chalicelib.flows.recheck import Rechecker
from chalicelib.flows.send_pushes import PushSender
from chalicelib.http.events import queue_messages, stream_records
from chalicelib.passes.builder import PassBuilder
from chalicelib.passes.signing import Signer
from chalicelib.passes.template import Template
from chalicelib.telemetry.metrics import Metrics
from chalicelib.updates.conditional import Conditions
from chalicelib.updates.pacing import PushRate
from chalicelib.updates.push_tasks import Recheck, RecheckReason
from infra.local.run import PASS_TYPE_IDENTIFIER
from infra.operate.held_removals import RemovalQueue
from infra.stage.stage import Stage
from tests.faults.clock import Clock
from tests.faults.delivery_rules import UNTIL_TOO_OLD, DeliveryRules
from tests.faults.queues import RigQueues
from tests.schedules.tables import ScratchTables
from tests.support.in_process import MAX_PAYLOAD_BYTES
from tests.support.simulated_apns import ApnsForTests

DIRECT_DEVICES = 100
PAGE = 200
INVOCATION_SECONDS = 10.0
MAX_ROUNDS = 3000
WORKER_SECONDS = 40.0
REPAIRED = ("late", "corrupt")
"""Names of templates that have the files of the packaged one when they are not broken."""
_SERIALIZER = TypeSerializer()


class Killed(BaseException):
    """Lambda ended the invocation."""


@dataclass(frozen=True)
class Result:
    """The results of the expected pushes.

    Args:
        due: devices that had to get a push, or more than one.
        delivered: devices that got all of them.
        lost: devices that got no push, or too few.
        repeated: pushes that APNs accepted beyond those.
    """

    due: int
    delivered: int
    lost: int
    repeated: int


class Rig:
    """The push side of a stage, with its own tables and queues."""

    def __init__(self, apns: ApnsForTests, tables: ScratchTables) -> None:
        self.apns = apns
        self.tables = tables
        self.clock = Clock()
        self.devices_per_second = 1_000_000.0
        self.sleeps = 0
        self.dies_at_sleep = 0
        self.dies_after_outcomes: int | None = None
        self.sends: list[tuple[float, int, float]] = []
        """The time, the number of devices and the seconds of each send."""
        self.broken_templates: dict[str, Exception] = {}
        self.certificate_ended = False
        self.keys = AuthenticationKeys((AuthenticationKey("k", b"k" * 32),))
        self._signer = Signer.from_pem(
            certificate=apns.chain.pass_type_certificate.read_text(),
            private_key=apns.chain.pass_type_key.read_text(),
            intermediate=apns.chain.intermediate.read_text(),
        )
        self.due: set[str] = set()
        self.due_again: Counter[str] = Counter()
        self.rules = DeliveryRules.of_template()
        self.queues = RigQueues(self.rules, self.clock)
        self.client = self.new_client()
        self.new_environment()

    def new_client(self, **options: Any) -> Client:  # noqa: ANN401 - Client's own
        """Make a client that does not pause before it connects again: some faults last for a hundred attempts."""
        return self.apns.client(**{"timeouts": Timeouts(backoff=0.0), **options})

    def paces(self, devices_per_second: float) -> None:
        """Set the rate, and measure it from now on."""
        self.devices_per_second = devices_per_second
        self.new_environment()

    def _sleep(self, seconds: float) -> None:
        """Move the clock instead of waiting inside an invocation."""
        self.sleeps += 1
        if self.sleeps == self.dies_at_sleep:
            raise Killed
        self.clock.skew += seconds

    def _client_for(self, _: str) -> Client:
        """Wrap the client: pushes that are spread over time are sent at once, and the clock moves by that time."""
        client = self.client

        def push(pushes: list[Push], *, deadline: float, pace: Pace) -> Iterator[Outcome]:
            self.sends.append((self.clock(), len(pushes), pace.spread_seconds))
            outcomes = client.push(pushes, deadline=deadline, pace=Pace(start_until=pace.start_until))
            for count, outcome in enumerate(outcomes):
                if count == self.dies_after_outcomes:
                    raise Killed
                yield outcome
            self.clock.skew += pace.spread_seconds

        members = {"push": push, "connections": client.connections, "identity": client.identity}
        return cast("Client", SimpleNamespace(**members))

    def most_at_once(self) -> float:
        """The largest number of seconds by which sends of any period exceeded the rate that each was sent at."""
        most = 0.0
        for first in range(len(self.sends)):
            taken = 0.0
            for at, _, seconds in self.sends[first:]:
                taken += seconds
                most = max(most, taken - (at + seconds - self.sends[first][0]))
        return most

    def new_environment(self) -> None:
        """Start a new execution environment, which caches nothing."""
        self.dynamodb, self.sqs = session.client("dynamodb"), session.client("sqs")
        self.store = self.tables.store(client=self.dynamodb)
        self.queue = Queue(
            push_queue_url=self.queues.push_url,
            dead_letter_queue_url=self.queues.dead_letter_url,
            held_removals_queue_url=self.queues.held_removals_url,
            client=self.sqs,
            pause_seconds=0,
        )
        self.queues.watch(self.sqs)
        push_sender = PushSender(
            self.store,
            Pacer(self.store, PushRate(self.devices_per_second), clock=self.clock, sleep=self._sleep),
            Metrics("faults"),
            client_for=self._client_for,
            clock=self.clock,
            hold=self.queue.hold,
        )
        templates = RigTemplates(self)
        builder = PassBuilder(templates=templates, signer_for=self._signer_for)
        failures = FailedDownloads(self.store, lambda: self.queue, builder, clock=self.clock, delay_seconds=0)
        rechecker = Rechecker(
            self.store, self.queue, Metrics("faults"), builder, clock=self.clock, max_stamp_seconds=INVOCATION_SECONDS
        )
        self.changes = ChangeHandler(
            self.store,
            self.queue,
            push_sender,
            Metrics("faults"),
            templates=templates,
            clock=self.clock,
            limits=ChangeLimits(narrow_devices=DIRECT_DEVICES),
        )
        self.push_worker = PushWorker(
            self.store,
            self.queue,
            push_sender,
            rechecker=lambda: rechecker,
            clock=self.clock,
            limits=WorkerLimits(FanOutLimits(page=PAGE)),
        )
        self.downloader = Downloader(self.store, self.keys, builder, failures, window_seconds=25)

    def _signer_for(self, _: str) -> Signer:
        if self.certificate_ended:
            raise ConfigurationError("the certificate has expired")
        return self._signer

    # ------------------------------------------------------------ events

    def has_a_pass(self, serial_number: str, *, devices: int) -> PassId:
        """Write a pass with its registrations into the tables, in its first version."""
        pass_id = PassId(PASS_TYPE_IDENTIFIER, serial_number)
        holders = [f"{serial_number}-{number:04d}" for number in range(devices)]
        tokens = {holder: secrets.token_hex(32) for holder in holders}
        self.due.update(tokens.values())
        resource, names = boto3.resource("dynamodb"), self.tables.names
        now = int(time.time())
        with (
            resource.Table(names["registrations"]).batch_writer() as registrations,
            resource.Table(names["devices"]).batch_writer() as rows,
        ):
            for holder in holders:
                key = {"device_library_identifier": holder}
                registrations.put_item(Item={"pass_id": str(pass_id), **key, "registered_at": now})
                rows.put_item(
                    Item={**key, "push_token": tokens[holder], "passes": {str(pass_id)}, "updated_at": now * 1000}
                )
        self.store.versions.stamp_at(pass_id, now=now - 10, changes=1, deleted=False)
        return pass_id

    def writes(self, pass_id: PassId, **attributes: object) -> None:
        """A pipeline's PutItem; the scenario makes the record of the stream."""
        item = {"pass_id": str(pass_id), "template": "boarding", **attributes}
        boto3.resource("dynamodb").Table(self.tables.names["passes"]).put_item(Item=item)

    def record(
        self, pass_id: PassId, *, gate: str = "B22", template: str = "boarding", **wrong: object
    ) -> dict[str, Any]:
        """Make the stream's record of a change of the gate."""
        new = {"pass_id": str(pass_id), "template": template, "fields": {"gate": gate, **wrong}}
        old = {**new, "fields": {"gate": "A7"}}
        return {
            "dynamodb": {
                "Keys": {"pass_id": {"S": str(pass_id)}},
                "SequenceNumber": str(time.monotonic_ns()),
                "ApproximateCreationDateTime": time.time(),
                "OldImage": _SERIALIZER.serialize(old)["M"],
                "NewImage": _SERIALIZER.serialize(new)["M"],
            }
        }

    def deletion(self, pass_id: PassId) -> dict[str, Any]:
        """Make the stream's record of a deletion."""
        record = self.record(pass_id)
        del record["dynamodb"]["NewImage"]
        return record

    def insertion(self, pass_id: PassId) -> dict[str, Any]:
        """Write an item, and make the stream's record of its insertion."""
        record = self.record(pass_id)
        del record["dynamodb"]["OldImage"]
        self.tables.write(pass_id, {"pass_id": str(pass_id), "template": "boarding"})
        return record

    def delivers(
        self,
        records: list[dict[str, Any]],
        *,
        between: Callable[[int], None] = lambda _: None,
        attempt_seconds: float = 1.0,
    ) -> None:
        """Deliver a batch as Lambda does: from the failed record again, until it is settled or given up.

        Args:
            records: of the stream.
            between: called after each attempt with its number, from 0.
            attempt_seconds: how much older the records are after an attempt.
        """
        assert len(json.dumps({"Records": records})) <= MAX_PAYLOAD_BYTES, "more than an invocation takes"
        self.queues.depth = 0
        for attempt in range(MAX_ROUNDS):
            retries_left = self.rules.retry_attempts == UNTIL_TOO_OLD or attempt <= self.rules.retry_attempts
            if not retries_left or attempt * attempt_seconds > self.rules.record_age_seconds:
                return
            try:
                failed = self.changes.handle(
                    stream_records({"Records": records}), deadline=time.monotonic() + INVOCATION_SECONDS
                )
            except TransientError:
                pass
            except Killed:
                self.new_environment()
            else:
                numbers = [record["dynamodb"]["SequenceNumber"] for record in records]
                records = records[numbers.index(failed[0]) :] if failed else []
            if not records:
                return
            between(attempt)
        raise AssertionError("the batch does not settle")

    def runs_push_worker(self, *, between: Callable[[int], None] = lambda _: None) -> None:
        """Deliver messages as Lambda does, until only push tasks whose time has not come are left."""
        self.queues.put_back_what_is_due()
        for attempt in range(MAX_ROUNDS):
            records = self.queues.receive()
            if records is None:
                return
            assert len(json.dumps({"Records": records})) <= MAX_PAYLOAD_BYTES, "more than an invocation takes"
            try:
                failed = self.push_worker.handle(
                    queue_messages({"Records": records}), deadline=time.monotonic() + WORKER_SECONDS
                )
            except Killed:
                self.new_environment()
                failed = [record["messageId"] for record in records]
            self.queues.settle(records, failed=failed)
            between(attempt)
        raise AssertionError("the queue does not become empty")

    def downloads(self, pass_id: PassId) -> bool:
        """A phone downloads a pass of which it has an older version; returns true if it gets one."""
        try:
            download = self.downloader.download(
                pass_id=pass_id,
                authorization=f"ApplePass {self.keys.issue(pass_id, item_token=None).value}",
                conditions=Conditions(),
                web_service_url="https://a.example",
                now=self.clock(),
            )
        except PasswireError:
            return False
        return download.pkpass is not None

    def asks_for_rechecks(self, pass_ids: Iterable[PassId]) -> None:
        """Queue rechecks as `template push` does for passes with a recorded refusal."""
        refused = sorted(self.store.versions.refused(list(pass_ids)))
        self.queue.send([Recheck(pass_id, RecheckReason.REFUSED, self.clock()) for pass_id in refused])

    def operator(self) -> RemovalQueue:
        """The operator's tool for held removals."""
        queues = {"held_removals": self.queues.held_removals_url, "push": self.queues.push_url}
        return RemovalQueue(cast("Stage", SimpleNamespace(queues=queues)))

    def devices_of(self, pass_id: PassId) -> int:
        """Count the devices that are registered for a pass."""
        return len(self.store.registrations.page(pass_id, after=None, limit=10_000).devices)

    def owes_another_push(self) -> None:
        """Expect one more push to each device that has been notified: its pass is about to change again."""
        self.due_again.update(self._accepted().keys() & self.due)

    def result(self) -> Result:
        accepted = self._accepted()
        beyond = {token: accepted[token] - 1 - self.due_again[token] for token in self.due}
        lost = sum(more < 0 for more in beyond.values())
        return Result(len(self.due), len(self.due) - lost, lost, sum(more for more in beyond.values() if more > 0))

    def _accepted(self) -> Counter[str]:
        """Count the pushes that APNs accepted, by push token."""
        return Counter(push["token"] for push in self.apns.pushes() if push["status"] == 200)


class RigTemplates(Templates):
    """The packaged templates, some of which are broken and raise an error."""

    def __init__(self, rig: Rig) -> None:
        super().__init__()
        self._rig = rig

    def get(self, name: str, *, max_age_seconds: float | None = None, announced: str | None = None) -> Template:
        if (error := self._rig.broken_templates.get(name)) is not None:
            raise error
        return super().get(
            "boarding" if name in REPAIRED else name, max_age_seconds=max_age_seconds, announced=announced
        )


@contextlib.contextmanager
def a_rig(apns: ApnsForTests) -> Iterator[Rig]:
    """Make a rig with lower limits of fan-outs and without waits for SQS."""
    apns.recovers()
    apns.forgets()
    with contextlib.ExitStack() as patches:
        yield Rig(apns, patches.enter_context(ScratchTables()))

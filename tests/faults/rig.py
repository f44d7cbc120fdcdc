"""A rig that runs the service's handlers, push client, store and queue, with the stand-in for APNs.

It simulates Lambda and SQS by AWS's rules (`infra/local/aws_rules.py`: A1, A6, A7, A13), with the settings of the
stage's template: how often and for how long a batch or a message is delivered again, how often a function may invoke
itself through its queue, how large an invocation's payload may be. It does not wait: a delivery that would come after a
minute comes at once, and `waited_seconds` adds up the time.
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
from unittest.mock import patch

import boto3
from boto3.dynamodb.types import TypeSerializer
from botocore.awsrequest import AWSResponse

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
from chalicelib.updates.removals import HeldRemovals, parse_held_removals
from infra.deploy.resources import resources
from infra.local.run import PASS_TYPE_IDENTIFIER
from infra.operate.held_removals import RemovalQueue
from infra.stage.stage import Stage
from tests.schedules.tables import ScratchTables
from tests.support.aws_answers import Raw
from tests.support.in_process import MAX_PAYLOAD_BYTES
from tests.support.simulated_apns import ApnsForTests

DIRECT_DEVICES = 100
PAGE = 200
BATCH = 10
INVOCATION_SECONDS = 10.0
MAX_ROUNDS = 3000
MAX_DEPTH = 16
"""How often a function may be invoked by messages that it sent to its own queue (Lambda guide, "Recursive loop
detection": about 16 times)."""
WAITING = ('"not_before"', '"slot_at"')
"""Parts of the bodies of messages that are not delivered before their delay is over."""
UNTIL_TOO_OLD = -1
"""The value of MaximumRetryAttempts for which only the age of the records ends the attempts."""
WORKER_SECONDS = 40.0
REPAIRED = ("late", "corrupt")
"""Names of templates that have the files of the packaged one when they are not broken."""
_SERIALIZER = TypeSerializer()


class Killed(BaseException):
    """Lambda ended the invocation."""


@dataclass(frozen=True)
class DeliveryRules:
    """The rules of repeated delivery in the stage's template.

    Args:
        retry_attempts: of a batch of the stream after the first; UNTIL_TOO_OLD for no limit.
        record_age_seconds: when a batch of the stream is given up, however few its attempts.
        visibility_seconds: when a message that was not settled is delivered again, unless it was postponed.
        max_receives: how often a message is delivered before it is a dead letter.
        may_recurse: whether the worker may be invoked by what it sent itself more than MAX_DEPTH times.
    """

    retry_attempts: int
    record_age_seconds: int
    visibility_seconds: int
    max_receives: int
    may_recurse: bool

    @classmethod
    def of_template(cls) -> "DeliveryRules":
        found = resources()["Resources"]
        stream = found["Push"]["Properties"]["Events"]["PushDynamodbEventSource"]["Properties"]
        queue = found["PushQueue"]["Properties"]
        return cls(
            retry_attempts=stream["MaximumRetryAttempts"],
            record_age_seconds=stream["MaximumRecordAgeInSeconds"],
            visibility_seconds=queue["VisibilityTimeout"],
            max_receives=queue["RedrivePolicy"]["maxReceiveCount"],
            may_recurse=found["PushWorker"]["Properties"].get("RecursiveLoop") == "Allow",
        )


@dataclass(frozen=True)
class Result:
    """The results of the expected pushes.

    Args:
        due: devices that had to get a push.
        delivered: devices that got one.
        lost: devices that got no push.
        repeated: pushes that APNs accepted beyond the first to a device.
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
        self.skew = 0.0
        self.devices_per_second = 1_000_000.0
        self.sleeps = 0
        self.dies_at_sleep = 0
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
        self.rules = DeliveryRules.of_template()
        self.dropped: list[str] = []
        """The bodies of messages whose invocation Lambda stopped as a recursive loop."""
        self.given_up: list[dict[str, Any]] = []
        """The records of the stream that were too old or attempted too often."""
        self.waited_seconds: dict[str, float] = {}
        """The time that a message would have waited for all its deliveries, by message id."""
        self._sqs = boto3.client("sqs")
        name = f"faults-{secrets.token_hex(4)}"
        self.dead_letter_queue, self.held_removals_queue = (
            self._sqs.create_queue(QueueName=f"{name}-{role}")["QueueUrl"] for role in ("dead", "held")
        )
        redrive = {"deadLetterTargetArn": self._arn(self.dead_letter_queue), "maxReceiveCount": self.rules.max_receives}
        self.push_queue = self._sqs.create_queue(
            QueueName=f"{name}-push", Attributes={"RedrivePolicy": json.dumps(redrive)}
        )["QueueUrl"]
        self._depth = 0
        self._depths: dict[str, int] = {}
        self._postponed: dict[str, int] = {}
        self._visible_from: dict[str, float] = {}
        """The times at which SQS delivers messages whose push task has an earliest time, by message id."""
        self._delayed: list[tuple[float, str]] = []
        """Such messages that were received too early: the earliest time and the body."""
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
        self.skew += seconds

    def _client_for(self, _: str) -> Client:
        """Wrap the client: pushes that are spread over time are sent at once, and the clock moves by that time."""
        client = self.client

        def push(pushes: list[Push], *, deadline: float, pace: Pace) -> Iterator[Outcome]:
            self.sends.append((self.clock(), len(pushes), pace.spread_seconds))
            yield from client.push(pushes, deadline=deadline, pace=Pace(start_until=pace.start_until))
            self.skew += pace.spread_seconds

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
            push_queue_url=self.push_queue,
            dead_letter_queue_url=self.dead_letter_queue,
            held_removals_queue_url=self.held_removals_queue,
            client=self.sqs,
            pause_seconds=0,
        )
        self._watch(self.sqs)
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

    def clock(self) -> float:
        return time.time() + self.skew

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
        self._depth = 0
        for attempt in range(MAX_ROUNDS):
            retries_left = self.rules.retry_attempts == UNTIL_TOO_OLD or attempt <= self.rules.retry_attempts
            if not retries_left or attempt * attempt_seconds > self.rules.record_age_seconds:
                self.given_up += records
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

    def drains(self, *, between: Callable[[int], None] = lambda _: None) -> None:
        """Deliver messages as Lambda does, until only push tasks whose time has not come are left."""
        self._put_back_what_is_due()
        for attempt in range(MAX_ROUNDS):
            messages = self._sqs.receive_message(
                QueueUrl=self.push_queue,
                MaxNumberOfMessages=BATCH,
                VisibilityTimeout=0,
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
            ).get("Messages", [])
            if not messages and not self._paced_become_due():
                return
            messages = [message for message in messages if not self._too_early(message)]
            messages = [message for message in messages if not self._stopped_as_loop(message)]
            records = [
                {
                    "messageId": message["MessageId"],
                    "receiptHandle": message["ReceiptHandle"],
                    "attributes": message["Attributes"],
                    "body": message["Body"],
                }
                for message in messages
            ]
            assert len(json.dumps({"Records": records})) <= MAX_PAYLOAD_BYTES, "more than an invocation takes"
            self._depth = max((self._depths.get(message["MessageId"], 1) for message in messages), default=0)
            try:
                failed = self.push_worker.handle(
                    queue_messages({"Records": records}), deadline=time.monotonic() + WORKER_SECONDS
                )
            except Killed:
                self.new_environment()
                failed = [record["messageId"] for record in records]
            for record in records:
                if record["messageId"] not in failed:
                    self._sqs.delete_message(QueueUrl=self.push_queue, ReceiptHandle=record["receiptHandle"])
                else:
                    seconds = self._postponed.pop(record["receiptHandle"], self.rules.visibility_seconds)
                    self._wait(record["messageId"], seconds)
            between(attempt)
        raise AssertionError("the queue does not become empty")

    def holds_removals(self) -> list[HeldRemovals]:
        """Read the held removals, which stay in their queue until an operator decides."""
        found = self._sqs.receive_message(
            QueueUrl=self.held_removals_queue, MaxNumberOfMessages=10, VisibilityTimeout=0
        )
        return [parse_held_removals(message["Body"]) for message in found.get("Messages", [])]

    def operator(self) -> RemovalQueue:
        """The operator's tool for held removals."""
        queues = {"held_removals": self.held_removals_queue, "push": self.push_queue}
        return RemovalQueue(cast("Stage", SimpleNamespace(queues=queues)))

    def devices_of(self, pass_id: PassId) -> int:
        """Count the devices that are registered for a pass."""
        return len(self.store.registrations.page(pass_id, after=None, limit=10_000).devices)

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

    @property
    def longest_wait_seconds(self) -> float:
        """The longest time that a message would have waited."""
        return max(self.waited_seconds.values(), default=0.0)

    def _wait(self, message_id: str, seconds: float) -> None:
        self.waited_seconds[message_id] = self.waited_seconds.get(message_id, 0.0) + seconds

    def _too_early(self, message: dict[str, Any]) -> bool:
        """Return true, and keep the message, if SQS would not deliver it yet."""
        visible_from = self._visible_from.get(message["MessageId"], 0.0)
        if visible_from <= self.clock():
            return False
        self._delayed.append((visible_from, message["Body"]))
        self._sqs.delete_message(QueueUrl=self.push_queue, ReceiptHandle=message["ReceiptHandle"])
        return True

    def _put_back_what_is_due(self) -> None:
        due = [body for visible_from, body in self._delayed if visible_from <= self.clock()]
        self._delayed = [kept for kept in self._delayed if kept[0] > self.clock()]
        for body in due:
            self._sqs.send_message(QueueUrl=self.push_queue, MessageBody=body)

    def _paced_become_due(self) -> bool:
        """Move the clock to the next paced message, if only such messages are left; false if there is nothing left."""
        paced = [visible_from for visible_from, body in self._delayed if '"not_before"' not in body]
        if not paced:
            return False
        self.skew += max(0.0, min(paced) - self.clock())
        self._put_back_what_is_due()
        return True

    def _stopped_as_loop(self, message: dict[str, Any]) -> bool:
        """Return true if Lambda stops the invocation for this message, whose pushes are then lost."""
        if self.rules.may_recurse or self._depths.get(message["MessageId"], 1) <= MAX_DEPTH:
            return False
        self.dropped.append(message["Body"])
        self._sqs.delete_message(QueueUrl=self.push_queue, ReceiptHandle=message["ReceiptHandle"])
        return True

    def _watch(self, sqs: Any) -> None:  # noqa: ANN401 - botocore's
        """Record the messages that are sent and postponed, and remove their delays."""
        delays: list[int] = []
        waiting: list[bool] = []

        def send(params: dict[str, Any], **_: object) -> dict[str, Any]:
            delays[:] = [entry.get("DelaySeconds", 0) for entry in params["Entries"]]
            waiting[:] = [any(name in entry["MessageBody"] for name in WAITING) for entry in params["Entries"]]
            return {**params, "Entries": [{**entry, "DelaySeconds": 0} for entry in params["Entries"]]}

        def sent(parsed: dict[str, Any], **_: object) -> None:
            for message in parsed.get("Successful", []):
                self._depths[message["MessageId"]] = self._depth + 1
                self._wait(message["MessageId"], delays[int(message["Id"])])
                if waiting[int(message["Id"])]:
                    self._visible_from[message["MessageId"]] = self.clock() + delays[int(message["Id"])]

        def postpone(params: dict[str, Any], **_: object) -> dict[str, Any]:
            self._postponed[params["ReceiptHandle"]] = params["VisibilityTimeout"]
            return {**params, "VisibilityTimeout": 0}

        events = sqs.meta.events
        events.register("provide-client-params.sqs.SendMessageBatch", send)
        events.register("after-call.sqs.SendMessageBatch", sent)
        events.register("provide-client-params.sqs.ChangeMessageVisibility", postpone)

    def _arn(self, queue_url: str) -> str:
        attributes = self._sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])["Attributes"]
        return str(attributes["QueueArn"])

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

    def receives_foreign(self, *bodies: str) -> None:
        """Put foreign messages into the push queue."""
        for body in bodies:
            self._sqs.send_message(QueueUrl=self.push_queue, MessageBody=body)

    def writes(self, pass_id: PassId, **attributes: object) -> None:
        """A pipeline's PutItem; the scenario makes the record of the stream."""
        item = {"pass_id": str(pass_id), "template": "boarding", **attributes}
        boto3.resource("dynamodb").Table(self.tables.names["passes"]).put_item(Item=item)

    def dead_letters(self) -> list[str]:
        found = self._sqs.receive_message(QueueUrl=self.dead_letter_queue, MaxNumberOfMessages=10)
        return [message["Body"] for message in found.get("Messages", [])]

    def result(self) -> Result:
        taken = Counter(push["token"] for push in self.apns.pushes() if push["status"] == 200)
        notified = self.due & set(taken)
        repeated = sum(count - 1 for token, count in taken.items() if token in self.due)
        return Result(len(self.due), len(notified), len(self.due - notified), repeated)

    # ------------------------------------------------------------ faults

    @contextlib.contextmanager
    def services_answer(self, wrong: Callable[[int], tuple[int, str] | None], *, of: str = "") -> Iterator[None]:
        """Answer the nth request with a status and error code, or normally for None.

        Args:
            wrong: by the request's number.
            of: the service, dynamodb or sqs; empty for both.
        """
        numbers = iter(range(1, 1_000_000))

        def answer(request: Any, **_: object) -> AWSResponse | None:  # noqa: ANN401 - botocore's
            if (error := wrong(next(numbers))) is None:
                return None
            status, code = error
            body = f'{{"__type": "com.amazonaws#{code}", "message": "injected"}}'.encode()
            return AWSResponse(request.url, status, {"Content-Type": "application/x-amz-json-1.0"}, Raw(body))

        clients = [client for client in (self.dynamodb, self.sqs) if of in client.meta.service_model.service_name]
        for client in clients:
            client.meta.events.register_first("before-send.*", answer)
        try:
            yield
        finally:
            for client in clients:
                client.meta.events.unregister("before-send.*", answer)

    @contextlib.contextmanager
    def dies_at_request(self, number: int) -> Iterator[None]:
        """Kill the execution environment before its nth request to DynamoDB or SQS."""
        numbers = iter(range(1, 1_000_000))

        def die(**_: object) -> None:
            if next(numbers) == number:
                raise Killed

        for client in [self.dynamodb, self.sqs]:
            client.meta.events.register_first("before-call.*", die)
        yield

    @contextlib.contextmanager
    def dies_after_outcomes(self, number: int) -> Iterator[None]:
        """Kill the execution environment after a number of answers of APNs, before they are processed."""
        push = self.client.push

        def dying(*arguments: Any, **options: Any) -> Iterator[Outcome]:  # noqa: ANN401 - Client.push's
            for count, outcome in enumerate(push(*arguments, **options)):
                if count == number:
                    raise Killed
                yield outcome

        with patch.object(self.client, "push", dying):
            yield


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

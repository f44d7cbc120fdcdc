"""The push side in memory: tables, queue, held removals and APNs are values, and tests move the clock.

`works_off` delivers the messages that the handlers have queued, as SQS and Lambda do, and moves the clock.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from types import SimpleNamespace
from typing import Any, cast

from boto3.dynamodb.types import TypeSerializer

from chalicelib.apns.client import Client, Pace
from chalicelib.apns.outcomes import Outcome, Push
from chalicelib.apns.reasons import OutcomeKind, kind_of
from chalicelib.aws.queue import Queue
from chalicelib.core.authentication import AuthenticationKey, AuthenticationKeys
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId, PushToken
from chalicelib.core.wallets import Wallet
from chalicelib.flows.change import ChangeHandler
from chalicelib.flows.pace import Pacer
from chalicelib.flows.push_worker import PushWorker
from chalicelib.flows.recheck import Rechecker
from chalicelib.flows.register import Registrar
from chalicelib.flows.send_pushes import PushSender
from chalicelib.http.events import queue_messages, stream_records
from chalicelib.passes.builder import TemplateSource
from chalicelib.passes.template import Template
from chalicelib.telemetry.metrics import Metrics
from chalicelib.updates.attempts import with_attempts
from chalicelib.updates.changes import RefusedRecord
from chalicelib.updates.pacing import PushRate
from chalicelib.updates.push_tasks import PushTask, decode, encode
from chalicelib.updates.recent import PUSH_DELAY_SECONDS
from chalicelib.updates.removals import HeldRemovals
from tests.schedules.memory import Memory

TYPE = "pass.com.example"
KEYS = AuthenticationKeys((AuthenticationKey("k", b"k" * 32),))
_SERIALIZER = TypeSerializer()
_CHUNK = 10
_TEMPLATE = Template.parse(
    "t",
    {"pass.json": json.dumps({"generic": {"primaryFields": [{"key": "gate", "label": "", "value": ""}]}}).encode()},
)


@dataclass(frozen=True)
class Answer:
    """An answer of APNs to a push."""

    status: int = 200
    reason: str | None = None
    timestamp: int | None = None
    retry_after: int | None = None


UNREGISTERED = Answer(410, "Unregistered")
BAD_TOKEN = Answer(400, "BadDeviceToken")


@dataclass
class Message:
    """A message of the push queue."""

    number: int
    body: str
    at: float
    received: int = 0


@dataclass
class PushSide:
    """The push side of one stage."""

    rows: Memory = field(default_factory=Memory)
    now: float = 1_700_000_000.0
    answers: dict[str, Answer] = field(default_factory=dict)
    everything: Answer | None = None
    identity: str = "credential on host"
    grace_seconds: int = 900
    devices_per_second: float = 1_000_000.0
    pushed: list[tuple[str, str]] = field(default_factory=list)
    held: list[HeldRemovals] = field(default_factory=list)
    refused: list[RefusedRecord] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    dies_after_pushes: int | None = None
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1, 1_000_000)))
    skews: Iterator[float] = field(default_factory=lambda: repeat(0.0))
    """Seconds by which the clock of each invocation's machine is ahead."""
    skew: float = 0.0
    pushed_at: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = self.rows.store()
        self.new_environment()

    def new_environment(self) -> None:
        """Start a new execution environment."""
        queue = cast("Queue", SimpleNamespace(send=self._send, refuse=self._refuse, postpone=self._postpone))
        pacer = Pacer(self.store, PushRate(self.devices_per_second), clock=self.clock, sleep=self._sleep)
        sender = PushSender(
            self.store, pacer, Metrics("test"), client_for=self._client_for, clock=self.clock, hold=self.held.extend
        )
        self.changes = ChangeHandler(
            self.store,
            queue,
            sender,
            Metrics("test"),
            templates=cast("TemplateSource", SimpleNamespace(get=lambda _, **__: _TEMPLATE)),
            clock=self.clock,
            deletion_grace_seconds=self.grace_seconds,
        )
        self.push_worker = PushWorker(self.store, queue, sender, rechecker=self._no_rechecker, clock=self.clock)
        self.registrar = Registrar(self.store, KEYS, queue)

    def clock(self) -> float:
        """The clock of the machine that runs the current invocation."""
        return self.now + self.skew

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    # ------------------------------------------------------------ the story

    def holds(self, device: str, *serial_numbers: str, wallet: Wallet = Wallet.APPLE) -> None:
        for serial_number in serial_numbers:
            pass_id = PassId(TYPE, serial_number)
            self.rows.items.setdefault(pass_id, {"pass_id": str(pass_id)})
            if pass_id not in self.rows.versions:
                self.store.versions.stamp_at(pass_id, now=int(self.now) - 100, changes=1, deleted=False)
            identifier, token = DeviceLibraryIdentifier(device), PushToken(f"token-of-{device}")
            self.store.registrations.create(identifier, pass_id, push_token=token, at=self.now, wallet=wallet)

    def record(self, serial_number: str, *, new: bool = True, old: bool = True) -> dict[str, Any]:
        """Make a record of the stream: a change, an insertion or a deletion."""
        number = next(self.numbers)
        key = {"pass_id": f"{TYPE}/{serial_number}"}
        images = {"OldImage": old, "NewImage": new}
        content = {"OldImage": f"A{number}", "NewImage": f"B{number}"}
        return {
            "dynamodb": {
                "Keys": _SERIALIZER.serialize(key)["M"],
                "SequenceNumber": str(number),
                "ApproximateCreationDateTime": self.now,
                **{
                    name: _SERIALIZER.serialize({**key, "template": "t", "fields": {"gate": content[name]}})["M"]
                    for name, is_there in images.items()
                    if is_there
                },
            }
        }

    def changes_pass(self, *serial_numbers: str) -> None:
        self.handles(*(self.record(serial_number) for serial_number in serial_numbers))

    def deletes_pass(self, serial_number: str) -> None:
        self.rows.items.pop(PassId(TYPE, serial_number))
        self.handles(self.record(serial_number, new=False))

    def inserts_pass(self, serial_number: str) -> None:
        pass_id = PassId(TYPE, serial_number)
        self.rows.items[pass_id] = {"pass_id": str(pass_id)}
        self.handles(self.record(serial_number, old=False))

    def handles(self, *records: Mapping[str, Any]) -> None:
        self.skew = next(self.skews)
        assert self.changes.handle(stream_records({"Records": records}), deadline=time.monotonic() + 60) == []

    def works_off(self, *, seconds: float = PUSH_DELAY_SECONDS, twice: bool = False) -> None:
        """Move the clock, and deliver the messages that become due.

        Args:
            seconds: from now; by default until the fan-outs of a change that was just made have begun.
            twice: whether each message is sent twice, as by a sender whose request got no answer.
        """
        until = self.now + seconds
        if twice:
            self.messages += [Message(next(self.numbers), message.body, message.at) for message in self.messages]
        while self.messages and (first := min(message.at for message in self.messages)) <= until:
            self.now = max(self.now, first)
            due = [message for message in self.messages if message.at <= self.now]
            self._worker(sorted(due, key=lambda message: message.at)[:_CHUNK])
        self.now = until

    def _worker(self, messages: list[Message]) -> None:
        for message in messages:
            message.received += 1
            message.at = self.now + 720
        records = [
            {
                "messageId": str(message.number),
                "receiptHandle": str(message.number),
                "attributes": {"ApproximateReceiveCount": str(message.received)},
                "body": message.body,
            }
            for message in messages
        ]
        self.skew = next(self.skews)
        failed = self.push_worker.handle(queue_messages({"Records": records}), deadline=time.monotonic() + 60)
        handled = {message.number for message in messages} - {int(identifier) for identifier in failed}
        self.messages = [message for message in self.messages if message.number not in handled]

    # ------------------------------------------------------------ results

    def devices(self) -> set[str]:
        return {identifier.value for identifier in self.rows.devices}

    def notified(self) -> list[str]:
        """The devices whose pushes APNs accepted, in order."""
        return [device for device, answer in self.pushed if answer == "delivered"]

    def tasks(self) -> list[PushTask]:
        return [decode(message.body) for message in self.messages]

    # ------------------------------------------------------------ what the handlers meet

    def _send(
        self, tasks: Sequence[PushTask], *, delay_seconds: int = 0, until: float = 0.0, attempts: int = 0
    ) -> None:
        assert until >= 0
        at = self.now + min(delay_seconds, 900)
        bodies = [with_attempts(encode(task), attempts) for task in tasks]
        self.messages += [Message(next(self.numbers), body, at) for body in bodies]

    def _refuse(self, records: Sequence[RefusedRecord], *, at: float) -> None:
        assert at == self.now
        self.refused.extend(records)

    def _no_rechecker(self) -> Rechecker:
        raise AssertionError("nothing is looked at again here")

    def _postpone(self, receipt_handle: str, *, seconds: int) -> None:
        number = int(receipt_handle)
        for message in self.messages:
            if message.number == number:
                message.at = self.now + seconds

    def _client_for(self, _: str) -> Client:
        return cast("Client", SimpleNamespace(push=self._push, connections=0, identity=self.identity))

    def _push(self, pushes: Sequence[Push], *, deadline: float, pace: Pace) -> Iterator[Outcome]:
        assert deadline
        assert pace
        for push in pushes:
            if self.dies_after_pushes is not None:
                self.dies_after_pushes -= 1
                if self.dies_after_pushes < 0:
                    raise Killed
            device = push.push_token.value.removeprefix("token-of-")
            answer = self.everything or self.answers.get(device, Answer())
            kind = kind_of(answer.status, answer.reason or "")
            self.pushed.append((device, kind.value))
            self.pushed_at.append(self.now)
            if kind is OutcomeKind.DELIVERED:
                yield Outcome(push, kind, status=200)
            else:
                yield Outcome(
                    push,
                    kind,
                    status=answer.status,
                    reason=answer.reason,
                    timestamp=answer.timestamp,
                    retry_after=answer.retry_after,
                )


class Killed(BaseException):
    """Lambda ended the invocation."""

"""What an operator does with pushes: see what waits and what was given up, send it again, push by hand.

Queues hold device library identifiers and streams hold items; neither is ever shown.
"""

import base64
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic, time
from typing import Any
from uuid import uuid4

from chalicelib.aws.queue import MESSAGES_PER_REQUEST
from chalicelib.aws.tables import Store
from chalicelib.aws.tables.devices import Device
from chalicelib.core.errors import PasswireError, RefusedError
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId
from chalicelib.updates.push_tasks import (
    FanOut,
    NotifyDevices,
    PushTask,
    Recheck,
    RecheckReason,
    RemoveRegistrations,
    decode,
    encode,
    in_chunks,
)
from chalicelib.updates.removals import HeldRemovals, read_held
from infra.stage import aws
from infra.stage.stage import Stage

LOOK_SECONDS = 60
"""How long messages that are looked at stay hidden from others, should this process end before it gives them back."""
DECIDE_SECONDS = 1800
"""How long held removals stay hidden while they are decided on; those that are left are visible again after it."""
RECEIVED_AT_ONCE = 10
READ_SECONDS = 30.0
RECORDS_PER_INVOCATION = 100
BYTES_PER_INVOCATION = 5_000_000
"""Lambda takes a payload of 6 MB (AWS, "Lambda quotas"), and the push function handles a batch of 100 in its time."""


class PushesError(PasswireError):
    """What was asked for could not be done; the message says why."""


@dataclass(frozen=True, slots=True)
class QueueState:
    """A queue in numbers.

    Args:
        waiting: messages that can be received now.
        in_flight: messages that are being worked on.
        delayed: messages that will be there later.
        oldest_seconds: age of the oldest, None where CloudWatch has no figure.
    """

    waiting: int
    in_flight: int
    delayed: int
    oldest_seconds: int | None


@dataclass(frozen=True, slots=True)
class Redriven:
    """What a redrive did.

    Args:
        tasks: orders that are back in the push queue.
        rechecks: passes that the push worker looks at again, since their items were refused.
        batches: stream batches that were handed to the push function again.
        kept: by reason, what stayed where it was.
    """

    tasks: int
    rechecks: int
    batches: int
    kept: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class HeldCount:
    """Removals that are held, of one pass type and one reason.

    Args:
        pass_type_identifier: the topic that was pushed to.
        reason: APNs' status and reason.
        devices: how many.
        oldest_change: epoch seconds of the first change that one of them was not told of.
    """

    pass_type_identifier: str
    reason: str
    devices: int
    oldest_change: float


@dataclass(frozen=True, slots=True)
class Decided:
    """What a decision on held removals did.

    Args:
        removed: devices that were removed.
        pushed: devices that are pushed to again.
        gone: devices that were there no more.
    """

    removed: int
    pushed: int
    gone: int


class Pushes:
    """The push side of a deployed stage."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._sqs = aws.client("sqs")

    def queues(self) -> dict[str, QueueState]:
        """Every queue by role."""
        return {role: self._state(url) for role, url in self._stage.queues.items()}

    def dead_letters(self, queues: Mapping[str, QueueState]) -> Counter[str]:
        """What lies in the dead-letter and stream-failure queues, summed up in sentences without secrets.

        Args:
            queues: how full they are; what is empty is not looked into.
        """
        found: Counter[str] = Counter()
        for role in ("dead_letter", "stream_failure"):
            if not queues[role].waiting:
                continue
            with_handles = list(self._received(role))
            found.update(_summary(message["Body"]) for message in with_handles)
            for message in with_handles:
                self._give_back(role, message)
        return found

    def redrive(self, *, discard_refused: bool, on_progress: Callable[[int], None]) -> Redriven:
        """Carry out again what was given up.

        Orders go back to the push queue. A stream batch is read from the stream again, which keeps it for 24 hours, and
        handed to the push function. The pass of a refused item is looked at again, once however often it was refused:
        if its item or its template has been repaired, its devices are pushed to; if not, it is refused again, which
        leaves a new dead letter.

        Args:
            discard_refused: delete the dead letters of refused items instead. Their refusals stay on record beside
                their versions, so the next write or the next push of the template brings them back all the same.
            on_progress: is told of each message that was dealt with, by number.
        """
        tasks = batches = 0
        rechecks: set[PassId] = set()
        kept: Counter[str] = Counter()
        for number, message in enumerate(list(self._received("dead_letter")), 1):
            body = message["Body"]
            if (task := _task(body)) is not None:
                self._sqs.send_message(QueueUrl=self._stage.queues["push"], MessageBody=encode(task))
                self._delete("dead_letter", message)
                tasks += 1
            elif discard_refused and _refused(body) is not None:
                self._delete("dead_letter", message)
            elif (task := _recheck(body)) is not None:
                if task.pass_id not in rechecks:
                    self._sqs.send_message(QueueUrl=self._stage.queues["push"], MessageBody=encode(task))
                    rechecks.add(task.pass_id)
                self._delete("dead_letter", message)
            else:
                kept[_summary(body)] += 1
                self._give_back("dead_letter", message)
            on_progress(number)
        for number, message in enumerate(list(self._received("stream_failure")), 1):
            try:
                self._hand_over(message["Body"])
            except PushesError as error:
                kept[str(error)] += 1
                self._give_back("stream_failure", message)
            else:
                self._delete("stream_failure", message)
                batches += 1
            on_progress(tasks + number)
        return Redriven(tasks, len(rechecks), batches, kept)

    def recheck_refused(self, template: str, *, on_progress: Callable[[int], object]) -> int:
        """Have the passes looked at again whose items were refused and name this template.

        The versions are read strongly consistently, after the template was published: a refusal that this does not see
        is recorded later than that, and whoever records it reads the template again afterwards.

        Args:
            template: its name.
            on_progress: takes the count of each step.

        Returns:
            How many passes.
        """
        filters = {
            "FilterExpression": "refused.#template = :template AND NOT deleted = :true",
            "ExpressionAttributeNames": {"#template": "template"},
            "ExpressionAttributeValues": {":template": {"S": template}, ":true": {"BOOL": True}},
        }
        return self._recheck_all(RecheckReason.REFUSED, filters, on_progress)

    def recheck_changed_since(self, since: float, *, on_progress: Callable[[int], object]) -> int:
        """Have every pass looked at again that has changed since a time: each gets a new stamp, and its devices are
        pushed to.

        Args:
            since: epoch seconds.
            on_progress: takes the count of each step.

        Returns:
            How many passes.
        """
        filters = {
            "FilterExpression": "modified_at >= :since AND NOT deleted = :true",
            "ExpressionAttributeValues": {":since": {"N": str(int(since))}, ":true": {"BOOL": True}},
        }
        return self._recheck_all(RecheckReason.UNSETTLED, filters, on_progress)

    def _recheck_all(
        self, reason: RecheckReason, filters: Mapping[str, Any], on_progress: Callable[[int], object]
    ) -> int:
        """A recheck for each pass whose version matches. Interrupted, it may be repeated."""
        change, total = f"by-hand-{uuid4()}", 0
        pages = aws.client("dynamodb").get_paginator("scan")
        for page in pages.paginate(
            TableName=self._stage.tables["versions"],
            ProjectionExpression="pass_id",
            ConsistentRead=True,
            **filters,
        ):
            tasks = [Recheck(PassId.parse(row["pass_id"]["S"]), reason, time(), change) for row in page["Items"]]
            for start in range(0, len(tasks), MESSAGES_PER_REQUEST):
                self._send(tasks[start : start + MESSAGES_PER_REQUEST])
                total += len(tasks[start : start + MESSAGES_PER_REQUEST])
                on_progress(len(tasks[start : start + MESSAGES_PER_REQUEST]))
        return total

    def _send(self, tasks: Sequence[Recheck]) -> None:
        entries = [{"Id": str(number), "MessageBody": encode(task)} for number, task in enumerate(tasks)]
        failed = self._sqs.send_message_batch(QueueUrl=self._stage.queues["push"], Entries=entries).get("Failed", [])
        if failed:
            raise PushesError(
                f"SQS did not take {len(failed)} of {len(entries)} messages ({failed[0].get('Code')}); "
                "run the same command again"
            )

    def send(self, pass_id: PassId) -> None:
        """Have every device that holds a pass pushed to, changed or not.

        Raises:
            PushesError: nobody holds it.
        """
        found = aws.client("dynamodb").query(
            TableName=self._stage.tables["registrations"],
            KeyConditionExpression="pass_id = :pass_id",
            ExpressionAttributeValues={":pass_id": {"S": str(pass_id)}},
            Limit=1,
        )
        if not found["Items"]:
            raise PushesError(f"pass {pass_id}: no device is registered for it")
        task = FanOut(pass_id, after=None, changed_at=time(), change=f"by-hand-{uuid4()}")
        self._sqs.send_message(QueueUrl=self._stage.queues["push"], MessageBody=encode(task))

    def held_removals(self) -> list[HeldCount]:
        """The removals that are held, by pass type and reason. A device that is held several times counts once."""
        devices: dict[tuple[str, str], set[DeviceLibraryIdentifier]] = defaultdict(set)
        oldest: dict[tuple[str, str], float] = {}
        with_handles = list(self._received("held_removals"))
        for message in with_handles:
            held = _held(message["Body"])
            if held is not None:
                key = (held.pass_type_identifier, held.reason)
                devices[key].update(device.identifier for device in held.devices)
                oldest[key] = min(oldest.get(key, held.changed_at), held.changed_at)
        for message in with_handles:
            self._give_back("held_removals", message)
        return [
            HeldCount(*key, devices=len(devices[key]), oldest_change=oldest[key]) for key in sorted(devices, key=str)
        ]

    def accept_removals(
        self, store: Store, *, pass_type_identifier: str | None, on_progress: Callable[[int], None]
    ) -> Decided:
        """Remove the devices whose removal is held, with their registrations.

        A device that registered since it was pushed to is there: it stays, and is pushed to again.

        Args:
            store: of the stage.
            pass_type_identifier: of which type; None for all.
            on_progress: called with the number of devices that are settled.

        Raises:
            StoreError: DynamoDB did not carry it out; what is left is still held.
        """
        removed = pushed = gone = 0
        for message, held in self._held_messages(pass_type_identifier):
            stayed: list[DeviceLibraryIdentifier] = []
            for device in held.devices:
                row = store.devices.get(device.identifier)
                if row is None:
                    gone += 1
                elif _remove(store, row, updated_at=device.updated_at):
                    removed += 1
                else:
                    stayed.append(device.identifier)
                    pushed += 1
                on_progress(removed + pushed + gone)
            self._push_again(held, stayed)
            self._delete("held_removals", message)
        return Decided(removed, pushed, gone)

    def discard_removals(self, *, pass_type_identifier: str | None, on_progress: Callable[[int], None]) -> Decided:
        """Forget the removals that are held, and push to their devices again.

        Args:
            pass_type_identifier: of which type; None for all.
            on_progress: called with the number of devices that are settled.
        """
        pushed = 0
        for message, held in self._held_messages(pass_type_identifier):
            self._push_again(held, [device.identifier for device in held.devices])
            self._delete("held_removals", message)
            pushed += len(held.devices)
            on_progress(pushed)
        return Decided(removed=0, pushed=pushed, gone=0)

    def _held_messages(self, pass_type_identifier: str | None) -> Iterator[tuple[dict[str, Any], HeldRemovals]]:
        """The messages of held removals of one type, or of all; the others are given back."""
        for message in list(self._received("held_removals", hidden_seconds=DECIDE_SECONDS)):
            held = _held(message["Body"])
            if held is not None and pass_type_identifier in (None, held.pass_type_identifier):
                yield message, held
            else:
                self._give_back("held_removals", message)

    def _push_again(self, held: HeldRemovals, devices: list[DeviceLibraryIdentifier]) -> None:
        task = NotifyDevices(held.pass_type_identifier, tuple(devices), time(), change=f"by-hand-{uuid4()}")
        for piece in in_chunks(task):
            self._sqs.send_message(QueueUrl=self._stage.queues["push"], MessageBody=encode(piece))

    def _state(self, url: str) -> QueueState:
        names = ("", "NotVisible", "Delayed")
        attributes = [f"ApproximateNumberOfMessages{name}" for name in names]
        found = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=attributes)["Attributes"]
        waiting, in_flight, delayed = (int(found.get(name, 0)) for name in attributes)
        return QueueState(waiting, in_flight, delayed, self._oldest(url.rpartition("/")[2]))

    def _oldest(self, queue_name: str) -> int | None:
        now = datetime.now(UTC)
        points = aws.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/SQS",
            MetricName="ApproximateAgeOfOldestMessage",
            Dimensions=[{"Name": "QueueName", "Value": queue_name}],
            StartTime=now - timedelta(minutes=10),
            EndTime=now,
            Period=60,
            Statistics=["Maximum"],
        )["Datapoints"]
        newest = max(points, key=lambda point: point["Timestamp"], default=None)
        return int(newest["Maximum"]) if newest else None

    def _received(self, role: str, *, hidden_seconds: int = LOOK_SECONDS) -> Iterator[dict[str, Any]]:
        """Each message of a queue once; they are hidden from others until they are given back."""
        seen: set[str] = set()
        while True:
            messages = self._sqs.receive_message(
                QueueUrl=self._stage.queues[role],
                MaxNumberOfMessages=RECEIVED_AT_ONCE,
                VisibilityTimeout=hidden_seconds,
                WaitTimeSeconds=1,  # asks all of SQS's servers
            ).get("Messages", [])
            new = [message for message in messages if message["MessageId"] not in seen]
            if not new:
                return
            seen.update(message["MessageId"] for message in new)
            yield from new

    def _give_back(self, role: str, message: Mapping[str, Any]) -> None:
        self._sqs.change_message_visibility(
            QueueUrl=self._stage.queues[role], ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
        )

    def _delete(self, role: str, message: Mapping[str, Any]) -> None:
        self._sqs.delete_message(QueueUrl=self._stage.queues[role], ReceiptHandle=message["ReceiptHandle"])

    def _hand_over(self, body: str) -> None:
        """Read a batch that Lambda gave up from the stream, and invoke the push function with it, piece by piece.

        The range that Lambda notes may hold more records than the batch: those of the neighbours that it was processed
        beside (ParallelizationFactor) are in it too.

        AWS, "Retaining discarded batches": the message holds where the batch is, not the batch.

        Raises:
            PushesError: it is not there any more, or the function failed again.
        """
        try:
            where = json.loads(body)["DDBStreamBatchInfo"]
            position = {name: where[name] for name in ("streamArn", "shardId", "startSequenceNumber")}
        except (ValueError, KeyError, TypeError):
            raise PushesError("a message that Lambda did not write") from None
        records = self._records(
            position["streamArn"],
            position["shardId"],
            position["startSequenceNumber"],
            str(where.get("endSequenceNumber", position["startSequenceNumber"])),
        )
        for piece in in_pieces(records):
            answer = aws.client("lambda").invoke(
                FunctionName=self._stage.functions["push"], Payload=_event(piece).encode()
            )
            if answer.get("FunctionError") or json.loads(answer["Payload"].read()).get("batchItemFailures"):
                raise PushesError("a stream batch that the push function failed on again: see `logs`")

    def _records(self, stream: str, shard: str, first: str, last: str) -> list[dict[str, Any]]:
        streams = aws.client("dynamodbstreams")
        try:
            iterator = streams.get_shard_iterator(
                StreamArn=stream, ShardId=shard, ShardIteratorType="AT_SEQUENCE_NUMBER", SequenceNumber=first
            )["ShardIterator"]
        except (streams.exceptions.TrimmedDataAccessException, streams.exceptions.ResourceNotFoundException):
            raise PushesError(
                "a stream batch older than the 24 hours that the stream keeps: write its items anew"
            ) from None
        found: list[dict[str, Any]] = []
        until = monotonic() + READ_SECONDS
        while iterator and monotonic() < until:
            page = streams.get_records(ShardIterator=iterator)
            for record in page["Records"]:
                found.append(_as_lambda_has_it(record))
                if int(record["dynamodb"]["SequenceNumber"]) >= int(last):
                    return found
            iterator = page.get("NextShardIterator")  # an empty page is no end: AWS, "GetRecords"
        raise PushesError("a stream batch that could not be read to its end: try again")


def in_pieces(records: Sequence[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """The records in their order, in events that one invocation takes: at most 100 records and 5 MB.

    A single record is never larger: DynamoDB's items have at most 400 KB, and a record two images.
    """
    piece: list[Mapping[str, Any]] = []
    size = 0
    for record in records:
        length = len(json.dumps(record).encode()) + 2  # and the separator
        if piece and (len(piece) == RECORDS_PER_INVOCATION or size + length > BYTES_PER_INVOCATION):
            yield piece
            piece, size = [], 0
        piece.append(record)
        size += length
    if piece:
        yield piece


def _event(records: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps({"Records": list(records)})


def _as_lambda_has_it(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record of the stream's API in the form of a Lambda event: times as numbers, bytes as base64."""

    def plain(value: object) -> object:
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, bytes):
            return base64.b64encode(value).decode()
        raise PushesError(f"a stream record holds a {type(value).__name__}")

    return dict(json.loads(json.dumps({**record, "eventSource": "aws:dynamodb"}, default=plain)))


def _task(body: str) -> PushTask | None:
    try:
        return decode(body)
    except RefusedError:
        return None


def _remove(store: Store, row: Device | None, *, updated_at: int) -> bool:
    """Remove a device with its registrations, in as many requests as that takes; False where it registered since."""
    while row is not None and row.updated_at == updated_at:
        store.devices.remove(row)
        row = store.devices.get(row.identifier)
    return row is None


def _held(body: str) -> HeldRemovals | None:
    try:
        return read_held(body)
    except RefusedError:
        return None


def _recheck(body: str) -> Recheck | None:
    """What a refused item's dead letter asks for. One of an older version says nothing of when it was refused, and its
    refusal is not on record beside the version, so its pass is looked at in any case.
    """
    try:
        letter = json.loads(body)
        pass_id = PassId.parse(letter["refused"])
    except (ValueError, KeyError, TypeError, AttributeError, RefusedError):
        return None
    reason = RecheckReason.REFUSED if "refused_at" in letter else RecheckReason.UNSETTLED
    return Recheck(pass_id, reason, time(), f"by-hand-{uuid4()}")


def _refused(body: str) -> tuple[str, str] | None:
    """The pass and the error of a refused item."""
    try:
        content = json.loads(body)
        return str(content["refused"]), str(content["error"])
    except (ValueError, KeyError, TypeError):
        return None


def _summary(body: str) -> str:
    """What a message is, without whom it concerns."""
    match _task(body):
        case NotifyDevices() as task:
            return f"pushes of {task.pass_type_identifier} that were given up"
        case FanOut() as task:
            return f"fan-out of pass {task.pass_id} that was given up"
        case RemoveRegistrations() as task:
            return f"removal of the registrations of pass {task.pass_id} that was given up"
        case Recheck() as task:
            return f"pass {task.pass_id} could not be made until its recheck was given up"
    if refused := _refused(body):
        return f"refused: {refused[1]}"
    given_up = "DDBStreamBatchInfo" in body
    return "a batch of the passes stream that was given up" if given_up else "a message that this service did not write"

"""Operates a stage's pushes: shows queues, repeats what was given up, pushes by hand, and decides on held removals.

Queues contain device library identifiers and streams contain items; neither is ever printed.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from time import time
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
from chalicelib.updates.removals import HeldRemovals, parse_held_removals
from infra.operate.passes.registrations import Registrations
from infra.operate.stream_batches import StreamBatchError, process_batch
from infra.stage import aws
from infra.stage.stage import Stage

LOOK_SECONDS = 60
"""How long messages that are read stay hidden from others, if this process ends before it makes them visible again."""
DECIDE_SECONDS = 1800
"""How long held removals stay hidden while they are processed; unprocessed ones become visible after it."""
RECEIVED_AT_ONCE = 10
WRITE_AGAIN = "write its items again"
"""Remedy for a stream batch that is no longer in the stream."""
SENDERS = 8
"""Requests to SQS at the same time; one takes some milliseconds, most of them waiting."""
FIRST_REVISION = 1
"""Revision of a pass as it was first issued."""


def received(sqs: Any, url: str, *, hidden_seconds: int) -> Iterator[list[dict[str, Any]]]:  # noqa: ANN401 - boto3
    """Yield each message of a queue once, in the batches that SQS returns, and hide it from others for a time.

    Args:
        sqs: boto3's client.
        url: of the queue.
        hidden_seconds: for how long.

    Raises:
        ClientError, BotoCoreError: AWS refused, or could not be reached.
    """
    seen: set[str] = set()
    while True:
        messages = sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=RECEIVED_AT_ONCE,
            VisibilityTimeout=hidden_seconds,
            WaitTimeSeconds=1,  # long polling queries all servers of SQS
        ).get("Messages", [])
        new = [message for message in messages if message["MessageId"] not in seen]
        if not new:
            return
        seen.update(message["MessageId"] for message in new)
        yield new


class PushesError(PasswireError):
    """An operation on pushes failed; the message says why."""


@dataclass(frozen=True, slots=True)
class QueueState:
    """State of a queue.

    Args:
        waiting: number of messages that can be received now.
        in_flight: number of messages that are being processed.
        delayed: number of messages that can be received later.
        oldest_seconds: age of the oldest message; None if CloudWatch has no figure.
    """

    waiting: int
    in_flight: int
    delayed: int
    oldest_seconds: int | None


@dataclass(frozen=True, slots=True)
class Redriven:
    """Result of a redrive.

    Args:
        tasks: number of push tasks returned to the push queue.
        rechecks: number of passes that will be rechecked, since their items were refused.
        batches: number of stream batches that the push function processed again.
        discarded: number of dead letters of refused items that were deleted.
        kept: number of messages that stayed in their queue, by reason.
    """

    tasks: int
    rechecks: int
    batches: int
    discarded: int
    kept: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class RedrivePlan:
    """Effects of a redrive.

    Args:
        tasks: number of push tasks.
        rechecks: number of passes with refused items.
        batches: number of stream batches, whose devices are not known before they are processed.
        discarded: number of dead letters of refused items that would be deleted.
        kept: number of messages that would stay in their queue.
        devices: number of devices that the push tasks and rechecks notify.
    """

    tasks: int
    rechecks: int
    batches: int
    discarded: int
    kept: int
    devices: int


@dataclass(frozen=True, slots=True)
class HeldCount:
    """Held removals of one pass type and reason.

    Args:
        pass_type_identifier: the topic of the pushes.
        reason: APNs' status and reason.
        devices: number of devices.
        oldest_change: time of the first change of which a device was not notified, epoch seconds.
    """

    pass_type_identifier: str
    reason: str
    devices: int
    oldest_change: float


@dataclass(frozen=True, slots=True)
class Decided:
    """Result of a decision on held removals.

    Args:
        removed: number of devices removed.
        pushed: number of devices to which a push is sent again.
        unregistered: number of devices that no longer existed.
    """

    removed: int
    pushed: int
    unregistered: int


class Pushes:
    """Operates the pushes of a deployed stage.

    Args:
        stage: the stage.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._sqs = aws.client("sqs")

    def queues(self) -> dict[str, QueueState]:
        """Return the state of every queue by role."""
        return {role: self._state(url) for role, url in self._stage.queues.items()}

    def dead_letters(self, queues: Mapping[str, QueueState]) -> Counter[str]:
        """Count the messages in the dead-letter and stream-failure queues by description, without secrets.

        Args:
            queues: state of the queues by role; empty queues are not read.
        """
        found: Counter[str] = Counter()
        for role in ("dead_letter", "stream_failure"):
            if not queues[role].waiting:
                continue
            messages = list(self._received(role))
            found.update(_summary(message["Body"]) for message in messages)
            for message in messages:
                self._make_visible(role, message)
        return found

    def redrive(self, *, discard_refused: bool, on_progress: Callable[[int], None]) -> Redriven:
        """Repeat what was given up.

        Push tasks return to the push queue. A stream batch is read again from the stream, which keeps it for 24 hours,
        and sent to the push function. The pass of a refused item is rechecked once, however often it was refused: if
        its item or its template is valid now, its devices are notified; otherwise it is refused again, which creates a
        new dead letter.

        Args:
            discard_refused: delete the dead letters of refused items instead. Refusals stay on record with the
                versions, so that the next write of the item or the next push of the template rechecks the pass anyway.
            on_progress: called with the number of messages processed.
        """
        tasks = batches = discarded = 0
        rechecks: set[PassId] = set()
        kept: Counter[str] = Counter()
        for number, message in enumerate(list(self._received("dead_letter")), 1):
            body = message["Body"]
            if (task := _task(body)) is not None:
                self._sqs.send_message(QueueUrl=self._stage.queues["push"], MessageBody=encode(unconditional(task)))
                self._delete("dead_letter", message)
                tasks += 1
            elif discard_refused and _refused(body) is not None:
                self._delete("dead_letter", message)
                discarded += 1
            elif (task := _recheck(body)) is not None:
                if task.pass_id not in rechecks:
                    self._sqs.send_message(QueueUrl=self._stage.queues["push"], MessageBody=encode(task))
                    rechecks.add(task.pass_id)
                self._delete("dead_letter", message)
            else:
                kept[_summary(body)] += 1
                self._make_visible("dead_letter", message)
            on_progress(number)
        for number, message in enumerate(list(self._received("stream_failure")), 1):
            try:
                process_batch(message["Body"], function=self._stage.functions["push"], remedy=WRITE_AGAIN)
            except StreamBatchError as error:
                kept[str(error)] += 1
                self._make_visible("stream_failure", message)
            else:
                self._delete("stream_failure", message)
                batches += 1
            on_progress(tasks + number)
        return Redriven(tasks, len(rechecks), batches, discarded, kept)

    def plan_redrive(self, *, discard_refused: bool) -> RedrivePlan:
        """Return what `redrive` would do; the messages stay in their queues."""
        tasks = discarded = kept = 0
        devices: set[DeviceLibraryIdentifier] = set()
        keys: set[str] = set()
        rechecks: set[PassId] = set()
        messages = list(self._received("dead_letter"))
        for message in messages:
            body = message["Body"]
            if (task := _task(body)) is not None:
                tasks += 1
                if isinstance(task, NotifyDevices):
                    devices.update(task.devices)
                elif isinstance(task, FanOut | Recheck):
                    keys.add(str(task.pass_id))
            elif discard_refused and _refused(body) is not None:
                discarded += 1
            elif (recheck := _recheck(body)) is not None:
                rechecks.add(recheck.pass_id)
            else:
                kept += 1
        for message in messages:
            self._make_visible("dead_letter", message)
        keys.update(map(str, rechecks))
        return RedrivePlan(
            tasks=tasks,
            rechecks=len(rechecks),
            batches=self._state(self._stage.queues["stream_failure"]).waiting,
            discarded=discarded,
            kept=kept,
            devices=len(devices) + Registrations(self._stage).devices(keys),
        )

    def recheck_refused(self, template: str, *, on_progress: Callable[[int], object]) -> int:
        """Request a recheck of the passes of a template whose items were refused.

        The versions are read with strong consistency after the template was published. A refusal that is recorded later
        is not missed either: the function that records it reads the template again afterwards.

        Args:
            template: name of the template.
            on_progress: called with the number of passes of each step.

        Returns:
            The number of passes.
        """
        return self.recheck(self.refused(template), RecheckReason.REFUSED, on_progress=on_progress)

    def refused(self, template: str) -> list[str]:
        """Return the keys of the passes of a template whose items were refused."""
        return self._versions(
            FilterExpression="refused.#template = :template AND NOT deleted = :true",
            ExpressionAttributeNames={"#template": "template"},
            ExpressionAttributeValues={":template": {"S": template}, ":true": {"BOOL": True}},
        )

    def changed_since(self, since: float) -> list[str]:
        """Return the keys of the passes that have changed since a time, epoch seconds."""
        return self._versions(
            FilterExpression="modified_at >= :since AND NOT deleted = :true",
            ExpressionAttributeValues={":since": {"N": str(int(since))}, ":true": {"BOOL": True}},
        )

    def unversioned(self) -> list[str]:
        """Return the keys of the passes without a version, or with only a first one, after versions were lost.

        A first version that was set since may be that of a later change, which a device that registers then would miss.
        """
        later = self._versions(
            FilterExpression="revision > :one", ExpressionAttributeValues={":one": {"N": str(FIRST_REVISION)}}
        )
        pages = (
            aws.client("dynamodb")
            .get_paginator("scan")
            .paginate(TableName=self._stage.tables["passes"], ProjectionExpression="pass_id", ConsistentRead=True)
        )
        keys = {str(item["pass_id"]["S"]) for page in pages for item in page["Items"]}
        return sorted(key for key in keys - set(later) if _is_pass_id(key))

    def recheck(self, keys: Sequence[str], reason: RecheckReason, *, on_progress: Callable[[int], object]) -> int:
        """Request a recheck of passes; can be repeated after an interruption.

        Args:
            keys: keys of passes.
            reason: `UNSETTLED` gives each pass a new stamp and its devices a push, changed or not.
            on_progress: called with the number of passes of each step.

        Returns:
            The number of passes.
        """
        change = f"by-hand-{uuid4()}"

        def send(start: int) -> int:
            chunk = keys[start : start + MESSAGES_PER_REQUEST]
            self._send([Recheck(PassId.parse(key), reason, time(), change) for key in chunk])
            return len(chunk)

        starts = range(0, len(keys), MESSAGES_PER_REQUEST)
        with ThreadPoolExecutor(SENDERS) as senders:
            for first in range(0, len(starts), SENDERS):
                for count in senders.map(send, starts[first : first + SENDERS]):
                    on_progress(count)
        return len(keys)

    def _versions(self, **filters: Any) -> list[str]:  # noqa: ANN401 - arguments of Scan
        pages = (
            aws.client("dynamodb")
            .get_paginator("scan")
            .paginate(
                TableName=self._stage.tables["versions"], ProjectionExpression="pass_id", ConsistentRead=True, **filters
            )
        )
        return [str(row["pass_id"]["S"]) for page in pages for row in page["Items"]]

    def _send(self, tasks: Sequence[Recheck]) -> None:
        entries = [{"Id": str(number), "MessageBody": encode(task)} for number, task in enumerate(tasks)]
        failed = self._sqs.send_message_batch(QueueUrl=self._stage.queues["push"], Entries=entries).get("Failed", [])
        if failed:
            raise PushesError(
                f"SQS refused {len(failed)} of {len(entries)} messages ({failed[0].get('Code')}); "
                "run the same command again"
            )

    def send(self, pass_id: PassId) -> None:
        """Request a push to every device that is registered for a pass, changed or not."""
        task = FanOut(pass_id, after=None, changed_at=time(), change=f"by-hand-{uuid4()}")
        self._sqs.send_message(QueueUrl=self._stage.queues["push"], MessageBody=encode(task))

    def held_removals(self) -> list[HeldCount]:
        """Return the held removals by pass type and reason; a device that is held several times counts once."""
        devices: dict[tuple[str, str], set[DeviceLibraryIdentifier]] = defaultdict(set)
        oldest: dict[tuple[str, str], float] = {}
        messages = list(self._received("held_removals"))
        for message in messages:
            held = _held(message["Body"])
            if held is not None:
                key = (held.pass_type_identifier, held.reason)
                devices[key].update(device.identifier for device in held.devices)
                oldest[key] = min(oldest.get(key, held.changed_at), held.changed_at)
        for message in messages:
            self._make_visible("held_removals", message)
        return [
            HeldCount(*key, devices=len(devices[key]), oldest_change=oldest[key]) for key in sorted(devices, key=str)
        ]

    def accept_removals(
        self, store: Store, *, pass_type_identifier: str | None, on_progress: Callable[[int], None]
    ) -> Decided:
        """Remove the devices whose removal is held, with their registrations.

        A device that has registered since the refused push is kept, and a push is sent to it again.

        Args:
            store: store of the stage.
            pass_type_identifier: only removals of this type; None for all.
            on_progress: called with the number of devices processed.

        Raises:
            StoreError: DynamoDB refused a request; the remaining removals are still held.
        """
        removed = pushed = unregistered = 0
        for message, held in self._held_messages(pass_type_identifier):
            kept: list[DeviceLibraryIdentifier] = []
            for device in held.devices:
                row = store.devices.get(device.identifier)
                if row is None:
                    unregistered += 1
                elif _remove(store, row, updated_at=device.updated_at):
                    removed += 1
                else:
                    kept.append(device.identifier)
                    pushed += 1
                on_progress(removed + pushed + unregistered)
            self._push_again(held, kept)
            self._delete("held_removals", message)
        return Decided(removed, pushed, unregistered)

    def discard_removals(self, *, pass_type_identifier: str | None, on_progress: Callable[[int], None]) -> Decided:
        """Discard held removals, and push to their devices again.

        Args:
            pass_type_identifier: only removals of this type; None for all.
            on_progress: called with the number of devices processed.
        """
        pushed = 0
        for message, held in self._held_messages(pass_type_identifier):
            self._push_again(held, [device.identifier for device in held.devices])
            self._delete("held_removals", message)
            pushed += len(held.devices)
            on_progress(pushed)
        return Decided(removed=0, pushed=pushed, unregistered=0)

    def _held_messages(self, pass_type_identifier: str | None) -> Iterator[tuple[dict[str, Any], HeldRemovals]]:
        """Yield the messages of held removals of one type, or of all; other messages become visible again."""
        for message in list(self._received("held_removals", hidden_seconds=DECIDE_SECONDS)):
            held = _held(message["Body"])
            if held is not None and pass_type_identifier in (None, held.pass_type_identifier):
                yield message, held
            else:
                self._make_visible("held_removals", message)

    def _push_again(self, held: HeldRemovals, devices: list[DeviceLibraryIdentifier]) -> None:
        task = NotifyDevices(held.pass_type_identifier, tuple(devices), time(), change=f"by-hand-{uuid4()}")
        for chunk in in_chunks(task):
            self._sqs.send_message(QueueUrl=self._stage.queues["push"], MessageBody=encode(chunk))

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
        """Yield each message of a queue once, and hide it from others for a time."""
        for messages in received(self._sqs, self._stage.queues[role], hidden_seconds=hidden_seconds):
            yield from messages

    def _make_visible(self, role: str, message: Mapping[str, Any]) -> None:
        self._sqs.change_message_visibility(
            QueueUrl=self._stage.queues[role], ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
        )

    def _delete(self, role: str, message: Mapping[str, Any]) -> None:
        self._sqs.delete_message(QueueUrl=self._stage.queues[role], ReceiptHandle=message["ReceiptHandle"])


def _is_pass_id(key: str) -> bool:
    try:
        PassId.parse(key)
    except RefusedError:
        return False
    return True


def unconditional(task: PushTask) -> PushTask:
    """Return the task as it is redriven: a recheck is carried out in any case.

    A recheck that became a dead letter may have set its stamp before its fan-out was queued. By its own reason it would
    then count as unnecessary, and the devices would not be notified.
    """
    return replace(task, reason=RecheckReason.UNSETTLED) if isinstance(task, Recheck) else task


def _task(body: str) -> PushTask | None:
    try:
        return decode(body)
    except RefusedError:
        return None


def _remove(store: Store, row: Device | None, *, updated_at: int) -> bool:
    """Remove a device with its registrations; return False if it has registered since."""
    while row is not None and row.updated_at == updated_at:
        store.devices.remove(row)
        row = store.devices.get(row.identifier)
    return row is None


def _held(body: str) -> HeldRemovals | None:
    try:
        return parse_held_removals(body)
    except RefusedError:
        return None


def _recheck(body: str) -> Recheck | None:
    """Return the recheck for the dead letter of a refused item, or None for other messages.

    Older versions wrote no time of refusal and no record with the version, so that pass is rechecked unconditionally.
    """
    try:
        letter = json.loads(body)
        pass_id = PassId.parse(letter["refused"])
    except (ValueError, KeyError, TypeError, AttributeError, RefusedError):
        return None
    reason = RecheckReason.REFUSED if "refused_at" in letter else RecheckReason.UNSETTLED
    return Recheck(pass_id, reason, time(), f"by-hand-{uuid4()}")


def _refused(body: str) -> tuple[str, str] | None:
    """Return the pass and the error of a refused item's dead letter, or None for other messages."""
    try:
        content = json.loads(body)
        return str(content["refused"]), str(content["error"])
    except (ValueError, KeyError, TypeError):
        return None


def _summary(body: str) -> str:
    """Describe a message without the devices that it names."""
    match _task(body):
        case NotifyDevices() as task:
            return f"pushes of {task.pass_type_identifier} that were given up"
        case FanOut() as task:
            return f"fan-out of pass {task.pass_id} that was given up"
        case RemoveRegistrations() as task:
            return f"removal of the registrations of pass {task.pass_id} that was given up"
        case Recheck() as task:
            return f"recheck of pass {task.pass_id} that was given up"
    if refused := _refused(body):
        return f"refused: {refused[1]}"
    given_up = "DDBStreamBatchInfo" in body
    return "batch of the passes stream that was given up" if given_up else "message that this service did not write"

"""Reads a stage's queues: their states, and their messages, which are hidden from others meanwhile.

Messages contain device library identifiers, which are never printed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from chalicelib.core.errors import PasswireError
from chalicelib.updates.push_tasks import PushTask, encode
from infra.stage import aws
from infra.stage.stage import Stage

LOOK_SECONDS = 60
"""How long messages that are read stay hidden from others, if this process ends before it makes them visible again."""
RECEIVED_AT_ONCE = 10


class QueuesError(PasswireError):
    """SQS refused messages."""


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


class StageQueues:
    """The queues of a deployed stage, by role.

    Args:
        stage: the stage.
    """

    def __init__(self, stage: Stage) -> None:
        self._urls = stage.queues
        self._sqs = aws.client("sqs")

    def states(self) -> dict[str, QueueState]:
        """Return the state of every queue by role."""
        return {role: self.state(role) for role in self._urls}

    def state(self, role: str) -> QueueState:
        """Return the state of a queue."""
        names = ("", "NotVisible", "Delayed")
        attributes = [f"ApproximateNumberOfMessages{name}" for name in names]
        url = self._urls[role]
        found = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=attributes)["Attributes"]
        waiting, in_flight, delayed = (int(found.get(name, 0)) for name in attributes)
        return QueueState(waiting, in_flight, delayed, _oldest(url.rpartition("/")[2]))

    def received(self, role: str, *, hidden_seconds: int = LOOK_SECONDS) -> list[dict[str, Any]]:
        """Return each message of a queue once, and hide it from others for a time."""
        batches = received(self._sqs, self._urls[role], hidden_seconds=hidden_seconds)
        return [message for messages in batches for message in messages]

    def make_visible(self, role: str, message: Mapping[str, Any]) -> None:
        """Return a received message to others at once."""
        self._sqs.change_message_visibility(
            QueueUrl=self._urls[role], ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
        )

    def delete(self, role: str, message: Mapping[str, Any]) -> None:
        """Delete a received message."""
        self._sqs.delete_message(QueueUrl=self._urls[role], ReceiptHandle=message["ReceiptHandle"])

    def push(self, task: PushTask) -> None:
        """Send a push task to the push queue."""
        self._sqs.send_message(QueueUrl=self._urls["push"], MessageBody=encode(task))

    def push_together(self, tasks: Sequence[PushTask]) -> None:
        """Send up to ten push tasks to the push queue in one request.

        Raises:
            QueuesError: SQS refused some of them.
        """
        entries = [{"Id": str(number), "MessageBody": encode(task)} for number, task in enumerate(tasks)]
        failed = self._sqs.send_message_batch(QueueUrl=self._urls["push"], Entries=entries).get("Failed", [])
        if failed:
            raise QueuesError(
                f"SQS refused {len(failed)} of {len(entries)} messages ({failed[0].get('Code')}); "
                "run the same command again"
            )


def _oldest(queue_name: str) -> int | None:
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

"""Receives the events of a stage's bus, through a queue and a rule that exist only meanwhile."""

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from infra.stage import aws
from infra.stage.stage import Stage

WAIT_SECONDS = 2
"""Long polling: how long SQS waits for a message."""
RETENTION_SECONDS = 3600
TARGET = "queue"
HIDDEN = ("schema_version", "id", "time", "serial_number")
"""Fields that a line for people leaves out; also the pass type of an event that names its pass."""


class EventTail:
    """Received events.

    Args:
        queue_url: URL of the queue that a rule of the bus sends events to.
    """

    def __init__(self, queue_url: str) -> None:
        self._queue_url = queue_url
        self._sqs = aws.client("sqs")

    def receive(self) -> list[dict[str, Any]]:
        """Return the events that arrived, in the form of EventBridge, after at most `WAIT_SECONDS`."""
        messages = self._sqs.receive_message(
            QueueUrl=self._queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=WAIT_SECONDS
        ).get("Messages", [])
        for message in messages:
            self._sqs.delete_message(QueueUrl=self._queue_url, ReceiptHandle=message["ReceiptHandle"])
        events = [json.loads(message["Body"]) for message in messages]
        return sorted(events, key=lambda event: str(event["detail"].get("time", "")))

    def follow(self) -> Iterator[dict[str, Any]]:
        """Yield events as they arrive, without end."""
        while True:
            yield from self.receive()


@contextmanager
def event_tail(stage: Stage) -> Iterator[EventTail]:
    """Create a queue and a rule on the stage's bus, and delete both at the end of the context.

    Args:
        stage: the stage.

    Raises:
        StageError: the stage has no bus.
        ClientError, BotoCoreError: AWS refused, or could not be reached.
    """
    bus = stage.output("EventBusName")
    name = f"passwire-{stage.name}-tail-{secrets.token_hex(4)}"
    sqs, events = aws.client("sqs"), aws.client("events")
    url = sqs.create_queue(QueueName=name, Attributes={"MessageRetentionPeriod": str(RETENTION_SECONDS)})["QueueUrl"]
    try:
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        pattern = json.dumps({"source": ["passwire"]})
        rule = events.put_rule(Name=name, EventBusName=bus, EventPattern=pattern)["RuleArn"]
        try:
            sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(_policy(queue=arn, rule=rule))})
            events.put_targets(Rule=name, EventBusName=bus, Targets=[{"Id": TARGET, "Arn": arn}])
            yield EventTail(url)
        finally:
            events.remove_targets(Rule=name, EventBusName=bus, Ids=[TARGET])
            events.delete_rule(Name=name, EventBusName=bus)
    finally:
        sqs.delete_queue(QueueUrl=url)


def described(event: Mapping[str, Any]) -> str:
    """Describe an event on one line: `2026-11-26T12:00:00Z pass.registered pass_id=... holders=1`."""
    hidden = {*HIDDEN, *(["pass_type_identifier"] if "pass_id" in event["detail"] else [])}
    shown = {name: value for name, value in event["detail"].items() if name not in hidden}
    fields = (f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in shown.items())
    return " ".join([str(event["detail"].get("time", "")), str(event["detail-type"]), *fields])


def _policy(*, queue: str, rule: str) -> dict[str, Any]:
    """Allow a rule to send to a queue (AWS, "Amazon SQS permissions" of EventBridge)."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "events.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": queue,
                "Condition": {"ArnEquals": {"aws:SourceArn": rule}},
            }
        ],
    }

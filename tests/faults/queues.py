"""The queues of a rig, from which each message comes at once: the time that it would wait is added up instead."""

import json
import secrets
from collections.abc import Container, Iterable
from typing import Any

import boto3

from chalicelib.updates.removals import HeldRemovals, parse_held_removals
from tests.faults.clock import Clock
from tests.faults.delivery_rules import DeliveryRules

BATCH = 10
MAX_DEPTH = 16
"""How often a function may be invoked by messages that it sent to its own queue (Lambda guide, "Recursive loop
detection": about 16 times)."""
WAITING = ('"not_before"', '"slot_at"')
"""Parts of the bodies of messages that are not delivered before their delay is over."""


class RigQueues:
    """A push queue, a queue of dead letters and one of held removals, which deliver by the rules of SQS and Lambda.

    Args:
        rules: how often and when messages are delivered again.
        clock: moves on when only paced messages are left.
    """

    def __init__(self, rules: DeliveryRules, clock: Clock) -> None:
        self.depth = 0
        """How often in a row the current invocation and those before it were caused by the worker's own messages."""
        self._waited_seconds: dict[str, float] = {}
        """The time that a message would have waited for all its deliveries, by message id."""
        self._rules = rules
        self._clock = clock
        self._sqs = boto3.client("sqs")
        name = f"faults-{secrets.token_hex(4)}"
        self.dead_letter_url, self.held_removals_url = (
            self._sqs.create_queue(QueueName=f"{name}-{role}")["QueueUrl"] for role in ("dead", "held")
        )
        redrive = {"deadLetterTargetArn": self._arn(self.dead_letter_url), "maxReceiveCount": rules.max_receives}
        self.push_url = self._sqs.create_queue(
            QueueName=f"{name}-push", Attributes={"RedrivePolicy": json.dumps(redrive)}
        )["QueueUrl"]
        self._depths: dict[str, int] = {}
        self._postponed: dict[str, int] = {}
        self._visible_from: dict[str, float] = {}
        """The times at which SQS delivers messages whose push task has an earliest time, by message id."""
        self._delayed: list[tuple[float, str]] = []
        """Such messages that were received too early: the earliest time and the body."""

    def watch(self, sqs: Any) -> None:  # noqa: ANN401 - botocore's
        """Record the messages that are sent and postponed, and remove their delays."""
        delays: list[int] = []
        waiting: list[bool] = []

        def send(params: dict[str, Any], **_: object) -> dict[str, Any]:
            delays[:] = [entry.get("DelaySeconds", 0) for entry in params["Entries"]]
            waiting[:] = [any(name in entry["MessageBody"] for name in WAITING) for entry in params["Entries"]]
            return {**params, "Entries": [{**entry, "DelaySeconds": 0} for entry in params["Entries"]]}

        def sent(parsed: dict[str, Any], **_: object) -> None:
            for message in parsed.get("Successful", []):
                self._depths[message["MessageId"]] = self.depth + 1
                self._wait(message["MessageId"], delays[int(message["Id"])])
                if waiting[int(message["Id"])]:
                    self._visible_from[message["MessageId"]] = self._clock() + delays[int(message["Id"])]

        def postpone(params: dict[str, Any], **_: object) -> dict[str, Any]:
            self._postponed[params["ReceiptHandle"]] = params["VisibilityTimeout"]
            return {**params, "VisibilityTimeout": 0}

        events = sqs.meta.events
        events.register("provide-client-params.sqs.SendMessageBatch", send)
        events.register("after-call.sqs.SendMessageBatch", sent)
        events.register("provide-client-params.sqs.ChangeMessageVisibility", postpone)

    def put_back_what_is_due(self) -> None:
        """Send the messages again that were received too early, if they are no longer too early."""
        due = [body for visible_from, body in self._delayed if visible_from <= self._clock()]
        self._delayed = [kept for kept in self._delayed if kept[0] > self._clock()]
        for body in due:
            self._sqs.send_message(QueueUrl=self.push_url, MessageBody=body)

    def receive(self) -> list[dict[str, Any]] | None:
        """Receive messages as Lambda does, as the records of an event.

        Returns: the records; None if only messages whose time has not come are left.
        """
        messages = self._sqs.receive_message(
            QueueUrl=self.push_url,
            MaxNumberOfMessages=BATCH,
            VisibilityTimeout=0,
            MessageSystemAttributeNames=["ApproximateReceiveCount"],
        ).get("Messages", [])
        if not messages and not self._paced_become_due():
            return None
        messages = [message for message in messages if not self._too_early(message)]
        messages = [message for message in messages if not self._stopped_as_loop(message)]
        self.depth = max((self._depths.get(message["MessageId"], 1) for message in messages), default=0)
        return [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "attributes": message["Attributes"],
                "body": message["Body"],
            }
            for message in messages
        ]

    def settle(self, records: Iterable[dict[str, Any]], *, failed: Container[str]) -> None:
        """Delete the messages that were handled; the failed ones, by their ids, are delivered again."""
        for record in records:
            if record["messageId"] not in failed:
                self._sqs.delete_message(QueueUrl=self.push_url, ReceiptHandle=record["receiptHandle"])
            else:
                seconds = self._postponed.pop(record["receiptHandle"], self._rules.visibility_seconds)
                self._wait(record["messageId"], seconds)

    @property
    def longest_wait_seconds(self) -> float:
        """The longest time that a message would have waited."""
        return max(self._waited_seconds.values(), default=0.0)

    def receives_foreign(self, *bodies: str) -> None:
        """Put foreign messages into the push queue."""
        for body in bodies:
            self._sqs.send_message(QueueUrl=self.push_url, MessageBody=body)

    def dead_letters(self) -> list[str]:
        """Read the bodies of the dead letters."""
        found = self._sqs.receive_message(QueueUrl=self.dead_letter_url, MaxNumberOfMessages=10)
        return [message["Body"] for message in found.get("Messages", [])]

    def holds_removals(self) -> list[HeldRemovals]:
        """Read the held removals, which stay in their queue until an operator decides."""
        found = self._sqs.receive_message(QueueUrl=self.held_removals_url, MaxNumberOfMessages=10, VisibilityTimeout=0)
        return [parse_held_removals(message["Body"]) for message in found.get("Messages", [])]

    def _wait(self, message_id: str, seconds: float) -> None:
        self._waited_seconds[message_id] = self._waited_seconds.get(message_id, 0.0) + seconds

    def _too_early(self, message: dict[str, Any]) -> bool:
        """Return true, and keep the message, if SQS would not deliver it yet."""
        visible_from = self._visible_from.get(message["MessageId"], 0.0)
        if visible_from <= self._clock():
            return False
        self._delayed.append((visible_from, message["Body"]))
        self._sqs.delete_message(QueueUrl=self.push_url, ReceiptHandle=message["ReceiptHandle"])
        return True

    def _paced_become_due(self) -> bool:
        """Move the clock to the next paced message, if only such messages are left; false if there is nothing left."""
        paced = [visible_from for visible_from, body in self._delayed if '"not_before"' not in body]
        if not paced:
            return False
        self._clock.skew += max(0.0, min(paced) - self._clock())
        self.put_back_what_is_due()
        return True

    def _stopped_as_loop(self, message: dict[str, Any]) -> bool:
        """Return true if Lambda stops the invocation for this message, whose pushes are then lost."""
        if self._rules.may_recurse or self._depths.get(message["MessageId"], 1) <= MAX_DEPTH:
            return False
        self._sqs.delete_message(QueueUrl=self.push_url, ReceiptHandle=message["ReceiptHandle"])
        return True

    def _arn(self, queue_url: str) -> str:
        attributes = self._sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])["Attributes"]
        return str(attributes["QueueArn"])

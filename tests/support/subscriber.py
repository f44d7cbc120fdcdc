"""A subscriber of a stage's events: a queue of the team's and a rule on the bus."""

import json
import secrets
from typing import Any

import boto3

from chalicelib.core.identifiers import PassId
from tests.support.eventually import eventually


class Subscriber:
    """A queue of the team's, which a rule on the bus sends all events to."""

    def __init__(self, bus: str) -> None:
        self._sqs, self._events, self._bus = boto3.client("sqs"), boto3.client("events"), bus
        self.name = f"team-{secrets.token_hex(4)}"
        self._url = self._sqs.create_queue(QueueName=self.name)["QueueUrl"]
        attributes = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])["Attributes"]
        self._events.put_rule(Name=self.name, EventBusName=bus, EventPattern=json.dumps({"source": ["passwire"]}))
        self._events.put_targets(
            Rule=self.name, EventBusName=bus, Targets=[{"Id": "queue", "Arn": attributes["QueueArn"]}]
        )
        self._received: list[dict[str, Any]] = []

    def about(self, pass_id: PassId, count: int) -> list[dict[str, Any]]:
        """Wait for so many events about a pass; returns detail types with details."""

        def received() -> bool:
            self._receive()
            return len(self._of(pass_id)) >= count

        eventually(received, f"{count} events about {pass_id}")
        return self._of(pass_id)

    def named(self, name: str, count: int) -> list[dict[str, Any]]:
        """Wait for so many events of a name; returns their details."""

        def found() -> list[dict[str, Any]]:
            self._receive()
            return [event["detail"] for event in self._received if event["detail-type"] == name]

        eventually(lambda: len(found()) >= count, f"{count} events {name}")
        return found()

    def replays(self) -> set[str]:
        """Return the names of the replays among what was received."""
        return {event["replay-name"] for event in self._received if "replay-name" in event}

    def _receive(self) -> None:
        for message in self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10).get("Messages", []):
            self._received.append(json.loads(message["Body"]))
            self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])

    def _of(self, pass_id: PassId) -> list[dict[str, Any]]:
        return [
            {"name": event["detail-type"], **event["detail"]}
            for event in self._received
            if event["detail"].get("pass_id") == str(pass_id)
        ]

    def close(self) -> None:
        self._events.remove_targets(Rule=self.name, EventBusName=self._bus, Ids=["queue"])
        self._events.delete_rule(Name=self.name, EventBusName=self._bus)
        self._sqs.delete_queue(QueueUrl=self._url)

"""Sends events again: those that the bus did not accept, and those in the stage's archive."""

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from chalicelib.aws.event_bus import EventBus
from chalicelib.core.errors import PasswireError
from chalicelib.updates.events import Event
from infra.operate.queues import received
from infra.operate.stream_batches import StreamBatchError, process_batch
from infra.stage import aws
from infra.stage.stage import Stage

HIDDEN_SECONDS = 60
"""How long received messages stay hidden, if this process ends before it deletes them."""
COUNT_AGAIN = "its events are lost; correct the counts with `events count`"
"""Remedy for a stream batch that is no longer in the stream."""
POLL_SECONDS = 1.0
ENDED = ("COMPLETED", "CANCELLED", "FAILED")
"""Final states of a replay (AWS, "DescribeReplay")."""


class ReplayError(PasswireError):
    """A replay failed; the message says why."""


@dataclass(frozen=True, slots=True)
class RedrivenEvents:
    """Result of a redrive.

    Args:
        events: number of events that the bus accepted.
        batches: number of stream batches that were processed.
        kept: number of messages that stay in the queue, by reason.
    """

    events: int
    batches: int
    kept: Mapping[str, int]


def redrive_events(stage: Stage, *, on_progress: Callable[[int], object]) -> RedrivenEvents:
    """Send the events in the event failure queue again, and process the stream batches in it.

    An interrupted call can be repeated: a message is deleted only after the bus has accepted its event.

    Args:
        stage: the stage.
        on_progress: called with the number of messages processed since the last call.

    Raises:
        ClientError, BotoCoreError: AWS refused, or could not be reached.
    """
    sqs, url = aws.client("sqs"), stage.queues["event_failure"]
    bus = EventBus(stage.output("EventBusName"), client=aws.client("events"))
    events = batches = 0
    kept: Counter[str] = Counter()
    for messages in list(received(sqs, url, hidden_seconds=HIDDEN_SECONDS)):
        settled: list[Mapping[str, Any]] = []
        parsed = [(message, _event(message["Body"])) for message in messages]
        waiting = [(message, event) for message, event in parsed if event is not None]
        refused = {id(event): code for event, code in bus.put([event for _, event in waiting])}
        for message, event in waiting:
            if code := refused.get(id(event)):
                kept[f"event that EventBridge does not accept: {code}"] += 1
            else:
                settled.append(message)
                events += 1
        for message in (message for message, event in parsed if event is None):
            try:
                process_batch(message["Body"], function=stage.functions["publish_events"], remedy=COUNT_AGAIN)
            except StreamBatchError as error:
                kept[str(error)] += 1
            else:
                settled.append(message)
                batches += 1
        for message in messages:
            if message in settled:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            else:
                handle = message["ReceiptHandle"]
                sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=0)
        on_progress(len(messages))
    return RedrivenEvents(events, batches, kept)


def replay_events(stage: Stage, *, since: float, until: float, rules: Sequence[str]) -> str:
    """Send the events in the stage's archive again, to the rules of the bus, and wait for the end.

    A replayed event has the same detail, with the same deduplication id, and the field `replay-name` beside it.

    Args:
        stage: the stage.
        since: epoch seconds of the first event.
        until: epoch seconds of the last event.
        rules: names of the rules that get the events; empty for all.

    Returns:
        The name of the replay.

    Raises:
        ReplayError: the replay failed, or was cancelled.
        ClientError, BotoCoreError: AWS refused, or could not be reached.
    """
    events = aws.client("events")
    bus_name = stage.output("EventBusName")
    bus = events.describe_event_bus(Name=bus_name)["Arn"]
    archive = events.describe_archive(ArchiveName=stage.output("EventArchiveName"))["ArchiveArn"]
    filters = [events.describe_rule(Name=rule, EventBusName=bus_name)["Arn"] for rule in rules]
    name = f"{bus_name}-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
    events.start_replay(
        ReplayName=name,
        EventSourceArn=archive,
        EventStartTime=datetime.fromtimestamp(since, UTC),
        EventEndTime=datetime.fromtimestamp(until, UTC),
        Destination={"Arn": bus, **({"FilterArns": filters} if filters else {})},
    )
    while (found := events.describe_replay(ReplayName=name))["State"] not in ENDED:
        time.sleep(POLL_SECONDS)
    if found["State"] != "COMPLETED":
        reason = found.get("StateReason", "no reason is given")
        raise ReplayError(f"replay {name} is {found['State'].lower()}: {reason}; run the command again")
    return name


def _event(body: str) -> Event | None:
    """Return the event of a message; None for a message of Lambda."""
    try:
        kept = json.loads(body)
        return Event(str(kept["event"]), float(kept["at"]), dict(kept["detail"]))
    except (ValueError, KeyError, TypeError):
        return None

"""Sends events to the stage's EventBridge bus."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.aws import session
from chalicelib.updates.events import Event

SOURCE = "passwire"
ENTRIES_PER_REQUEST = 10
"""AWS, "PutEvents": up to ten entries, and 256 KB for the request's entries together."""
MAX_REQUEST_BYTES = 256 * 1024


class EventBus:
    """A bus.

    Args:
        name: of the bus.
        client: botocore's client for EventBridge; None to make one at the first event.
    """

    def __init__(self, name: str, *, client: Any = None) -> None:  # noqa: ANN401 - botocore's have no types
        self._name = name
        self._given_client = client

    def put(self, events: Sequence[Event]) -> list[tuple[Event, str]]:
        """Send events.

        Returns:
            The events that the bus did not accept, each with EventBridge's error code.
        """
        refused: list[tuple[Event, str]] = []
        for batch in _batches(events):
            entries = [
                {
                    "EventBusName": self._name,
                    "Source": SOURCE,
                    "DetailType": event.name,
                    "Time": event.at,
                    "Detail": event.encode(),
                }
                for event in batch
            ]
            try:
                results = self._client.put_events(Entries=entries)["Entries"]
            except ClientError as error:
                refused += [(event, str(error.response["Error"]["Code"])) for event in batch]
            except BotoCoreError as error:
                refused += [(event, type(error).__name__) for event in batch]
            else:
                pairs = zip(batch, results, strict=True)
                refused += [(event, str(result["ErrorCode"])) for event, result in pairs if result.get("ErrorCode")]
        return refused

    @cached_property
    def _client(self) -> Any:  # noqa: ANN401
        return self._given_client if self._given_client is not None else session.client("events")


def _batches(events: Sequence[Event]) -> list[list[Event]]:
    """Split events into PutEvents requests."""
    batches: list[list[Event]] = []
    size = 0
    for event in events:
        length = _size(event)
        if not batches or len(batches[-1]) == ENTRIES_PER_REQUEST or size + length > MAX_REQUEST_BYTES:
            batches.append([])
            size = 0
        batches[-1].append(event)
        size += length
    return batches


def _size(event: Event) -> int:
    """Return the size of an entry (AWS, "Calculating Amazon EventBridge PutEvents event entry size")."""
    return 14 + len(SOURCE) + len(event.name) + len(event.encode().encode())

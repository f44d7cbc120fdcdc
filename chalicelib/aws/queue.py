"""Sends messages to SQS: push tasks that are carried out later, held removals, and dead letters for a person."""

import json
import time
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.aws import session
from chalicelib.core.errors import TransientError, shorten
from chalicelib.updates.attempts import with_attempts

if TYPE_CHECKING:
    from chalicelib.updates.changes import RefusedRecord
    from chalicelib.updates.events import Event
    from chalicelib.updates.push_tasks import PushTask
    from chalicelib.updates.removals import HeldRemovals

MESSAGES_PER_REQUEST = 10
MAX_REQUEST_BYTES = 256 * 1024
MAX_DELAY_SECONDS = 900
PAUSE_SECONDS = 0.5
"""Pause before messages that SQS did not accept are sent again."""
Entry = dict[str, Any]
"""Entry of a SendMessageBatch request."""


class QueueError(TransientError):
    """SQS did not accept a message."""


class Queue:
    """The push queue and the queues beside it.

    Args:
        push_queue_url: URL of the queue of push tasks.
        dead_letter_queue_url: URL of the queue of messages that a person must handle.
        held_removals_queue_url: URL of the queue of removals that an operator decides on; empty without such a queue.
        event_failure_queue_url: URL of the queue of events that the bus did not accept; empty without such a queue.
        client: botocore's client for SQS; None to make one at the first message.
        pause_seconds: pause before messages that SQS did not accept are sent again.
    """

    def __init__(
        self,
        *,
        push_queue_url: str,
        dead_letter_queue_url: str,
        held_removals_queue_url: str = "",
        event_failure_queue_url: str = "",
        client: Any = None,  # noqa: ANN401 - botocore's clients have no types
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        self._given_client = client
        self._pause_seconds = pause_seconds
        self._held_removals_queue_url = held_removals_queue_url
        self._event_failure_queue_url = event_failure_queue_url
        self._push_queue_url = push_queue_url
        self._dead_letter_queue_url = dead_letter_queue_url

    def send(
        self, tasks: Sequence["PushTask"], *, delay_seconds: int = 0, until: float = 0.0, attempts: int = 0
    ) -> None:
        """Send push tasks to the push worker.

        Args:
            tasks: to send.
            delay_seconds: delay before the worker receives them, at most 900; longer delays are shortened to 900.
            until: monotonic seconds until which messages that SQS does not accept are sent again. If pushes were sent
                already, giving up repeats them, so the caller gives the time that is left.
            attempts: how often these tasks were deferred (`updates/attempts.py`).

        Raises:
            QueueError: SQS did not accept all of them. Some may be in the queue already.
        """
        from chalicelib.updates.push_tasks import encode, message_group

        delay = min(delay_seconds, MAX_DELAY_SECONDS)
        entries = [
            {**_entry(with_attempts(encode(task), attempts), group=message_group(task)), "DelaySeconds": delay}
            for task in tasks
        ]
        for batch in _batches(entries):
            self._send(self._push_queue_url, batch, until=until)

    def send_refusals(self, records: Sequence["RefusedRecord"], *, at: float) -> None:
        """Send refused pass items, with their errors, to the dead letter queue.

        Args:
            records: refused items.
            at: epoch seconds of the refusal. It marks a dead letter whose refusal is also recorded with the version.

        Raises:
            QueueError: SQS did not accept all of them.
        """
        entries = [
            _entry(
                json.dumps(
                    {
                        "refused": record.key,
                        "error": shorten(str(record.error)),
                        "sequence_number": record.sequence_number,
                        "refused_at": int(at),
                    }
                )
            )
            for record in records
        ]
        for batch in _batches(entries):
            self._send(self._dead_letter_queue_url, batch, until=0.0)

    def hold(self, removals: Sequence["HeldRemovals"]) -> None:
        """Hold removals, with the pushes to their devices, until an operator decides.

        Raises:
            QueueError: SQS did not accept all of them, or the stage has no queue for them.
        """
        if not self._held_removals_queue_url:
            raise QueueError("removals cannot be held: PASSWIRE_HELD_REMOVALS_QUEUE_URL is not set; deploy again")
        entries = [_entry(piece.encode()) for held in removals for piece in held.in_chunks()]
        for batch in _batches(entries):
            self._send(self._held_removals_queue_url, batch, until=0.0)

    def keep_events(self, events: Sequence["Event"], *, error: str) -> None:
        """Keep events that the bus does not accept in the event failure queue.

        Raises:
            QueueError: SQS did not accept all of them.
        """
        entries = [
            _entry(
                json.dumps({"event": event.name, "at": event.at, "detail": json.loads(event.encode()), "error": error})
            )
            for event in events
        ]
        for batch in _batches(entries):
            self._send(self._event_failure_queue_url, batch, until=0.0)

    def send_dead_letters(self, bodies: Sequence[str]) -> None:
        """Send messages that this service did not write to the dead letter queue, unchanged.

        Raises:
            QueueError: SQS did not accept all of them.
        """
        for batch in _batches(_entry(body) for body in bodies):
            self._send(self._dead_letter_queue_url, batch, until=0.0)

    def postpone(self, receipt_handle: str, *, seconds: int) -> None:
        """Have a received message delivered again after `seconds` instead of the queue's visibility timeout.

        Raises:
            QueueError: SQS did not answer; the message is delivered again after the queue's visibility timeout.
        """
        try:
            self._client.change_message_visibility(
                QueueUrl=self._push_queue_url,
                ReceiptHandle=receipt_handle,
                VisibilityTimeout=min(seconds, MAX_DELAY_SECONDS),
            )
        except (BotoCoreError, ClientError) as error:
            raise QueueError(f"SQS: ChangeMessageVisibility failed with {type(error).__name__}") from error

    @cached_property
    def _client(self) -> Any:  # noqa: ANN401
        return self._given_client if self._given_client is not None else session.client("sqs")

    def _send(self, url: str, batch: Sequence[Entry], *, until: float) -> None:
        while True:
            entries = [{**entry, "Id": str(index)} for index, entry in enumerate(batch)]
            try:
                failed = self._client.send_message_batch(QueueUrl=url, Entries=entries).get("Failed", [])
            except (BotoCoreError, ClientError) as error:
                problem = QueueError(f"SQS: SendMessageBatch failed with {type(error).__name__}")
            else:
                if not failed:
                    return
                problem = QueueError(f"SQS: refused {len(failed)} of {len(entries)} messages: {failed[0].get('Code')}")
                batch = [batch[int(entry["Id"])] for entry in failed]
            if time.monotonic() >= until:
                raise problem
            time.sleep(self._pause_seconds)


def _entry(body: str, *, group: str | None = None) -> Entry:
    return {"MessageBody": body, **({"MessageGroupId": group} if group else {})}


def _batches(entries: Iterable[Entry]) -> list[list[Entry]]:
    """Split entries into SendMessageBatch requests: at most ten messages and 256 KiB each."""
    batches: list[list[Entry]] = []
    size = 0
    for entry in entries:
        length = len(entry["MessageBody"].encode())
        if not batches or len(batches[-1]) == MESSAGES_PER_REQUEST or size + length > MAX_REQUEST_BYTES:
            batches.append([])
            size = 0
        batches[-1].append(entry)
        size += length
    return batches

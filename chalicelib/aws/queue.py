"""SQS: orders for pushes that could not be settled at once, and the dead letters that a person must look at."""

import json
import time
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.aws import session
from chalicelib.core.errors import TransientError, limited
from chalicelib.updates.attempts import with_attempts
from chalicelib.updates.changes import RefusedRecord
from chalicelib.updates.push_tasks import PushTask, encode, message_group
from chalicelib.updates.removals import HeldRemovals

MESSAGES_PER_REQUEST = 10
MAX_REQUEST_BYTES = 256 * 1024
MAX_DELAY_SECONDS = 900
PAUSE_SECONDS = 0.5
Entry = dict[str, Any]
"""A message, as SendMessageBatch takes it."""


class QueueError(TransientError):
    """SQS did not take a message."""


class Queue:
    """The push queue and its dead letters. The connection opens at the first message."""

    def __init__(self, *, push_queue_url: str, dead_letter_queue_url: str, held_removals_queue_url: str = "") -> None:
        self._held_removals_queue_url = held_removals_queue_url
        self._push_queue_url = push_queue_url
        self._dead_letter_queue_url = dead_letter_queue_url

    def send(self, tasks: Sequence[PushTask], *, delay_seconds: int = 0, until: float = 0.0, attempts: int = 0) -> None:
        """Hand orders to whoever drains the queue, not before `delay_seconds` (at most 900) from now.

        Args:
            tasks: which.
            delay_seconds: how long they wait.
            until: monotonic seconds up to which what SQS does not take is tried again. Where pushes are out already,
                giving up means that they are repeated, so it is for the time that is left to say when.
            attempts: how often these tasks were put off (`domain/attempts.py`).

        Raises:
            QueueError: SQS did not take all of them. Some may be in the queue already.
        """
        delay = min(delay_seconds, MAX_DELAY_SECONDS)
        entries = [
            {**_entry(with_attempts(encode(task), attempts), group=message_group(task)), "DelaySeconds": delay}
            for task in tasks
        ]
        for batch in _batches(entries):
            self._send(self._push_queue_url, batch, until=until)

    def send_refusals(self, records: Sequence[RefusedRecord], *, at: float) -> None:
        """Put pass items that cannot become a pass where a person looks, with what is wrong with them.

        Args:
            records: which.
            at: epoch seconds of the refusal. A letter that has it is of an item whose refusal is on record, too.

        Raises:
            QueueError: SQS did not take all of them.
        """
        entries = [
            _entry(
                json.dumps(
                    {
                        "refused": record.key,
                        "error": limited(str(record.error)),
                        "sequence_number": record.sequence_number,
                        "refused_at": int(at),
                    }
                )
            )
            for record in records
        ]
        for batch in _batches(entries):
            self._send(self._dead_letter_queue_url, batch, until=0.0)

    def hold(self, removals: Sequence[HeldRemovals]) -> None:
        """Keep removals, with the pushes of their devices, until an operator decides.

        Raises:
            QueueError: SQS did not take all of them, or the stage has no queue for them.
        """
        if not self._held_removals_queue_url:
            raise QueueError("removals cannot be held: PASSWIRE_HELD_REMOVALS_QUEUE_URL is not set; deploy again")
        entries = [_entry(piece.encode()) for held in removals for piece in held.in_chunks()]
        for batch in _batches(entries):
            self._send(self._held_removals_queue_url, batch, until=0.0)

    def bury(self, bodies: Sequence[str]) -> None:
        """Move messages that are none of this service's to the dead letters, as they are.

        Raises:
            QueueError: SQS did not take all of them.
        """
        for batch in _batches(_entry(body) for body in bodies):
            self._send(self._dead_letter_queue_url, batch, until=0.0)

    def postpone(self, receipt_handle: str, *, seconds: int) -> None:
        """Let a received message come again after `seconds`, sooner or later than the queue itself would.

        Raises:
            QueueError: SQS did not answer; the message comes again after the queue's own time.
        """
        try:
            self._sqs.change_message_visibility(
                QueueUrl=self._push_queue_url,
                ReceiptHandle=receipt_handle,
                VisibilityTimeout=min(seconds, MAX_DELAY_SECONDS),
            )
        except (BotoCoreError, ClientError) as error:
            raise QueueError(f"SQS: ChangeMessageVisibility failed with {type(error).__name__}") from error

    @cached_property
    def _sqs(self) -> Any:  # noqa: ANN401
        return session.client("sqs")

    def _send(self, url: str, batch: Sequence[Entry], *, until: float) -> None:
        while True:
            entries = [{**entry, "Id": str(index)} for index, entry in enumerate(batch)]
            try:
                failed = self._sqs.send_message_batch(QueueUrl=url, Entries=entries).get("Failed", [])
            except (BotoCoreError, ClientError) as error:
                problem = QueueError(f"SQS: SendMessageBatch failed with {type(error).__name__}")
            else:
                if not failed:
                    return
                problem = QueueError(f"SQS: refused {len(failed)} of {len(entries)} messages: {failed[0].get('Code')}")
                batch = [batch[int(entry["Id"])] for entry in failed]
            if time.monotonic() >= until:
                raise problem
            time.sleep(PAUSE_SECONDS)


def _entry(body: str, *, group: str | None = None) -> Entry:
    return {"MessageBody": body, **({"MessageGroupId": group} if group else {})}


def _batches(entries: Iterable[Entry]) -> list[list[Entry]]:
    """What one SendMessageBatch takes: ten messages, 256 KiB together."""
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

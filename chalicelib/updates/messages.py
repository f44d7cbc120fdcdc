"""Messages of the push queue as they were received: valid ones with their push task, and invalid ones."""

from dataclasses import dataclass

from chalicelib.updates.push_tasks import PushTask


@dataclass(frozen=True, slots=True)
class QueueMessage:
    """A message with a push task.

    Args:
        message_id: identifies the message in a partial batch response.
        receipt_handle: identifies this receipt of the message, to postpone it.
        receive_count: how often it was received, including this time; 1 or more.
        task: what to do.
        attempts: how often the task was deferred in earlier messages.
    """

    message_id: str
    receipt_handle: str
    receive_count: int
    task: PushTask
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class InvalidMessage:
    """A message that this service did not write.

    Args:
        message_id: identifies the message in a partial batch response; empty if it has no id.
        body: as received, for the dead letter queue; `(empty)` if it has none.
        problem: why it is invalid, without its content.
    """

    message_id: str
    body: str
    problem: str

"""Lambda's triggers: batches of the stream for the push function, messages of the queue for the push worker."""

from collections.abc import Sequence

from chalicelib.flows.change import ChangeHandler
from chalicelib.flows.push_worker import PushWorker
from chalicelib.http.events import queue_messages, stream_records
from tests.schedules.actors import Phone
from tests.schedules.limits import FOREVER, PUSH_TIMEOUT_SECONDS, WORKER_TIMEOUT_SECONDS
from tests.schedules.pipeline import Pipeline
from tests.schedules.scheduler import Scheduler
from tests.schedules.services import WorldQueue


class Triggers:
    """Invokes the push function and the push worker.

    Args:
        scheduler: runs the invocations.
        pipeline: has the stream of its writes.
        queue: has the messages.
        phones: may register while a batch is delivered.
        changes: the push function.
        push_worker: the push worker.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        pipeline: Pipeline,
        queue: WorldQueue,
        phones: Sequence[Phone],
        changes: ChangeHandler,
        push_worker: PushWorker,
    ) -> None:
        self._scheduler = scheduler
        self._pipeline = pipeline
        self._queue = queue
        self._phones = phones
        self._changes = changes
        self._push_worker = push_worker
        self._busy_shards: set[int] = set()

    def waiting_shards(self) -> list[int]:
        """The shards with records of which no batch is being handled."""
        shards = self._pipeline.shards
        return [shard for shard in range(len(shards)) if shards[shard] and shard not in self._busy_shards]

    def deliver(self, shard: int) -> None:
        """Lambda receives a batch of a shard; the next one waits until this one is settled."""
        records = self._pipeline.shards[shard]
        batch = records[: self._scheduler.random.choice([1, 2, 5, 100])]
        self._busy_shards.add(shard)
        if self._scheduler.random.random() < self._scheduler.rates.meet:
            self._phones_get_to_it({record["dynamodb"]["Keys"]["pass_id"]["S"] for record in batch})
        settled = [0]

        def body() -> None:
            failed = self._changes.handle(stream_records({"Records": batch}), deadline=FOREVER)
            numbers = [record["dynamodb"]["SequenceNumber"] for record in batch]
            settled[0] = numbers.index(failed[0]) if failed else len(batch)

        def ended(crashed: bool) -> None:  # noqa: FBT001
            self._busy_shards.discard(shard)
            if not crashed and (
                self._scheduler.calm or self._scheduler.random.random() < 0.9
            ):  # else it is delivered twice
                del records[: settled[0]]

        self._scheduler.start("push", body, ended, PUSH_TIMEOUT_SECONDS)

    def _phones_get_to_it(self, pass_ids: set[str]) -> None:
        """Let phones register for these passes now, since races are the interesting cases."""
        for phone in self._phones:
            for pass_id in phone.registers_from:
                if str(pass_id) in pass_ids:
                    phone.registers_from[pass_id] = 0

    def run_worker(self) -> None:
        free = self._queue.receivable()
        taken = self._scheduler.random.sample(free, min(len(free), self._scheduler.random.choice([1, 2, 10])))
        for message in taken:
            message.taken = True
            message.received += 1
        kept: set[str] = {message.identifier for message in taken}

        def body() -> None:
            records = [
                {
                    "messageId": message.identifier,
                    "receiptHandle": message.identifier,
                    "attributes": {"ApproximateReceiveCount": str(message.received)},
                    "body": message.body,
                }
                for message in taken
            ]
            failed = self._push_worker.handle(queue_messages({"Records": records}), deadline=FOREVER)
            kept.intersection_update(failed)

        def ended(crashed: bool) -> None:  # noqa: FBT001
            for message in taken:
                message.taken = False
                twice = not self._scheduler.calm and self._scheduler.random.random() < 0.1
                if not crashed and message.identifier not in kept and not twice:
                    self._queue.messages.remove(message)

        self._scheduler.start("push_worker", body, ended, WORKER_TIMEOUT_SECONDS)

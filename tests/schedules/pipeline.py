"""A pipeline that writes, deletes and loads pass items again, and the stream of the table."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from boto3.dynamodb.types import TypeSerializer

from chalicelib.core.identifiers import PassId
from tests.schedules.actors import Phone
from tests.schedules.limits import (
    GRACE_SECONDS,
    JUMP_SECONDS,
)
from tests.schedules.rates import SKEW_SECONDS
from tests.schedules.scheduler import Scheduler

_SERIALIZER = TypeSerializer()


class Pipeline:
    """Writes the items of all passes.

    Args:
        scheduler: decides what happens to a pass that is deleted.
        pass_ids: of all passes.
        phones: those that may have the passes.
        write: puts a pass item, None deletes it.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        pass_ids: Sequence[PassId],
        phones: Sequence[Phone],
        write: Callable[[PassId, dict[str, object] | None], None],
    ) -> None:
        self.pass_ids = pass_ids
        self.items: dict[PassId, dict[str, object]] = {}
        self.writes = 0
        self.written_at: dict[PassId, int] = {}
        """The number of the write that put the newest content of a pass."""
        self.shards: list[list[dict[str, Any]]] = [[], []]
        """The records of the stream that were not handled yet."""
        self._scheduler = scheduler
        self._phones = phones
        self._write_item = write
        self._reload: dict[PassId, tuple[int, float]] = {}
        """Passes that will be loaded again: the first step and the latest time."""
        self._sequence_numbers = itertools.count(1)

    def writes_a_pass(self, pass_id: PassId, *, again: bool = False) -> None:
        """A pipeline writes an item with new content, or the same content again."""
        old = self.items.get(pass_id)
        self._reload.pop(pass_id, None)
        if not again or old is None:
            self.writes += 1
            self.written_at[pass_id] = self.writes
        item: dict[str, object] = {
            "pass_id": str(pass_id),
            "template": "t",
            "fields": {"content": self.written_at[pass_id]},
        }
        self._put(pass_id, old, item)

    def deletes_a_pass(self, pass_id: PassId) -> None:
        """A pipeline deletes an item, to load it again or permanently."""
        old = self.items.get(pass_id)
        if old is None or self._is_in_stream(pass_id):
            return
        self._put(pass_id, old, None)
        if self._scheduler.random.random() < 0.5:
            self._stays_away(pass_id)
        else:
            until = self._scheduler.now + GRACE_SECONDS - 3 * SKEW_SECONDS
            self._reload[pass_id] = (self._scheduler.steps + self._scheduler.random.choice([1, 10, 40, 80]), until)

    def reloads(self, *, all_of_them: bool = False) -> None:
        """Load some passes again, each before its latest time; after that it stays deleted."""
        for pass_id, (step, until) in list(self._reload.items()):
            if self._scheduler.now >= until:
                del self._reload[pass_id]
                self._stays_away(pass_id)
            elif all_of_them or until - self._scheduler.now < JUMP_SECONDS + 5 or self._scheduler.steps >= step:
                self.writes_a_pass(pass_id)

    def _stays_away(self, pass_id: PassId) -> None:
        """Forget what phones believe about a pass that no longer exists."""
        for phone in self._phones:
            phone.wanted.discard(pass_id)
            phone.registered_tokens.pop(pass_id, None)
            phone.content.pop(pass_id, None)
            phone.last_modified.pop(pass_id, None)

    def _is_in_stream(self, pass_id: PassId) -> bool:
        return any(
            record["dynamodb"]["Keys"]["pass_id"]["S"] == str(pass_id) for shard in self.shards for record in shard
        )

    def _put(self, pass_id: PassId, old: dict[str, object] | None, new: dict[str, object] | None) -> None:
        self._write_item(pass_id, new)
        if new is None:
            self.items.pop(pass_id)
        else:
            self.items[pass_id] = new
        images = {name: image for name, image in (("OldImage", old), ("NewImage", new)) if image is not None}
        shard = self.shards[int(pass_id.serial_number[1:]) % 2]
        shard.append(
            {
                "dynamodb": {
                    "Keys": {"pass_id": {"S": str(pass_id)}},
                    "SequenceNumber": str(next(self._sequence_numbers)),
                    "ApproximateCreationDateTime": self._scheduler.now,
                    **{name: _SERIALIZER.serialize(image)["M"] for name, image in images.items()},
                }
            }
        )

"""The services that the flows of a schedule use: every request to them is a step, and may fail."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chalicelib.aws.queue import QueueError
from chalicelib.aws.tables.connection import StoreError
from chalicelib.aws.templates import TemplateStoreError
from chalicelib.core.identifiers import PassId
from chalicelib.flows.failed_downloads import FailedDownloads
from chalicelib.passes.item import PassItem
from chalicelib.passes.template import Template, TemplateError
from chalicelib.updates.push_tasks import PushTask

if TYPE_CHECKING:
    from tests.schedules.world import World


class Stepped:
    """A store whose requests are steps of the schedule."""

    def __init__(self, world: "World", inner: object) -> None:
        self._world = world
        self._inner = inner

    def __getattr__(self, name: str) -> Callable[..., object]:
        method = getattr(self._inner, name)

        def request(*args: object, **kwargs: object) -> object:
            return self._world.request(lambda: method(*args, **kwargs), StoreError)

        return request


@dataclass
class WorldQueue:
    """The queue that the flows use. It never repeats a request until `until`, which is harder for them."""

    world: "World"

    def send(self, tasks: Sequence[PushTask], *, delay_seconds: int = 0, until: float = 0.0, attempts: int = 0) -> None:
        assert delay_seconds >= 0
        assert until >= 0
        assert attempts >= 0
        for task in tasks:
            self.world.request(lambda task=task: self._put(task, delay_seconds), QueueError)  # type: ignore[misc]

    def send_refusals(self, records: Sequence[object], *, at: float) -> None:
        assert records
        assert at
        self.world.request(lambda: None, QueueError)

    def send_dead_letters(self, bodies: Sequence[str]) -> None:
        raise AssertionError(f"the queue contains no foreign messages here: {bodies}")

    def postpone(self, receipt_handle: str, *, seconds: int) -> None:
        assert receipt_handle
        assert seconds >= 0
        self.world.step()

    def _put(self, task: PushTask, delay_seconds: int) -> None:
        self.world.sends(task, delay_seconds=delay_seconds)


@dataclass
class WatchedFailures:
    """Records failed downloads; remembers those that could not be recorded since DynamoDB and SQS failed, too."""

    world: "World"
    inner: FailedDownloads

    def note(self, pass_id: PassId, error: Exception, **what: Any) -> None:  # noqa: ANN401 - the flow's arguments
        self.world.last_request_failed = False
        sent = len(self.world.messages)
        self.inner.note(pass_id, error, **what)
        if self.world.last_request_failed and len(self.world.messages) == sent:
            self.world.unnoted_failures += 1


class Designs:
    """The only template, which each execution environment reads and may cache for some seconds."""

    def __init__(self, world: "World") -> None:
        content = {"generic": {"primaryFields": [{"key": "content", "label": "", "value": 0}]}}
        self._world = world
        self._template = Template.parse("t", {"pass.json": json.dumps(content).encode()})
        self._changed_at = -math.inf
        self.broken = False

    def breaks(self) -> None:
        self.broken, self._changed_at = True, self._world.now

    def is_repaired(self) -> None:
        self.broken, self._changed_at = False, self._world.now

    def get(self, name: str, *, max_age_seconds: float | None = None, **_: object) -> Template:
        """Return the template, or, if a cached one is allowed, the one before its last change."""
        found = self._world.request(lambda: self._broken_to(max_age_seconds or 0.0), TemplateStoreError)
        if found:
            raise TemplateError(name, "pass.json", "has no such field")
        return self._template

    def _broken_to(self, max_age_seconds: float) -> bool:
        recent = self._world.now - self._changed_at < max_age_seconds
        stale = recent and not self._world.calm and self._world.random.random() < 0.5
        return self.broken is not stale


def content_of(item: PassItem) -> int:
    """The number in the content that was written."""
    value = item.fields["content"]["value"]
    assert isinstance(value, int)
    return value

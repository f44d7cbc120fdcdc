"""The services that the flows of a schedule use: every request to them is a step, and may fail."""

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from chalicelib.apns.client import Pace
from chalicelib.apns.outcomes import Outcome, Push
from chalicelib.apns.reasons import OutcomeKind
from chalicelib.aws.queue import QueueError
from chalicelib.aws.tables.connection import StoreError
from chalicelib.aws.templates import TemplateStoreError
from chalicelib.core.errors import ConfigurationError
from chalicelib.core.identifiers import PassId, PushToken
from chalicelib.flows.failed_downloads import FailedDownloads
from chalicelib.flows.recheck import TEMPLATE_AGE_SECONDS
from chalicelib.passes.item import PassItem
from chalicelib.passes.template import Template, TemplateError
from chalicelib.updates.push_tasks import PushTask, encode
from tests.schedules.actors import Message, Phone
from tests.schedules.scheduler import Scheduler


class Stepped:
    """A store whose requests are steps of the schedule."""

    def __init__(self, scheduler: Scheduler, inner: object) -> None:
        self._scheduler = scheduler
        self._inner = inner

    def __getattr__(self, name: str) -> Callable[..., object]:
        method = getattr(self._inner, name)

        def request(*args: object, **kwargs: object) -> object:
            return self._scheduler.request(lambda: method(*args, **kwargs), StoreError)

        return request


@dataclass
class WorldQueue:
    """The queue that the flows use. It never repeats a request until `until`, which is harder for them."""

    scheduler: Scheduler
    messages: list[Message] = field(default_factory=list)

    def send(self, tasks: Sequence[PushTask], *, delay_seconds: int = 0, until: float = 0.0, attempts: int = 0) -> None:
        assert delay_seconds >= 0
        assert until >= 0
        assert attempts >= 0
        for task in tasks:
            self.scheduler.request(lambda task=task: self.put(task, delay_seconds=delay_seconds), QueueError)  # type: ignore[misc]

    def send_refusals(self, records: Sequence[object], *, at: float) -> None:
        assert records
        assert at
        self.scheduler.request(lambda: None, QueueError)

    def send_dead_letters(self, bodies: Sequence[str]) -> None:
        raise AssertionError(f"the queue contains no foreign messages here: {bodies}")

    def postpone(self, receipt_handle: str, *, seconds: int) -> None:
        assert receipt_handle
        assert seconds >= 0
        self.scheduler.step()

    def put(self, task: PushTask, *, delay_seconds: int = 0) -> None:
        """Put a message into the queue; it is not received before its delay is over."""
        identifier = f"m{self.scheduler.steps}-{len(self.messages)}-{time.monotonic_ns()}"
        self.messages.append(Message(identifier, encode(task), visible_from=self.scheduler.now + delay_seconds))

    def receivable(self) -> list[Message]:
        """The messages that the push worker can receive now."""
        now = self.scheduler.now
        return [message for message in self.messages if not message.taken and message.visible_from <= now]


@dataclass
class WatchedFailures:
    """Records failed downloads; remembers those that could not be recorded since DynamoDB and SQS failed, too."""

    scheduler: Scheduler
    queue: WorldQueue
    inner: FailedDownloads
    unnoted: int = 0

    def note(self, pass_id: PassId, error: Exception, **what: Any) -> None:  # noqa: ANN401 - the flow's arguments
        self.scheduler.last_request_failed = False
        sent = len(self.queue.messages)
        self.inner.note(pass_id, error, **what)
        if self.scheduler.last_request_failed and len(self.queue.messages) == sent:
            self.unnoted += 1


class Designs:
    """The only template, which each execution environment reads and may cache for some seconds."""

    def __init__(self, scheduler: Scheduler) -> None:
        content = {"generic": {"primaryFields": [{"key": "content", "label": "", "value": 0}]}}
        self._scheduler = scheduler
        self._template = Template.parse("t", {"pass.json": json.dumps(content).encode()})
        self._changed_at = -math.inf
        self.broken = False

    def breaks(self) -> None:
        self.broken, self._changed_at = True, self._scheduler.now

    def is_repaired(self) -> None:
        self.broken, self._changed_at = False, self._scheduler.now

    def get(self, name: str, *, max_age_seconds: float | None = None, **_: object) -> Template:
        """Return the template, or, if a cached one is allowed, the one before its last change."""
        found = self._scheduler.request(lambda: self._broken_to(max_age_seconds or 0.0), TemplateStoreError)
        if found:
            raise TemplateError(name, "pass.json", "has no such field")
        return self._template

    def _broken_to(self, max_age_seconds: float) -> bool:
        recent = self._scheduler.now - self._changed_at < max_age_seconds
        stale = recent and not self._scheduler.calm and self._scheduler.random.random() < 0.5
        return self.broken is not stale


class WorldBuilder:
    """Builds passes whose content is the item."""

    def __init__(self, scheduler: Scheduler, designs: Designs) -> None:
        self._scheduler = scheduler
        self.templates = designs
        self.certificate_missing = False

    def build(self, item: PassItem, *, template_age_seconds: float = TEMPLATE_AGE_SECONDS, **_: object) -> bytes:
        """Build a pass: its content is the item; it needs a template and a certificate."""
        self.templates.get(item.template, max_age_seconds=template_age_seconds)
        self._scheduler.step()
        if self.certificate_missing:
            raise ConfigurationError("the certificate has expired")
        return str(content_of(item)).encode()


def content_of(item: PassItem) -> int:
    """The number in the content that was written."""
    value = item.fields["content"]["value"]
    assert isinstance(value, int)
    return value


class WorldApns:
    """APNs as the push client of the flows reaches it.

    Args:
        scheduler: every push is a step, and may fail.
        phones: have the push tokens.
    """

    connections = 0
    identity = "client"

    def __init__(self, scheduler: Scheduler, phones: Sequence[Phone]) -> None:
        self.dead_tokens: dict[PushToken, float] = {}
        """The push tokens that are invalid, and since when."""
        self.pushed_at: list[float] = []
        self.largest_send = 1
        self._scheduler = scheduler
        self._phones = phones

    def push(self, pushes: Sequence[Push], *, deadline: float, pace: Pace) -> Iterator[Outcome]:
        assert deadline
        self.largest_send = max(self.largest_send, len(pushes))
        start_until = self._scheduler.clock() + pace.start_until - time.monotonic()
        for push in pushes:
            self._scheduler.step()
            if self._scheduler.clock() > start_until or self._scheduler.fails():
                yield Outcome(push, OutcomeKind.LATER)
                continue
            self.pushed_at.append(self._scheduler.now)
            if push.push_token in self.dead_tokens:
                gone_at = int(self.dead_tokens[push.push_token] * 1000)
                yield Outcome(push, OutcomeKind.UNREGISTERED, status=410, reason="Unregistered", timestamp=gone_at)
                continue
            for number, phone in enumerate(self._phones):
                if phone.push_token == push.push_token:
                    phone.push_received = True
                    phone.asleep = number % 2 == 1 and self._scheduler.random.random() < self._scheduler.rates.doze
            yield Outcome(push, OutcomeKind.DELIVERED, status=200)

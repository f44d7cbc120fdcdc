"""Tests of rechecks: their results, what is pushed, and what makes them unnecessary. Tables are in memory."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from chalicelib.aws.queue import Queue, QueueError
from chalicelib.aws.tables import Store
from chalicelib.aws.tables.versions import Versions
from chalicelib.aws.templates import TemplateStoreError
from chalicelib.core.errors import ConfigurationError, RefusedError
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId
from chalicelib.flows.pace import Pacer
from chalicelib.flows.push_worker import PushWorker
from chalicelib.flows.recheck import Rechecker
from chalicelib.flows.send_pushes import PushSender
from chalicelib.http.events import queue_messages
from chalicelib.passes.builder import PassBuilder
from chalicelib.passes.item import PassItem
from chalicelib.passes.item_errors import ItemError
from chalicelib.telemetry.metrics import Metrics
from chalicelib.updates.changes import RefusedRecord
from chalicelib.updates.pacing import PushRate
from chalicelib.updates.protocol import RecheckStamp, Refusal, Tag, Version
from chalicelib.updates.push_tasks import (
    FanOut,
    NotifyDevices,
    PushTask,
    Recheck,
    RecheckReason,
    RemoveRegistrations,
    encode,
)
from chalicelib.updates.recent import PUSH_DELAY_SECONDS
from tests.schedules.memory import Memory, MemoryVersions

PASS = PassId("pass.com.example", "P")
UNLIMITED = PushRate(1_000_000)
NOW = 1_800_000_000.0
PUSH_TIMEOUT = 20.0


class Worker:
    """The push worker: the messages that it receives, and their results."""

    def __init__(self, rows: Memory | None = None) -> None:
        self.now = NOW
        self.rows = rows or Memory()
        self.sent: list[PushTask] = []
        self.buried: list[str] = []
        self.refused: list[RefusedRecord] = []
        self.delays: list[int] = []
        self.postponed: list[int] = []
        self.making: Exception | Callable[[], None] | None = None
        self.against_format = False
        self.queue_fails = False
        self.dead_letters_fail = False
        self.built_from: list[float] = []
        store = self.rows.store()
        queue = cast(
            "Queue",
            SimpleNamespace(
                send=self._send,
                send_refusals=self._refuse,
                send_dead_letters=self._send_dead_letters,
                postpone=self._postpone,
            ),
        )
        builder = cast("PassBuilder", SimpleNamespace(build=self._make))
        rechecker = Rechecker(store, queue, Metrics("test"), builder, clock=self.clock, max_stamp_seconds=PUSH_TIMEOUT)
        push_sender = PushSender(
            store, Pacer(store, UNLIMITED), Metrics("test"), client_for=self._no_client, clock=self.clock
        )
        self.push_worker = PushWorker(store, queue, push_sender, rechecker=lambda: rechecker)

    def clock(self) -> float:
        return self.now

    def has(self, **attributes: object) -> None:
        self.rows.items[PASS] = {"pass_id": str(PASS), "template": "t", **attributes}

    def asks(self, reason: RecheckReason = RecheckReason.UNSETTLED, *, at: float = NOW) -> Recheck:
        return Recheck(PASS, reason, at, "change-1")

    def gets(self, *tasks: PushTask | str, receives: int = 1, first: int = 1) -> list[str]:
        """Messages in one batch; the ids of those that must come again."""
        records = [
            {
                "messageId": f"m{number}",
                "receiptHandle": f"r{number}",
                "attributes": {"ApproximateReceiveCount": str(receives)},
                "body": task if isinstance(task, str) else encode(task),
            }
            for number, task in enumerate(tasks, first)
        ]
        return self.push_worker.handle(queue_messages({"Records": records}), deadline=time.monotonic() + 60)

    @property
    def fan_outs(self) -> list[PassId]:
        return [task.pass_id for task in self.sent if isinstance(task, FanOut)]

    def _make(self, item: PassItem, *, template_age_seconds: float, strict: bool, **_: object) -> bytes:
        assert item.pass_id == PASS
        self.built_from.append(template_age_seconds)
        if strict and self.against_format:
            raise ItemError(PASS, "overrides.backgroundColor", "must be a color")
        if callable(self.making):
            self.making()
        elif self.making is not None:
            raise self.making
        return b"pass"

    def _no_client(self, _: str) -> Any:  # noqa: ANN401
        raise RecursionError("an answer nested 2,000 deep")

    def _send(self, tasks: Sequence[PushTask], *, delay_seconds: int = 0, until: float = 0.0) -> None:
        assert delay_seconds >= 0
        assert until >= 0
        if self.queue_fails:
            raise QueueError("SQS does not answer")
        self.sent.extend(tasks)
        self.delays.extend(delay_seconds for _ in tasks)

    def _refuse(self, records: Sequence[RefusedRecord], *, at: float) -> None:
        assert at == self.now
        if self.dead_letters_fail:
            raise QueueError("SQS does not answer")
        self.refused.extend(records)

    def _send_dead_letters(self, bodies: Sequence[str]) -> None:
        if self.dead_letters_fail:
            raise QueueError("SQS does not answer")
        self.buried.extend(bodies)

    def _postpone(self, receipt_handle: str, *, seconds: int) -> None:
        assert receipt_handle
        self.postponed.append(seconds)


@pytest.fixture
def worker() -> Worker:
    return Worker()


def test_valid_pass_is_stamped_and_fanned_out(worker: Worker) -> None:
    worker.has()
    assert worker.gets(worker.asks()) == []
    assert worker.rows.versions[PASS].modified_at == int(NOW)
    assert worker.sent == [FanOut(PASS, None, NOW, "change-1", int(NOW))]
    assert worker.delays == [PUSH_DELAY_SECONDS]  # other environments may still answer from the version before


def test_stamp_of_a_recheck_is_announced(worker: Worker) -> None:
    """The fan-out of an earlier change has nothing left to tell, and that of the recheck is the one that is due."""
    versions = worker.rows.store().versions
    versions.stamp_at(PASS, now=int(NOW) - 10, changes=1, deleted=False, record="record-1")
    worker.has()
    worker.gets(worker.asks())
    assert versions.fan_out_state(PASS).announced == worker.rows.versions[PASS].modified_at
    assert worker.rows.versions[PASS].last_record == "record-1"


def test_refusal_is_not_announced(worker: Worker) -> None:
    versions = worker.rows.store().versions
    versions.stamp_at(PASS, now=int(NOW) - 10, changes=1, deleted=False, record="record-1")
    worker.has(fields="not a map")
    worker.gets(worker.asks())
    assert worker.rows.refusals
    assert versions.fan_out_state(PASS).announced == int(NOW) - 10
    assert worker.rows.versions[PASS].last_record == "record-1"


def test_repeated_recheck_fans_out_with_its_first_stamp(worker: Worker) -> None:
    """The push worker then carries out the fan-out once, for either of the two messages."""
    worker.has()
    worker.gets(worker.asks())
    worker.now += 60
    worker.gets(worker.asks())
    assert worker.sent == [FanOut(PASS, None, NOW, "change-1", int(NOW))] * 2


def test_first_stamp_by_a_recheck_counts_as_changed_since_issue(worker: Worker) -> None:
    worker.has()
    worker.gets(worker.asks())
    assert worker.rows.versions[PASS].changed_since_issue


def test_invalid_item_is_recorded_and_sent_to_the_dead_letter_queue(worker: Worker) -> None:
    worker.has(fields="not a map")
    assert worker.gets(worker.asks()) == []
    assert worker.rows.refusals[PASS].template == ""
    assert [refused.pass_id for refused in worker.refused] == [PASS]
    assert worker.sent == []
    assert PASS not in worker.rows.versions


@pytest.mark.parametrize("reason", [RecheckReason.UNSETTLED, RecheckReason.REFUSED])
def test_item_against_apples_format_remains_refused(worker: Worker, reason: RecheckReason) -> None:
    worker.has()
    worker.rows.store().versions.record_refusal(
        PASS, Refusal("overrides.backgroundColor", "t", int(NOW) - 1), changes=0
    )
    worker.against_format = True
    assert worker.gets(worker.asks(reason)) == []
    assert PASS in worker.rows.refusals
    assert worker.sent == []


def test_recheck_of_a_download_does_not_check_apples_format(worker: Worker) -> None:
    """It was accepted before the format was checked, and phones that hold its pass get what they asked for."""
    worker.has()
    worker.against_format = True
    worker.gets(worker.asks(RecheckReason.DOWNLOAD))
    assert worker.fan_outs == [PASS]


def test_refusal_is_recorded_if_its_dead_letter_is_not_accepted(worker: Worker) -> None:
    worker.has(fields="not a map")
    worker.dead_letters_fail = True
    assert worker.gets(worker.asks()) == []
    assert PASS in worker.rows.refusals


def test_deleted_item_is_stamped_and_its_registrations_are_removed(worker: Worker) -> None:
    """The record of its deletion may be the one that could not be handled."""
    worker.rows.store().versions.stamp_at(PASS, now=int(NOW) - 10, changes=1, deleted=False)
    assert worker.gets(worker.asks()) == []
    assert worker.rows.versions[PASS].deleted
    assert worker.sent == [RemoveRegistrations(PASS, int(NOW), not_before=NOW + 900)]
    assert worker.delays == [900]


@pytest.mark.parametrize(
    "error",
    [ConfigurationError("the certificate has ended"), TemplateStoreError("S3 does not answer"), ZeroDivisionError()],
    ids=lambda error: type(error).__name__,
)
def test_recheck_that_fails_is_retried_with_increasing_delay(worker: Worker, error: Exception) -> None:
    worker.has()
    worker.making = error
    for receives in (1, 2, 3, 50):
        assert worker.gets(worker.asks(), receives=receives) == ["m1"]
    assert worker.postponed == [5, 10, 20, 900]
    assert worker.sent == []
    assert PASS not in worker.rows.versions
    worker.making = None
    assert worker.gets(worker.asks(), receives=51) == []
    assert worker.fan_outs == [PASS]


def test_message_delivered_again_after_its_stamp_still_fans_out(worker: Worker) -> None:
    """Its function ended between the stamp, which removed the refusal, and the fan-out."""
    worker.has()
    worker.rows.refusals[PASS] = Refusal("no such field", "t", 0)
    worker.queue_fails = True
    assert worker.gets(worker.asks(RecheckReason.REFUSED)) == ["m1"]
    assert worker.rows.refusals == {}
    worker.queue_fails = False
    stamp = worker.rows.versions[PASS]
    assert worker.gets(worker.asks(RecheckReason.REFUSED), receives=2) == []
    assert worker.fan_outs == [PASS]
    assert worker.rows.versions[PASS] == stamp


def test_removed_refusal_needs_no_recheck(worker: Worker) -> None:
    worker.has()
    assert worker.gets(worker.asks(RecheckReason.REFUSED)) == []
    assert worker.sent == []
    assert worker.rows.versions == {}


@pytest.mark.parametrize(
    ("stamped_at", "fan_outs"),
    [(NOW - 100, 1), (NOW - 60, 1), (NOW - 56, 1), (NOW - 55, 0), (NOW, 0), (NOW + 3600, 1)],
    ids=["before", "at the same time", "within what clocks disagree by", "after", "now", "by a clock that is wrong"],
)
def test_failed_download_needs_no_second_recheck(worker: Worker, stamped_at: float, fan_outs: int) -> None:
    worker.has()
    worker.rows.recheck_stamps[PASS] = RecheckStamp("another", int(stamped_at))
    assert worker.gets(worker.asks(RecheckReason.DOWNLOAD, at=NOW - 60)) == []
    assert len(worker.fan_outs) == fan_outs


def test_rechecks_of_one_pass_lead_to_one_fan_out(worker: Worker) -> None:
    """In one batch, and in batches that follow; as after an outage in which every environment asked."""
    worker.has()
    for number in range(5):
        asked = [worker.asks(RecheckReason.DOWNLOAD, at=NOW - 60 + n) for n in range(10)]
        assert worker.gets(*asked, first=10 * number) == []
    assert worker.fan_outs == [PASS]


@dataclass
class SlowStamps(Memory):
    """Tables in which something happens before each stamp is written."""

    before_stamp: Callable[[], None] = lambda: None

    def store(self) -> Store:
        return replace(super().store(), versions=cast("Versions", SlowVersions(self)))


@dataclass
class SlowVersions(MemoryVersions):
    rows: SlowStamps

    def stamp_at(self, pass_id: PassId, **stamp: Any) -> Version | None:  # noqa: ANN401 - those of MemoryVersions
        self.rows.before_stamp()
        return super().stamp_at(pass_id, **stamp)


def test_stamp_that_exceeds_the_window_is_set_again() -> None:
    """A tag that was issued while it was being written is later than the first, and earlier than the second."""
    slow = [PUSH_TIMEOUT + 10]

    def wait() -> None:
        slowly.now += slow.pop() if slow else 0

    slowly = Worker(SlowStamps(before_stamp=wait))
    slowly.has()
    slowly.gets(slowly.asks())
    assert slow == []
    tag = Tag.at(slowly.now, window_seconds=25)
    assert slowly.rows.versions[PASS].modified_at > tag.seconds
    assert slowly.fan_outs == [PASS]


def test_template_repaired_during_a_refusal_is_noticed(worker: Worker) -> None:
    worker.has()

    def make() -> None:
        if worker.built_from[-1] > 0:
            raise RefusedError("an old template")
        assert PASS in worker.rows.refusals or PASS in worker.rows.versions

    worker.making = make
    worker.gets(worker.asks(RecheckReason.UNSETTLED))
    assert worker.fan_outs == [PASS]
    assert worker.rows.refusals == {}
    assert worker.refused == []


def test_newer_item_refused_in_the_meantime_remains_refused(worker: Worker) -> None:
    """The stream has recorded the refusal of a newer item before this stamp, which removes it."""
    worker.has()

    def make() -> None:
        if len(worker.built_from) == 1:
            worker.has(fields="not a map")
            worker.rows.refusals[PASS] = Refusal("must be a map", "t", 0)

    worker.making = make
    worker.gets(worker.asks())
    assert PASS in worker.rows.refusals
    assert worker.fan_outs == []


FOREIGN = (
    "no JSON",
    "[" * 2000 + "]" * 2000,
    '{"Records": []}',
    '{"wake": "a", "devices": [[]], "changed_at": 1}',  # prose: the wire format of push tasks
)


def test_invalid_message_becomes_a_dead_letter_at_once(worker: Worker, capsys: pytest.CaptureFixture[str]) -> None:
    worker.has()
    assert worker.gets(*FOREIGN, worker.asks()) == []
    assert worker.buried == list(FOREIGN)
    assert worker.fan_outs == [PASS]
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["message_id"] for line in lines if line.get("event") == "push_task_refused"] == [
        "m1",
        "m2",
        "m3",
        "m4",
    ]


def test_invalid_message_is_delivered_again_if_its_dead_letter_fails(worker: Worker) -> None:
    worker.has()
    worker.dead_letters_fail = True
    assert worker.gets(FOREIGN[0], worker.asks()) == ["m1"]
    assert worker.fan_outs == [PASS]


@pytest.mark.parametrize(
    "record",
    [
        {"messageId": "m1"},
        {"messageId": "m1", "body": None, "receiptHandle": None, "attributes": None},
        {"messageId": "m1", "body": "{}", "attributes": {"ApproximateReceiveCount": "many"}},
    ],
    ids=["no body", "nothing", "no count"],
)
def test_malformed_sqs_record_becomes_a_dead_letter(worker: Worker, record: dict[str, Any]) -> None:
    assert worker.push_worker.handle(queue_messages({"Records": [record]}), deadline=time.monotonic() + 60) == []
    assert len(worker.buried) == 1


def test_unexpected_error_of_pushing_defers_the_pushes(worker: Worker) -> None:
    """It affects only the messages of that pass type."""
    phone = DeviceLibraryIdentifier("phone")
    worker.has()
    worker.rows.store().registrations.create(phone, PASS, push_token=cast("Any", "token"), at=NOW)
    assert worker.gets(NotifyDevices(PASS.pass_type_identifier, (phone,), NOW), worker.asks()) == ["m1"]
    assert worker.postponed == [5]
    assert worker.fan_outs == [PASS]

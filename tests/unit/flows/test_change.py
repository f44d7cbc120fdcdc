"""Tests of batches of the stream: pushes, stamps and refusals, with tables in memory and a list for APNs."""

import json
import lzma
import time
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from boto3.dynamodb.types import TypeSerializer

from chalicelib.apns.client import Client, Pace
from chalicelib.apns.outcomes import Outcome, Push
from chalicelib.apns.reasons import OutcomeKind
from chalicelib.aws.images import ImageMissingError
from chalicelib.aws.queue import Queue, QueueError
from chalicelib.aws.tables import Store
from chalicelib.aws.tables.versions import Versions
from chalicelib.aws.templates import TemplateMissingError, TemplateStoreError
from chalicelib.core.errors import MAX_MESSAGE_CHARACTERS, ConfigurationError, TransientError
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId, PushToken
from chalicelib.flows.change import ChangeHandler, ChangeLimits
from chalicelib.flows.pace import Pacer
from chalicelib.flows.send_pushes import PushSender
from chalicelib.http.events import stream_records
from chalicelib.passes.template import Template
from chalicelib.telemetry import log
from chalicelib.telemetry.metrics import Metrics
from chalicelib.updates.changes import RefusedRecord
from chalicelib.updates.pacing import PushRate
from chalicelib.updates.push_tasks import FanOut, NotifyDevices, PushTask, Recheck, RecheckReason, RemoveRegistrations
from tests.schedules.memory import Memory, MemoryVersions

TYPE = "pass.com.example"
_SERIALIZER = TypeSerializer()
UNLIMITED = PushRate(1_000_000)


class Designs:
    """Templates by name: what reading one gives or raises, which a test may change at any time."""

    def __init__(self) -> None:
        content = {"generic": {"primaryFields": [{"key": "gate", "label": "GATE", "value": "?"}]}}
        self.template = Template.parse("t", {"pass.json": json.dumps(content).encode()})
        self.found: dict[str, Template | Exception] = {"t": self.template}
        self.looked: list[tuple[str, float]] = []

    def get(self, name: str, *, max_age_seconds: float | None = None, **_: object) -> Template:
        self.looked.append((name, max_age_seconds or 0.0))
        found = self.found.get(name, TemplateMissingError(f"template '{name}' does not exist"))
        if isinstance(found, Exception):
            raise found
        return found


class Side:
    """The push side: what it receives, and the results."""

    def __init__(self, rows: Memory | None = None) -> None:
        self.rows = rows or Memory()
        self.store = self.rows.store()
        self.pushed: list[Push] = []
        self.tasks: list[PushTask] = []
        self.refused: list[RefusedRecord] = []
        self.credential_error: ConfigurationError | None = None
        self.designs = Designs()
        self.uploaded: set[str] = set()
        self.dead_letters_fail = False
        self.queue_fails = False
        self.client_error: Exception | None = None
        queue = SimpleNamespace(send=self._send, send_refusals=self._keep)
        push_sender = PushSender(
            self.store, Pacer(self.store, UNLIMITED), Metrics("test"), client_for=self._client_for, clock=time.time
        )
        self._numbers = iter(range(1, 1000))
        self._changes = ChangeHandler(
            self.store,
            cast("Queue", queue),
            push_sender,
            Metrics("test"),
            templates=self.designs,
            clock=time.time,
            images=cast("Any", SimpleNamespace(validate_exist=self._require)),
        )

    def pushes_directly_to_passes_of_at_most(self, devices: int) -> None:
        self._changes = replace(self._changes, limits=ChangeLimits(narrow_devices=devices))

    def handles(self, *records: Mapping[str, Any], deadline: float | None = None) -> None:
        assert (
            self._changes.handle(stream_records({"Records": records}), deadline=deadline or time.monotonic() + 10) == []
        )

    def holds(self, device: str, *serial_numbers: str) -> None:
        for serial_number in serial_numbers:
            pass_id = PassId(TYPE, serial_number)
            identifier, token = DeviceLibraryIdentifier(device), PushToken(f"token-of-{device}")
            self.store.registrations.create(identifier, pass_id, push_token=token, at=time.time())
            self.rows.items[pass_id] = {"pass_id": str(pass_id)}

    def record(
        self, serial_number: str, *, old: Mapping[str, object] | None, new: Mapping[str, object] | None
    ) -> dict[str, Any]:
        key = {"pass_id": f"{TYPE}/{serial_number}"}
        images = {
            name: _SERIALIZER.serialize({**key, "template": "t", **image})["M"]
            for name, image in (("OldImage", old), ("NewImage", new))
            if image is not None
        }
        number = str(next(self._numbers))
        return {"dynamodb": {"Keys": _SERIALIZER.serialize(key)["M"], "SequenceNumber": number, **images}}

    def changed(self, serial_number: str) -> dict[str, Any]:
        return self.record(serial_number, old={"fields": {"gate": "A"}}, new={"fields": {"gate": "B"}})

    def tokens(self) -> list[str]:
        return sorted(push.push_token.value for push in self.pushed)

    def _send(self, tasks: Sequence[PushTask], *, delay_seconds: int = 0, until: float = 0.0) -> None:
        assert delay_seconds >= 0
        assert until >= 0
        if self.queue_fails:
            raise QueueError("SQS does not answer")
        self.tasks.extend(tasks)

    def _keep(self, records: Sequence[RefusedRecord], *, at: float) -> None:
        assert at
        if self.dead_letters_fail:
            raise QueueError("SQS does not answer")
        self.refused.extend(records)

    def _require(self, keys: Iterable[str]) -> None:
        for key in set(keys) - self.uploaded:
            raise ImageMissingError(f"image {key}: this stage does not have it")

    def _client_for(self, _: str) -> Client:
        if self.client_error is not None:
            raise self.client_error
        if self.credential_error is not None:
            raise self.credential_error
        return cast("Client", SimpleNamespace(push=self._push, connections=0, identity="client"))

    def _push(self, pushes: Sequence[Push], *, deadline: float, pace: Pace) -> Iterator[Outcome]:
        assert deadline
        assert pace
        for push in pushes:
            self.pushed.append(push)
            yield Outcome(push, OutcomeKind.DELIVERED, status=200)


@pytest.fixture
def side() -> Side:
    return Side()


def test_twenty_changed_passes_on_one_device_lead_to_one_push(side: Side) -> None:
    names = [f"P{number}" for number in range(20)]
    side.holds("phone", *names)
    side.handles(*(side.changed(name) for name in names))
    assert side.tokens() == ["token-of-phone"]
    assert all(side.rows.versions[PassId(TYPE, name)].revision == 1 for name in names)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"fields": {"gate": "A"}}, {"fields": {"gate": "A"}}),
        ({"fields": {"gate": "A"}}, {"fields": {"gate": "A"}, "own": 1}),
        ({"fields": {"gate": "A"}}, {"fields": {"gate": {"value": "A"}}}),
        ({"voided": False}, {}),
        ({}, {"authentication_token": "0" * 32}),
        ({"personalization": {"fullName": "Ada"}}, {}),
        ({"template_revision": "abc"}, {}),
        ({}, {"delete_after": 1}),
    ],
    ids=["same", "own attribute", "other form", "default", "token", "wiped sign-up", "wiped revision", "TTL"],
)
def test_invisible_change_sends_no_push(side: Side, old: Mapping[str, object], new: Mapping[str, object]) -> None:
    side.holds("phone", "P")
    side.handles(side.record("P", old=old, new=new))
    assert side.pushed == []
    assert side.tasks == []
    assert PassId(TYPE, "P") not in side.rows.versions


def test_first_issue_is_stamped_without_a_push(side: Side) -> None:
    side.holds("phone", "P")
    side.handles(side.record("P", old=None, new={}))
    assert side.pushed == []
    assert side.rows.versions[PassId(TYPE, "P")].revision == 1


def test_revision_counts_every_change_of_a_batch(side: Side) -> None:
    side.handles(*(side.changed("P") for _ in range(3)))
    assert side.rows.versions[PassId(TYPE, "P")].revision == 3


def test_pass_of_many_devices_is_fanned_out_by_the_push_worker(side: Side) -> None:
    """The push function pushes to the devices of the other passes of the batch."""
    side.pushes_directly_to_passes_of_at_most(3)
    for number in range(4):
        side.holds(f"phone-{number}", "P", "Q" if number else "P")
    side.handles(side.changed("P"), side.changed("Q"))
    assert len(side.pushed) == 3
    fan_outs = [task for task in side.tasks if isinstance(task, FanOut)]
    assert [(task.pass_id.serial_number, task.after) for task in fan_outs] == [("P", None)]


def test_registrations_of_deleted_pass_are_removed(side: Side) -> None:
    side.handles(side.record("P", old={}, new=None))
    (task,) = side.tasks
    version = side.rows.versions[PassId(TYPE, "P")]
    assert version.deleted
    assert isinstance(task, RemoveRegistrations)
    assert (task.pass_id, task.modified_at) == (PassId(TYPE, "P"), version.modified_at)
    assert task.not_before >= time.time() + 890


def test_repeated_deletion_does_not_hide_a_pass_that_was_created_again(side: Side) -> None:
    side.holds("phone", "P")
    side.handles(side.record("P", old={}, new=None))
    assert not side.rows.versions[PassId(TYPE, "P")].deleted
    assert side.tokens() == ["token-of-phone"]


def test_pushes_without_credential_are_queued_and_counted(side: Side, capsys: pytest.CaptureFixture[str]) -> None:
    side.credential_error = ConfigurationError("no certificate")
    side.holds("phone", "P")
    side.handles(side.changed("P"))
    (task,) = side.tasks
    assert isinstance(task, NotifyDevices)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["Pushes"] for line in lines if line.get("Outcome") == "configuration"] == [1]


def test_malformed_item_is_refused_and_others_are_processed(side: Side) -> None:
    side.holds("phone", "P")
    bad = side.record("BAD", old={}, new={"fields": "not a map"})
    side.handles(bad, side.changed("P"))
    assert side.tokens() == ["token-of-phone"]
    (refused,) = side.refused
    assert refused.key == f"{TYPE}/BAD"
    assert "fields" in str(refused.error)


def test_one_id_follows_a_change_from_its_record_to_its_pushes_and_push_tasks(
    side: Side, capsys: pytest.CaptureFixture[str]
) -> None:
    side.pushes_directly_to_passes_of_at_most(1)
    side.holds("phone", "P")
    for device in ("phone-2", "phone-3"):
        side.holds(device, "Q")
    record = side.changed("P")
    with log.invocation(request_id="change-1"):
        side.handles(record, side.changed("Q"))
    printed = map(json.loads, capsys.readouterr().out.splitlines())
    lines = {line.get("event"): line for line in printed if line.get("pass_id") != f"{TYPE}/Q"}
    assert lines["stamped"]["sequence_number"] == record["dynamodb"]["SequenceNumber"]
    assert {lines[event]["request_id"] for event in ("stamped", "devices_found", "pushed", "pushes_sent")} == {
        "change-1"
    }
    assert lines["devices_found"]["shown"] == [lines["pushed"]["device"]]
    (task,) = side.tasks
    assert isinstance(task, FanOut)
    assert task.change == "change-1"


def test_invalid_record_affects_only_its_own_pass(side: Side) -> None:
    """Its pass is rechecked, and other passes are processed; a record without a key becomes a dead letter."""
    side.holds("phone", "P")
    broken: list[dict[str, Any]] = [
        {"dynamodb": {"Keys": {"pass_id": {"S": f"{TYPE}/A"}}, "NewImage": {"fields": {"L": 5}}}},
        {"dynamodb": {"Keys": {"pass_id": {"S": f"{TYPE}/B"}}, "NewImage": "none"}},
        {"dynamodb": {"Keys": {"pass_id": {"S": f"{TYPE}/C"}}, "ApproximateCreationDateTime": None, "NewImage": {}}},
        {"dynamodb": {"Keys": {"pass_id": {"S": f"{TYPE}/A"}}, "OldImage": {"x": {"N": "no number"}}}},
        {"dynamodb": {}},
        {},
        {"dynamodb": None},
        {"dynamodb": {"Keys": {"pass_id": {"S": "no type"}}, "NewImage": {"pass_id": {"S": "no type"}}}},
    ]
    side.handles(*broken, side.changed("P"))
    assert side.tokens() == ["token-of-phone"]
    rechecks = [task for task in side.tasks if isinstance(task, Recheck)]
    assert [task.pass_id.serial_number for task in rechecks] == ["A", "B", "C"]
    assert {task.reason for task in rechecks} == {RecheckReason.UNSETTLED}
    assert {refused.key for refused in side.refused} >= {"no type"}
    assert side.rows.refusals == {}


@pytest.mark.parametrize(
    "error",
    [
        TemplateStoreError("S3 did not answer"),
        zlib.error("Error -3 while decompressing data"),
        lzma.LZMAError("Corrupt input data"),
        RecursionError("maximum recursion depth exceeded"),
        AttributeError("'NoneType' object has no attribute 'get'"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_error_of_a_template_affects_only_its_passes(side: Side, error: Exception) -> None:
    """They are rechecked, and the template is read once for all of them."""
    side.holds("phone", "P")
    side.designs.found["broken"] = error
    passes = [side.record(f"X{n}", old={}, new={"template": "broken", "fields": {"gate": str(n)}}) for n in range(3)]
    side.handles(*passes, side.changed("P"))
    assert side.tokens() == ["token-of-phone"]
    rechecks = [task.pass_id.serial_number for task in side.tasks if isinstance(task, Recheck)]
    assert rechecks == ["X0", "X1", "X2"]
    assert [name for name, _ in side.designs.looked].count("broken") == 1
    assert side.refused == []


def test_batch_ends_in_time_with_slow_templates(side: Side) -> None:
    """Items that could not be validated in time are rechecked."""
    side.handles(side.changed("P"), deadline=time.monotonic() + 1)
    (task,) = side.tasks
    assert isinstance(task, Recheck)
    assert PassId(TYPE, "P") not in side.rows.versions


@pytest.mark.parametrize("name", ["x" * 65, "x" * 1100, "a\nb", "a b", "a/b", ".a", "", "\u00e4", "a\x00"])
def test_invalid_template_name_is_refused_without_a_request(side: Side, name: str) -> None:
    side.handles(side.record("P", old=None, new={"template": name}))
    (refused,) = side.refused
    assert "template" in str(refused.error)
    assert side.designs.looked == []


def test_refusal_repeats_only_the_beginning_of_the_item(side: Side) -> None:
    """SQS does not accept a refusal above its size limit."""
    long = "\x1b[2J" + "x" * 300_000
    for wrong in (
        {"fields": {long: "1"}},
        {"fields": {"gate": {long: long}}},
        {"template": long},
        {long: {}, "voided": 1},
    ):
        side.handles(side.record("P", old=None, new=wrong))
    assert len(side.refused) == 4
    for refused in side.refused:
        assert len(str(refused.error)) <= 1000
        assert str(refused.error).isprintable()


def test_batch_is_settled_if_sqs_does_not_accept_a_dead_letter(side: Side, capsys: pytest.CaptureFixture[str]) -> None:
    side.holds("phone", "P")
    side.dead_letters_fail = True
    side.handles(side.record("BAD", old={}, new={"fields": "not a map"}), side.changed("P"))
    assert side.tokens() == ["token-of-phone"]
    events = [json.loads(line).get("event") for line in capsys.readouterr().out.splitlines()]
    assert events.count("pass_item_refused") == 1
    assert events.count("refusal_not_kept") == 1
    assert PassId(TYPE, "BAD") in side.rows.refusals


def test_retried_batch_sends_each_refusal_once(side: Side) -> None:
    """The dead letter is sent when the batch is settled, not at each attempt."""
    side.holds("phone", "P")
    side.queue_fails = True
    records = [side.record("BAD", old={}, new={"fields": "not a map"}), side.record("GONE", old={}, new=None)]
    side.rows.items.pop(PassId(TYPE, "GONE"), None)
    with pytest.raises(TransientError):
        side.handles(records[1], records[0])
    side.queue_fails = False
    side.handles(records[1], records[0])
    assert [refused.key for refused in side.refused] == [f"{TYPE}/BAD"]


def test_unchanged_content_is_rechecked_while_its_refusal_is_recorded(side: Side) -> None:
    """A change was refused for its template; the template is repaired, and the pipeline writes the item again."""
    side.holds("phone", "P")
    del side.designs.found["t"]
    side.handles(side.changed("P"))
    assert side.pushed == []
    assert side.rows.refusals[PassId(TYPE, "P")].template == "t"
    side.designs.found["t"] = side.designs.template
    again = side.record("P", old={"fields": {"gate": "B"}}, new={"fields": {"gate": "B"}})
    side.handles(again)
    (task,) = side.tasks
    assert isinstance(task, Recheck)
    assert (task.pass_id, task.reason) == (PassId(TYPE, "P"), RecheckReason.REFUSED)
    del side.rows.refusals[task.pass_id]
    side.handles(again)
    assert side.tasks == [task]


def test_first_stamp_after_a_refusal_counts_as_changed_since_issue(side: Side) -> None:
    """A phone may have downloaded the first content between the repair of the template and the next change."""
    del side.designs.found["t"]
    side.handles(side.record("P", old=None, new={"fields": {"gate": "A"}}))
    side.designs.found["t"] = side.designs.template
    side.handles(side.changed("P"))
    assert side.rows.versions[PassId(TYPE, "P")].changed_since_issue


@dataclass
class CountedReads(Memory):
    """Tables that record the passes of each request for refusals."""

    requested: list[list[PassId]] = field(default_factory=list)

    def store(self) -> Store:
        return replace(super().store(), versions=cast("Versions", CountedVersions(self)))


@dataclass
class CountedVersions(MemoryVersions):
    rows: CountedReads

    def refused(self, pass_ids: Collection[PassId]) -> set[PassId]:
        self.rows.requested.append(list(pass_ids))
        return super().refused(pass_ids)


def test_batch_without_unchanged_content_reads_no_refusals() -> None:
    rows = CountedReads()
    side = Side(rows)
    side.handles(side.changed("P"), side.changed("Q"))
    assert rows.requested == []
    side.handles(*(side.record(name, old={}, new={}) for name in ("P", "Q", "P")))
    assert rows.requested == [[PassId(TYPE, "P"), PassId(TYPE, "Q")]]


def test_template_repaired_during_a_refusal_is_noticed(side: Side) -> None:
    """The refusal is written before the template is read again, so either the repair sees it or this does."""
    del side.designs.found["t"]

    def repaired_meanwhile(name: str, *, max_age_seconds: float | None = None, **_: object) -> Template:
        if max_age_seconds:
            raise TemplateMissingError(f"template '{name}' does not exist")
        assert PassId(TYPE, "P") in side.rows.refusals
        return side.designs.template

    side.designs.get = repaired_meanwhile  # type: ignore[method-assign]
    side.handles(side.changed("P"))
    (task,) = side.tasks
    assert isinstance(task, Recheck)
    assert task.reason is RecheckReason.REFUSED
    assert side.refused == []


def test_last_record_of_a_batch_decides(side: Side) -> None:
    side.holds("phone", "P", "Q")
    side.handles(
        side.changed("P"),
        side.record("P", old={"fields": {"gate": "B"}}, new={"fields": "not a map"}),
        side.record("Q", old={}, new={"fields": "not a map"}),
        side.record("Q", old={"fields": "not a map"}, new={"fields": {"gate": "B"}}),
    )
    assert set(side.rows.refusals) == {PassId(TYPE, "P")}
    assert set(side.rows.versions) == {PassId(TYPE, "Q")}
    assert side.rows.versions[PassId(TYPE, "Q")].revision == 2
    assert [refused.key for refused in side.refused] == [f"{TYPE}/P"]


def test_unexpected_error_of_pushing_queues_the_devices(side: Side) -> None:
    side.holds("phone", "P")
    side.client_error = RecursionError("an answer nested 2,000 deep")
    side.handles(side.changed("P"))
    (task,) = side.tasks
    assert isinstance(task, NotifyDevices)
    assert task.devices == (DeviceLibraryIdentifier("phone"),)


def test_item_against_apples_format_is_refused_without_a_push(side: Side) -> None:
    side.holds("phone", "P1", "P2")
    new = {"overrides": {"backgroundColor": "Black"}}
    side.handles(side.record("P1", old={}, new=new), side.changed("P2"))
    assert "overrides.backgroundColor" in side.rows.refusals[PassId(TYPE, "P1")].reason
    assert PassId(TYPE, "P1") not in side.rows.versions
    assert side.tokens() == ["token-of-phone"]


def test_content_that_phones_omit_is_logged_and_pushed(side: Side, capsys: pytest.CaptureFixture[str]) -> None:
    side.holds("phone", "P1")
    side.handles(side.record("P1", old={}, new={"overrides": {"k" * 5000: 1}}))
    (line,) = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "pass_item_warned" in line]
    assert "overrides.kkk" in line["warnings"][0]
    assert len(line["warnings"][0]) <= MAX_MESSAGE_CHARACTERS
    assert side.tokens() == ["token-of-phone"]


def test_item_with_missing_image_is_refused(side: Side) -> None:
    side.holds("phone", "P1", "P2")
    side.uploaded = {"a1" * 32}
    side.handles(
        side.record("P1", old={}, new={"images": {"thumbnail": "b2" * 32}}),
        side.record("P2", old={}, new={"images": {"thumbnail": "a1" * 32}}),
    )
    assert "b2" * 32 in side.rows.refusals[PassId(TYPE, "P1")].reason
    assert PassId(TYPE, "P2") in side.rows.versions

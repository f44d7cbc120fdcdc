"""Batches of the stream with items that are refused, and the rechecks of them."""

import json
import lzma
import time
import zlib
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from chalicelib.aws.tables import Store
from chalicelib.aws.tables.versions import Versions
from chalicelib.aws.templates import TemplateMissingError, TemplateStoreError
from chalicelib.core.errors import MAX_MESSAGE_CHARACTERS, TransientError
from chalicelib.core.identifiers import PassId
from chalicelib.passes.template import Template
from chalicelib.updates.push_tasks import Recheck, RecheckReason
from tests.schedules.memory import Memory, MemoryVersions
from tests.support.stream_side import TYPE, StreamSide


@pytest.fixture
def side() -> StreamSide:
    return StreamSide()


def test_malformed_item_is_refused_and_others_are_processed(side: StreamSide) -> None:
    side.holds("phone", "P")
    bad = side.record("BAD", old={}, new={"fields": "not a map"})
    side.handles(bad, side.changed("P"))
    assert side.tokens() == ["token-of-phone"]
    (refused,) = side.refused
    assert refused.key == f"{TYPE}/BAD"
    assert "fields" in str(refused.error)


def test_invalid_record_affects_only_its_own_pass(side: StreamSide) -> None:
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
def test_error_of_a_template_affects_only_its_passes(side: StreamSide, error: Exception) -> None:
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


def test_batch_ends_in_time_with_slow_templates(side: StreamSide) -> None:
    """Items that could not be validated in time are rechecked."""
    side.handles(side.changed("P"), deadline=time.monotonic() + 1)
    (task,) = side.tasks
    assert isinstance(task, Recheck)
    assert PassId(TYPE, "P") not in side.rows.versions


@pytest.mark.parametrize("name", ["x" * 65, "x" * 1100, "a\nb", "a b", "a/b", ".a", "", "\u00e4", "a\x00"])
def test_invalid_template_name_is_refused_without_a_request(side: StreamSide, name: str) -> None:
    side.handles(side.record("P", old=None, new={"template": name}))
    (refused,) = side.refused
    assert "template" in str(refused.error)
    assert side.designs.looked == []


def test_refusal_repeats_only_the_beginning_of_the_item(side: StreamSide) -> None:
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


def test_batch_is_settled_if_sqs_does_not_accept_a_dead_letter(
    side: StreamSide, capsys: pytest.CaptureFixture[str]
) -> None:
    side.holds("phone", "P")
    side.dead_letters_fail = True
    side.handles(side.record("BAD", old={}, new={"fields": "not a map"}), side.changed("P"))
    assert side.tokens() == ["token-of-phone"]
    events = [json.loads(line).get("event") for line in capsys.readouterr().out.splitlines()]
    assert events.count("pass_item_refused") == 1
    assert events.count("refusal_not_kept") == 1
    assert PassId(TYPE, "BAD") in side.rows.refusals


def test_retried_batch_sends_each_refusal_once(side: StreamSide) -> None:
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


def test_unchanged_content_is_rechecked_while_its_refusal_is_recorded(side: StreamSide) -> None:
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


def test_first_stamp_after_a_refusal_counts_as_changed_since_issue(side: StreamSide) -> None:
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
    side = StreamSide(rows)
    side.handles(side.changed("P"), side.changed("Q"))
    assert rows.requested == []
    side.handles(*(side.record(name, old={}, new={}) for name in ("P", "Q", "P")))
    assert rows.requested == [[PassId(TYPE, "P"), PassId(TYPE, "Q")]]


def test_template_repaired_during_a_refusal_is_noticed(side: StreamSide) -> None:
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


def test_last_record_of_a_batch_decides(side: StreamSide) -> None:
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


def test_item_against_apples_format_is_refused_without_a_push(side: StreamSide) -> None:
    side.holds("phone", "P1", "P2")
    new = {"overrides": {"backgroundColor": "Black"}}
    side.handles(side.record("P1", old={}, new=new), side.changed("P2"))
    assert "overrides.backgroundColor" in side.rows.refusals[PassId(TYPE, "P1")].reason
    assert PassId(TYPE, "P1") not in side.rows.versions
    assert side.tokens() == ["token-of-phone"]


def test_content_that_phones_omit_is_logged_and_pushed(side: StreamSide, capsys: pytest.CaptureFixture[str]) -> None:
    side.holds("phone", "P1")
    side.handles(side.record("P1", old={}, new={"overrides": {"k" * 5000: 1}}))
    (line,) = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "pass_item_warned" in line]
    assert "overrides.kkk" in line["warnings"][0]
    assert len(line["warnings"][0]) <= MAX_MESSAGE_CHARACTERS
    assert side.tokens() == ["token-of-phone"]


def test_item_with_missing_image_is_refused(side: StreamSide) -> None:
    side.holds("phone", "P1", "P2")
    side.uploaded = {"a1" * 32}
    side.handles(
        side.record("P1", old={}, new={"images": {"thumbnail": "b2" * 32}}),
        side.record("P2", old={}, new={"images": {"thumbnail": "a1" * 32}}),
    )
    assert "b2" * 32 in side.rows.refusals[PassId(TYPE, "P1")].reason
    assert PassId(TYPE, "P2") in side.rows.versions

"""Items, templates, certificates and messages are wrong, or change in an unusual order."""

import zlib

from chalicelib.aws.templates import TemplateMissingError
from tests.faults.injection import services_answer
from tests.faults.rig import Rig
from tests.faults.sizes import FEW, HOUR, MANY, VERY_MANY


def malformed_item_among_99(rig: Rig) -> None:
    records = [rig.record(rig.has_a_pass(f"P{number}", devices=1)) for number in range(99)]
    bad = rig.has_a_pass("BAD", devices=0)
    records.insert(50, rig.record(bad, no_such_field="x"))
    rig.delivers(records)
    rig.runs_push_worker()
    (letter,) = rig.queues.dead_letters()
    assert str(bad) in letter
    assert "no_such_field" in letter


def one_item_that_raises_whatever_it_likes(rig: Rig) -> None:
    """H1: among valid items in one shard; corrected later."""
    passes = [rig.has_a_pass(f"P{number}", devices=1) for number in range(20)]
    broken = rig.has_a_pass("BROKEN", devices=FEW)
    unread = rig.has_a_pass("UNREAD", devices=FEW)
    for pass_id, template in ((broken, "corrupt"), (unread, "boarding")):
        rig.writes(pass_id, template=template, fields={"gate": "B22"})
    rig.broken_templates["corrupt"] = zlib.error("Error -3 while decompressing data: invalid block type")
    records = [rig.record(pass_id) for pass_id in passes]
    records.insert(5, rig.record(rig.has_a_pass("LONG", devices=0), template="x" * 1100))
    records.insert(9, rig.record(broken, template="corrupt"))
    records.insert(12, {"dynamodb": {**rig.record(unread)["dynamodb"], "NewImage": {"fields": {"L": 5}}}})
    rig.delivers(records)
    rig.runs_push_worker(between=lambda attempt: rig.broken_templates.clear() if attempt == 3 else None)


def foreign_messages_in_the_queue(rig: Rig) -> None:
    """H1: each becomes a dead letter at once, and the push tasks beside it are carried out."""
    record = rig.record(rig.has_a_pass("P", devices=MANY))
    devices = ", ".join(["{}"] * 3)
    foreign = (
        "no JSON",
        "[" * 2000 + "]" * 2000,
        '{"wake": "pass.a", "devices": [' + devices + '], "changed_at": 1}',  # prose: a foreign message
        '{"fan_out": "pass.a/1", "after": null, "changed_at": ' + "9" * 5000 + "}",
        '{"fan_out": 7, "after": null, "changed_at": NaN}',
    )
    rig.queues.receives_foreign(*foreign)
    rig.delivers([record])
    rig.runs_push_worker()
    assert sorted(rig.queues.dead_letters()) == sorted(foreign)


def a_refusal_longer_than_sqs_takes(rig: Rig) -> None:
    """H2: the dead letter is shortened, and one that SQS refuses does not block the batch."""
    records = [rig.record(rig.has_a_pass(f"P{number}", devices=1)) for number in range(20)]
    records.insert(3, rig.record(rig.has_a_pass("LONG", devices=0), gate="x", **{"y" * 300_000: "x"}))
    rig.delivers(records)
    assert len(rig.queues.dead_letters()) == 1
    more = [rig.record(rig.has_a_pass(f"Q{number}", devices=1)) for number in range(20)]
    more.insert(3, rig.record(rig.has_a_pass("BAD", devices=0), no_such_field="x"))
    with services_answer(rig, lambda _: (403, "OverLimit"), of="sqs"):
        rig.delivers(more)
    rig.runs_push_worker()


def a_template_that_comes_after_its_items(rig: Rig) -> None:
    """H3: one pass is rechecked with its template, another is written again with the same content."""
    pushed, rewritten = rig.has_a_pass("P", devices=MANY), rig.has_a_pass("Q", devices=FEW)
    rig.broken_templates["late"] = TemplateMissingError("template 'late' does not exist")
    for pass_id in (pushed, rewritten):
        rig.writes(pass_id, template="late", fields={"gate": "B22"})
        rig.delivers([rig.record(pass_id, template="late")])
    rig.runs_push_worker()
    assert rig.apns.pushes() == []
    rig.broken_templates.clear()
    again = rig.record(rewritten, template="late")
    again["dynamodb"]["OldImage"] = again["dynamodb"]["NewImage"]
    rig.delivers([again])
    rig.asks_for_rechecks([pushed])
    rig.runs_push_worker()
    rig.delivers([again])
    rig.runs_push_worker()


def downloads_that_fail_until_a_new_certificate(rig: Rig) -> None:
    """H6: phones could not download a change after its push; they get exactly one more push."""
    pass_id = rig.has_a_pass("P", devices=FEW)
    rig.writes(pass_id, fields={"gate": "B22"})
    rig.delivers([rig.record(pass_id)])
    rig.apns.forgets()
    rig.certificate_ended = True
    for number in range(FEW):
        if number % 10 == 0:
            rig.new_environment()
        assert not rig.downloads(pass_id)

    def renewed(attempt: int) -> None:
        rig.certificate_ended = rig.certificate_ended and attempt < 3

    rig.runs_push_worker(between=renewed)
    assert rig.downloads(pass_id)


def deleted_and_loaded_again(rig: Rig) -> None:
    """It returns within the grace period, while the worker runs in between."""
    pass_id = rig.has_a_pass("P", devices=MANY)
    rig.delivers([rig.deletion(pass_id)])
    rig.runs_push_worker()
    rig.delivers([rig.insertion(pass_id)])
    rig.runs_push_worker()
    rig.clock.skew = HOUR
    rig.runs_push_worker()
    assert rig.devices_of(pass_id) == MANY


def changed_twice_in_a_row(rig: Rig) -> None:
    """The second change comes before the worker has started the first."""
    pass_id = rig.has_a_pass("P", devices=VERY_MANY)
    rig.delivers([rig.record(pass_id)])
    rig.delivers([rig.record(pass_id, gate="B23")])
    rig.runs_push_worker()

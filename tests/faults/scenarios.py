"""The faults of APNs and AWS as scenarios on the rig. None of them may lose a push.

`python -m tests.faults.scenarios` runs all of them and prints the table.
"""

import contextlib
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import boto3

from chalicelib.apns.credentials import ClientCertificate
from chalicelib.apns.live_connection import Timeouts
from chalicelib.apns.outcomes import Push
from chalicelib.aws.templates import TemplateMissingError
from chalicelib.core.identifiers import PushToken
from chalicelib.updates.pacing import HORIZON_SECONDS, LATENESS_SECONDS, ROW
from infra.local.certificates import make_development_chain
from infra.local.run import PASS_TYPE_IDENTIFIER, TEAM_IDENTIFIER, local_run
from tests.faults.rig import DIRECT_DEVICES, PAGE, Result, Rig, a_rig
from tests.support.simulated_apns import ApnsForTests

FEW = 40
MANY = 700
VERY_MANY = 2500
"""Too many for the push tasks of one batch of the worker, in which each device would get one push."""
SLOW = 40.0
"""Devices per second of the paced scenarios: over a minute for VERY_MANY."""
HOUR = 3600.0
DAY = 24 * HOUR
TEN_MINUTES = 600.0
ATTEMPTS_WITHOUT_DYNAMODB = 3
AWAY = range(4, 60)
"""Failed requests: more than the attempts of one invocation, so that the batch or message is delivered again."""


def nothing_wrong(rig: Rig) -> None:
    rig.delivers([rig.record(rig.has_a_pass("P", devices=MANY))])
    rig.drains()


def apns_down_for_a_day(rig: Rig) -> None:
    """An unsettled message is delivered again, later each time, and must not become a dead letter before (A7)."""
    record = rig.record(rig.has_a_pass("P", devices=FEW))
    rig.apns.suffers(down=True)
    rig.delivers([record])

    def later(_: int) -> None:
        if rig.longest_wait_seconds > DAY:
            rig.apns.recovers()

    rig.drains(between=later)


def apns_down_for_an_hour(rig: Rig) -> None:
    """A drill: passes change before and during the outage."""
    rig.apns.suffers(down=True)
    rig.delivers([rig.record(rig.has_a_pass("P", devices=MANY))])

    def later(attempt: int) -> None:
        if attempt == 2:
            rig.delivers([rig.record(rig.has_a_pass("Q", devices=FEW))])
        if rig.longest_wait_seconds > HOUR:
            rig.apns.recovers()

    rig.drains(between=later)


def no_dynamodb_for_ten_minutes(rig: Rig) -> None:
    """A drill: a fan-out is queued when the region loses DynamoDB, a pass changes meanwhile, and a download fails."""
    wide, narrow = rig.has_a_pass("P", devices=MANY), rig.has_a_pass("Q", devices=FEW)
    rig.writes(narrow, fields={"gate": "B22"})
    rig.delivers([rig.record(wide)])

    def away() -> contextlib.AbstractContextManager[None]:
        return rig.services_answer(lambda _: (500, "InternalServerError"), of="dynamodb")

    with contextlib.ExitStack() as outage:
        outage.enter_context(away())
        assert not rig.downloads(narrow)
        rig.drains(between=lambda attempt: outage.close() if attempt == ATTEMPTS_WITHOUT_DYNAMODB else None)
    with contextlib.ExitStack() as outage:
        outage.enter_context(away())
        rig.delivers(
            [rig.record(narrow)],
            between=lambda attempt: outage.close() if attempt == ATTEMPTS_WITHOUT_DYNAMODB else None,
            attempt_seconds=TEN_MINUTES / ATTEMPTS_WITHOUT_DYNAMODB,
        )
    rig.drains()
    assert rig.downloads(narrow)


def apns_takes_one_push_at_a_time(rig: Rig) -> None:
    """Each invocation of the worker does a little and sends the rest to its own queue, forty times (A1)."""
    record = rig.record(rig.has_a_pass("P", devices=FEW))
    left = sorted(rig.due)
    rig.apns.suffers(answer={"status": 503, "reason": "ServiceUnavailable"})
    rig.delivers([record])

    def one_more(_: int) -> None:
        if left:
            rig.apns.answers(Push(PushToken(left.pop()), PASS_TYPE_IDENTIFIER), status=200)

    one_more(0)
    rig.drains(between=one_more)


def dynamodb_refuses_at_once_for_an_hour(rig: Rig) -> None:
    """AWS promises no pause between attempts that fail at once (A6)."""
    pass_id = rig.has_a_pass("P", devices=FEW)
    with rig.services_answer(lambda n: (400, "AccessDeniedException") if n <= 700 else None):
        rig.delivers([rig.record(pass_id)], attempt_seconds=HOUR / 700)
        rig.drains()


def every_tenth_stream_reset(rig: Rig) -> None:
    rig.apns.suffers(reset_stream_every=10)
    rig.delivers([rig.record(rig.has_a_pass("P", devices=MANY))])
    rig.drains()


def goaway_every_300_pushes(rig: Rig) -> None:
    rig.apns.suffers(goaway_after=300)
    rig.delivers([rig.record(rig.has_a_pass("P", devices=MANY))])
    rig.drains()


def frozen_environment(rig: Rig) -> None:
    """The connection of a thawed execution environment is dead without any sign of it."""
    rig.client = rig.new_client(timeouts=Timeouts(idle=0.0, ping=0.3, backoff=0.0))
    rig.delivers([rig.record(rig.has_a_pass("P", devices=1))])
    rig.apns.suffers(black_hole=True)
    time.sleep(0.2)  # the stand-in silences its open connections a little later
    rig.apns.recovers()
    rig.delivers([rig.record(rig.has_a_pass("Q", devices=FEW))])
    rig.drains()


def killed_at_each_step(rig: Rig) -> None:
    """Killed before each request of a change with a fan-out, and once in the push worker."""
    for number in range(1, 8):
        record = rig.record(rig.has_a_pass(f"P{number}", devices=DIRECT_DEVICES + 20))
        with rig.dies_at_request(number):
            rig.delivers([record])
        with rig.dies_at_request(number):
            rig.drains()


def killed_in_the_middle_of_pushing(rig: Rig) -> None:
    """Half of the pushes were sent, but not recorded."""
    record = rig.record(rig.has_a_pass("P", devices=FEW))

    def once(_: int) -> None:
        dying.close()

    with contextlib.ExitStack() as dying:
        dying.enter_context(rig.dies_after_outcomes(FEW // 2))
        rig.delivers([record], between=once)
    rig.drains()


def same_batch_twice(rig: Rig) -> None:
    record = rig.record(rig.has_a_pass("P", devices=FEW))
    rig.delivers([record])
    rig.delivers([record])
    rig.drains()


def dynamodb_throttles(rig: Rig) -> None:
    pass_id = rig.has_a_pass("P", devices=MANY)
    with rig.services_answer(lambda n: (400, "ProvisionedThroughputExceededException") if n % 2 else None):
        rig.delivers([rig.record(pass_id)])
        rig.drains()


def dynamodb_and_sqs_answer_500(rig: Rig) -> None:
    pass_id = rig.has_a_pass("P", devices=MANY)
    with rig.services_answer(lambda n: (500, "InternalServerError") if n % 2 else None):
        rig.delivers([rig.record(pass_id)])
        rig.drains()


def dynamodb_and_sqs_away_for_long(rig: Rig) -> None:
    """It lasts longer than all attempts of one invocation."""
    pass_id = rig.has_a_pass("P", devices=MANY)
    with rig.services_answer(lambda n: (500, "InternalServerError") if n in AWAY else None):
        rig.delivers([rig.record(pass_id)])
        rig.drains()


def sqs_refuses(rig: Rig) -> None:
    """It lasts longer than all attempts of one invocation, during a batch and again during a page of a fan-out."""
    pass_id = rig.has_a_pass("P", devices=MANY)
    with rig.services_answer(lambda n: (403, "OverLimit") if n in range(1, 10) else None, of="sqs"):
        rig.delivers([rig.record(pass_id)])
    with rig.services_answer(lambda n: (403, "OverLimit") if n in range(2, 10) else None, of="sqs"):
        rig.drains()


def malformed_item_among_99(rig: Rig) -> None:
    records = [rig.record(rig.has_a_pass(f"P{number}", devices=1)) for number in range(99)]
    bad = rig.has_a_pass("BAD", devices=0)
    records.insert(50, rig.record(bad, no_such_field="x"))
    rig.delivers(records)
    rig.drains()
    (letter,) = rig.dead_letters()
    assert str(bad) in letter
    assert "no_such_field" in letter


def credential_rejected_until_corrected(rig: Rig) -> None:
    record = rig.record(rig.has_a_pass("P", devices=FEW))
    rig.apns.suffers(answer={"status": 403, "reason": "InvalidProviderToken"})
    rig.delivers([record])
    rig.drains(between=lambda attempt: rig.apns.recovers() if attempt == 3 else None)


def certificate_refused_until_replaced(rig: Rig) -> None:
    """The handshake fails, as with a certificate that has expired."""
    with tempfile.TemporaryDirectory() as folder:
        foreign = make_development_chain(
            Path(folder), pass_type_identifier=PASS_TYPE_IDENTIFIER, team_identifier=TEAM_IDENTIFIER
        )
        credential = ClientCertificate(
            certificate=foreign.pass_type_certificate.read_text(), private_key=foreign.pass_type_key.read_text()
        )
    good, rig.client = rig.client, rig.new_client(credential=credential)
    rig.delivers([rig.record(rig.has_a_pass("P", devices=FEW))])

    def replaced(attempt: int) -> None:
        if attempt == 3:
            rig.client = good

    rig.drains(between=replaced)


def provider_token_expired(rig: Rig) -> None:
    """An execution environment that was frozen for an hour has a token that APNs refuses."""
    skew = [-HOUR]
    rig.client = rig.new_client(credential=rig.apns.provider_token(), clock=lambda: time.time() + skew[0])
    record = rig.record(rig.has_a_pass("P", devices=FEW))
    rig.delivers([record])
    skew[0] = 0.0
    rig.drains()


def clock_jumped_by_an_hour(rig: Rig) -> None:
    """The clock is ahead, then back: stamps still increase strictly, and pushes are sent."""
    pass_id = rig.has_a_pass("P", devices=FEW)
    rig.skew = HOUR
    rig.delivers([rig.record(pass_id)])
    ahead = rig.store.versions.get(pass_id)
    rig.skew = 0.0
    rig.delivers([rig.record(pass_id, gate="B23")])
    rig.drains()
    back = rig.store.versions.get(pass_id)
    assert ahead is not None
    assert back is not None
    assert back.modified_at == ahead.modified_at + 1


def every_token_refused_and_discarded(rig: Rig) -> None:
    """The push host or the credential belongs to the wrong environment until an operator corrects it."""
    pass_id = rig.has_a_pass("P", devices=50)
    rig.apns.suffers(answer={"status": 400, "reason": "BadDeviceToken"})
    rig.delivers([rig.record(pass_id)])
    rig.drains()
    assert rig.devices_of(pass_id) == 50
    assert sum(len(held.devices) for held in rig.holds_removals()) == 50
    rig.apns.recovers()
    decided = rig.operator().discard_removals(pass_type_identifier=None, on_progress=lambda _: None)
    assert decided.pushed == 50
    rig.drains()


def half_of_a_fan_out_unregistered(rig: Rig) -> None:
    """APNs reports them wrongly, and an operator discards the held removals."""
    pass_id = rig.has_a_pass("P", devices=50)
    tokens = sorted(rig.due)
    for token in tokens[:25]:
        rig.apns.answers(Push(PushToken(token), PASS_TYPE_IDENTIFIER), status=410, reason="Unregistered")
    rig.delivers([rig.record(pass_id)])
    rig.drains()
    assert rig.devices_of(pass_id) == 50
    for token in tokens[:25]:
        rig.apns.answers(Push(PushToken(token), PASS_TYPE_IDENTIFIER), status=200)
    rig.operator().discard_removals(pass_type_identifier=PASS_TYPE_IDENTIFIER, on_progress=lambda _: None)
    rig.drains()


def deleted_and_loaded_again(rig: Rig) -> None:
    """It returns within the grace period, while the worker runs in between."""
    pass_id = rig.has_a_pass("P", devices=MANY)
    rig.delivers([rig.deletion(pass_id)])
    rig.drains()
    rig.delivers([rig.insertion(pass_id)])
    rig.drains()
    rig.skew = HOUR
    rig.drains()
    assert rig.devices_of(pass_id) == MANY


def killed_after_queueing(rig: Rig) -> None:
    """The push function has queued the fan-out and sent some pushes; the worker finishes before the retry."""
    record = rig.record(rig.has_a_pass("P", devices=MANY))

    def worker(_: int) -> None:
        dying.close()
        rig.drains()

    with contextlib.ExitStack() as dying:
        dying.enter_context(rig.dies_after_outcomes(DIRECT_DEVICES // 4))
        rig.delivers([record], between=worker)
    rig.drains()


def killed_in_the_middle_of_a_fan_out(rig: Rig) -> None:
    """The worker has queued the pushes of some pages, and has not recorded the last page."""
    rig.delivers([rig.record(rig.has_a_pass("P", devices=VERY_MANY))])
    with rig.dies_at_request(20):
        rig.drains()


def changed_twice_in_a_row(rig: Rig) -> None:
    """The second change comes before the worker has started the first."""
    pass_id = rig.has_a_pass("P", devices=VERY_MANY)
    rig.delivers([rig.record(pass_id)])
    rig.delivers([rig.record(pass_id, gate="B23")])
    rig.drains()


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
    rig.drains(between=lambda attempt: rig.broken_templates.clear() if attempt == 3 else None)


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
    rig.receives_foreign(*foreign)
    rig.delivers([record])
    rig.drains()
    assert sorted(rig.dead_letters()) == sorted(foreign)


def a_refusal_longer_than_sqs_takes(rig: Rig) -> None:
    """H2: the dead letter is shortened, and one that SQS refuses does not block the batch."""
    records = [rig.record(rig.has_a_pass(f"P{number}", devices=1)) for number in range(20)]
    records.insert(3, rig.record(rig.has_a_pass("LONG", devices=0), gate="x", **{"y" * 300_000: "x"}))
    rig.delivers(records)
    assert len(rig.dead_letters()) == 1
    more = [rig.record(rig.has_a_pass(f"Q{number}", devices=1)) for number in range(20)]
    more.insert(3, rig.record(rig.has_a_pass("BAD", devices=0), no_such_field="x"))
    with rig.services_answer(lambda _: (403, "OverLimit"), of="sqs"):
        rig.delivers(more)
    rig.drains()


def a_template_that_comes_after_its_items(rig: Rig) -> None:
    """H3: one pass is rechecked with its template, another is written again with the same content."""
    pushed, rewritten = rig.has_a_pass("P", devices=MANY), rig.has_a_pass("Q", devices=FEW)
    rig.broken_templates["late"] = TemplateMissingError("template 'late' does not exist")
    for pass_id in (pushed, rewritten):
        rig.writes(pass_id, template="late", fields={"gate": "B22"})
        rig.delivers([rig.record(pass_id, template="late")])
    rig.drains()
    assert rig.apns.pushes() == []
    rig.broken_templates.clear()
    again = rig.record(rewritten, template="late")
    again["dynamodb"]["OldImage"] = again["dynamodb"]["NewImage"]
    rig.delivers([again])
    rig.asks_for_rechecks([pushed])
    rig.drains()
    rig.delivers([again])
    rig.drains()


def downloads_that_fail_until_the_certificate_is_renewed(rig: Rig) -> None:
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

    rig.drains(between=renewed)
    assert rig.downloads(pass_id)


def downloads_that_fail_while_dynamodb_is_away(rig: Rig) -> None:
    """H6: several execution environments reach only SQS."""
    pass_id = rig.has_a_pass("P", devices=FEW)
    rig.writes(pass_id, fields={"gate": "B22"})
    rig.delivers([rig.record(pass_id)])
    rig.apns.forgets()
    for _ in range(3):
        rig.new_environment()
        with rig.services_answer(lambda _: (500, "InternalServerError"), of="dynamodb"):
            assert not rig.downloads(pass_id)
            assert not rig.downloads(pass_id)
    rig.skew = 10.0
    rig.drains()


def paced_fan_out(rig: Rig, *, fault: Callable[[int], None] = lambda _: None) -> None:
    """A fan-out that takes minutes at its rate, with a change of a pass on one device in between."""
    rig.paces(SLOW)
    rig.delivers([rig.record(rig.has_a_pass("P", devices=VERY_MANY))])

    def between(attempt: int) -> None:
        fault(attempt)
        if attempt == 5:
            changed_at = rig.clock()
            rig.delivers([rig.record(rig.has_a_pass("Q", devices=1))])
            assert rig.clock() - changed_at < 5

    rig.drains(between=between)
    assert rig.most_at_once() <= LATENESS_SECONDS


def paced_and_killed_in_mid_wait(rig: Rig) -> None:
    """The worker dies while it waits for a slot, again and again."""

    def kill_soon(_: int) -> None:
        rig.dies_at_sleep = rig.sleeps + 3

    paced_fan_out(rig, fault=kill_soon)


def paced_and_throttled(rig: Rig) -> None:
    """Every other request to DynamoDB and SQS is throttled, those for the timelines' row among them."""
    with rig.services_answer(lambda n: (400, "ProvisionedThroughputExceededException") if n % 2 else None):
        paced_fan_out(rig)


def paced_and_dynamodb_away(rig: Rig) -> None:
    """It is away for longer than one invocation, in the middle of the fan-out."""
    rig.paces(SLOW)
    rig.delivers([rig.record(rig.has_a_pass("P", devices=VERY_MANY))])
    with rig.services_answer(lambda n: (500, "InternalServerError") if n in range(30, 90) else None, of="dynamodb"):
        rig.drains()
    assert rig.most_at_once() <= LATENESS_SECONDS


def paced_batch_twice(rig: Rig) -> None:
    """The stream delivers more changes than fit a second twice: the second time takes its own time."""
    rig.paces(SLOW)
    records = [rig.record(rig.has_a_pass(f"P{number}", devices=1)) for number in range(FEW)]
    rig.delivers(records)
    rig.delivers(records)
    rig.drains()
    assert rig.most_at_once() <= LATENESS_SECONDS


def paced_and_row_deleted(rig: Rig) -> None:
    """The sends that were scheduled before become due together, and the stage's time still limits them."""

    def delete(attempt: int) -> None:
        if attempt == 3:
            boto3.resource("dynamodb").Table(rig.tables.names["versions"]).delete_item(Key={"pass_id": ROW})

    paced_fan_out(rig, fault=delete)


def paced_at_a_lower_rate_later(rig: Rig) -> None:
    """The rate is lowered by a deployment during the fan-out: it counts from the next send on."""

    def lower(attempt: int) -> None:
        if attempt == 3:
            rig.paces(SLOW / 4)

    paced_fan_out(rig, fault=lower)


def paced_and_apns_away(rig: Rig) -> None:
    """The pushes that failed take new time when they are tried again."""

    def down(attempt: int) -> None:
        if attempt == 2:
            rig.apns.suffers(down=True)
        elif attempt == 8:
            rig.apns.recovers()

    rig.paces(SLOW)
    rig.delivers([rig.record(rig.has_a_pass("P", devices=VERY_MANY))])
    rig.drains(between=down)
    assert rig.most_at_once() <= LATENESS_SECONDS


def paced_and_changed_again(rig: Rig) -> None:
    """The newer change ends the fan-out: few devices are notified twice."""
    rig.paces(SLOW)
    pass_id = rig.has_a_pass("P", devices=VERY_MANY)
    rig.delivers([rig.record(pass_id)])

    def again(attempt: int) -> None:
        if attempt == 3:
            rig.delivers([rig.record(pass_id, gate="B23")])

    rig.drains(between=again)
    assert rig.most_at_once() <= LATENESS_SECONDS


SCENARIOS: Mapping[str, Callable[[Rig], None]] = {
    "nothing wrong": nothing_wrong,
    "APNs down for an hour": apns_down_for_an_hour,
    "APNs down for a day": apns_down_for_a_day,
    "no DynamoDB for ten minutes": no_dynamodb_for_ten_minutes,
    "APNs accepts one push at a time": apns_takes_one_push_at_a_time,
    "DynamoDB refuses at once for an hour": dynamodb_refuses_at_once_for_an_hour,
    "every tenth stream reset": every_tenth_stream_reset,
    "GOAWAY every 300 pushes": goaway_every_300_pushes,
    "a frozen execution environment": frozen_environment,
    "Lambda killed at each step": killed_at_each_step,
    "Lambda killed in the middle of pushing": killed_in_the_middle_of_pushing,
    "the same batch delivered twice": same_batch_twice,
    "DynamoDB and SQS throttle every other request": dynamodb_throttles,
    "DynamoDB and SQS answer every other request with 500": dynamodb_and_sqs_answer_500,
    "DynamoDB and SQS away for longer than one invocation": dynamodb_and_sqs_away_for_long,
    "SQS refuses": sqs_refuses,
    "a malformed item among 99 good ones": malformed_item_among_99,
    "a credential that is rejected until it is corrected": credential_rejected_until_corrected,
    "a certificate that is refused until it is replaced": certificate_refused_until_replaced,
    "a provider token that expired": provider_token_expired,
    "the clock jumped by an hour, and back": clock_jumped_by_an_hour,
    "every token refused, until the environment is right": every_token_refused_and_discarded,
    "half of a fan-out unregistered by mistake": half_of_a_fan_out_unregistered,
    "a pass deleted and loaded again": deleted_and_loaded_again,
    "the push function killed after queueing": killed_after_queueing,
    "the worker killed in the middle of a fan-out": killed_in_the_middle_of_a_fan_out,
    "a pass changed twice in a row": changed_twice_in_a_row,
    "H1: one item that raises whatever it likes": one_item_that_raises_whatever_it_likes,
    "H1: foreign messages in the push queue": foreign_messages_in_the_queue,
    "H2: a refusal longer than SQS takes": a_refusal_longer_than_sqs_takes,
    "H3: a template that comes after its items": a_template_that_comes_after_its_items,
    "H6: downloads fail until the certificate is renewed": downloads_that_fail_until_the_certificate_is_renewed,
    "H6: downloads fail while DynamoDB is away": downloads_that_fail_while_dynamodb_is_away,
    "paced: a fan-out of minutes": paced_fan_out,
    "paced: the worker killed in mid-wait": paced_and_killed_in_mid_wait,
    "paced: DynamoDB and SQS throttle every other request": paced_and_throttled,
    "paced: DynamoDB away for longer than one invocation": paced_and_dynamodb_away,
    "paced: the same batch delivered twice": paced_batch_twice,
    "paced: the timelines' row deleted": paced_and_row_deleted,
    "paced: the rate lowered during a fan-out": paced_at_a_lower_rate_later,
    "paced: APNs down during a fan-out": paced_and_apns_away,
    "paced: changed again during a fan-out": paced_and_changed_again,
}
REPEATS: Mapping[str, int] = {
    "no DynamoDB for ten minutes": FEW,
    "Lambda killed at each step": 2000,
    "Lambda killed in the middle of pushing": FEW,
    "the same batch delivered twice": FEW,
    "the clock jumped by an hour, and back": FEW,
    "the worker killed in the middle of a fan-out": PAGE,
    "paced: the same batch delivered twice": FEW,
    "paced: the worker killed in mid-wait": PAGE,
    "paced: DynamoDB away for longer than one invocation": int(SLOW),
    "paced: changed again during a fan-out": int(SLOW * (HORIZON_SECONDS + 10)),
}
"""The largest number of repeated pushes: of those whose result is unknown, of second changes, and of one page of a
fan-out (at most a second of the rate) after which DynamoDB could not record the progress. It is recorded after the
page's push task is queued: before that, a crash would lose the page.
"""


def play(name: str, apns: ApnsForTests) -> Result:
    """Run a scenario on a new rig."""
    with a_rig(apns) as rig:
        SCENARIOS[name](rig)
        return rig.result()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        chain = make_development_chain(
            Path(folder) / "chain", pass_type_identifier=PASS_TYPE_IDENTIFIER, team_identifier=TEAM_IDENTIFIER
        )
        apns, simulator = ApnsForTests.start(chain)
        with simulator, local_run(Path(folder) / "stack", on_progress=lambda _: None) as stack:
            stack.use()
            lines = [f"{'fault':54} {'due':>5} {'delivered':>9} {'lost':>5} {'repeated':>8}"]
            for name in SCENARIOS:
                result = play(name, apns)
                row = (result.due, result.delivered, result.lost, result.repeated)
                lines.append("{:54} {:5} {:9} {:5} {:8}".format(name, *row))
            sys.stderr.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

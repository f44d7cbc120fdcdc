"""Faults during fan-outs that take minutes at the stage's rate."""

from collections.abc import Callable

import boto3

from chalicelib.updates.pacing import LATENESS_SECONDS, ROW
from tests.faults.injection import services_answer
from tests.faults.rig import Rig
from tests.faults.sizes import FEW, SLOW, VERY_MANY


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

    rig.runs_push_worker(between=between)
    assert rig.most_at_once() <= LATENESS_SECONDS


def paced_and_killed_in_mid_wait(rig: Rig) -> None:
    """The worker dies while it waits for a slot, again and again."""

    def kill_soon(_: int) -> None:
        rig.dies_at_sleep = rig.sleeps + 3

    paced_fan_out(rig, fault=kill_soon)


def paced_and_throttled(rig: Rig) -> None:
    """Every other request to DynamoDB and SQS is throttled, those for the timelines' row among them."""
    with services_answer(rig, lambda n: (400, "ProvisionedThroughputExceededException") if n % 2 else None):
        paced_fan_out(rig)


def paced_and_dynamodb_away(rig: Rig) -> None:
    """It is away for longer than one invocation, in the middle of the fan-out."""
    rig.paces(SLOW)
    rig.delivers([rig.record(rig.has_a_pass("P", devices=VERY_MANY))])
    with services_answer(rig, lambda n: (500, "InternalServerError") if n in range(30, 90) else None, of="dynamodb"):
        rig.runs_push_worker()
    assert rig.most_at_once() <= LATENESS_SECONDS


def paced_batch_twice(rig: Rig) -> None:
    """The stream delivers more changes than fit a second twice: the second time takes its own time."""
    rig.paces(SLOW)
    records = [rig.record(rig.has_a_pass(f"P{number}", devices=1)) for number in range(FEW)]
    rig.delivers(records)
    rig.delivers(records)
    rig.runs_push_worker()
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
    rig.runs_push_worker(between=down)
    assert rig.most_at_once() <= LATENESS_SECONDS


def paced_and_changed_again(rig: Rig) -> None:
    """The newer change ends the fan-out: few devices are notified twice."""
    rig.paces(SLOW)
    pass_id = rig.has_a_pass("P", devices=VERY_MANY)
    rig.delivers([rig.record(pass_id)])

    def again(attempt: int) -> None:
        if attempt == 3:
            rig.owes_another_push()
            rig.delivers([rig.record(pass_id, gate="B23")])

    rig.runs_push_worker(between=again)
    assert rig.most_at_once() <= LATENESS_SECONDS

"""DynamoDB and SQS throttle, refuse or are away."""

import contextlib

from tests.faults.injection import services_answer
from tests.faults.rig import Rig
from tests.faults.sizes import FEW, HOUR, MANY

TEN_MINUTES = 600.0
ATTEMPTS_WITHOUT_DYNAMODB = 3
AWAY = range(4, 60)
"""Failed requests: more than the attempts of one invocation, so that the batch or message is delivered again."""


def no_dynamodb_for_ten_minutes(rig: Rig) -> None:
    """A drill: a fan-out is queued when the region loses DynamoDB, a pass changes meanwhile, and a download fails."""
    wide, narrow = rig.has_a_pass("P", devices=MANY), rig.has_a_pass("Q", devices=FEW)
    rig.writes(narrow, fields={"gate": "B22"})
    rig.delivers([rig.record(wide)])

    def away() -> contextlib.AbstractContextManager[None]:
        return services_answer(rig, lambda _: (500, "InternalServerError"), of="dynamodb")

    with contextlib.ExitStack() as outage:
        outage.enter_context(away())
        assert not rig.downloads(narrow)
        rig.runs_push_worker(between=lambda attempt: outage.close() if attempt == ATTEMPTS_WITHOUT_DYNAMODB else None)
    with contextlib.ExitStack() as outage:
        outage.enter_context(away())
        rig.delivers(
            [rig.record(narrow)],
            between=lambda attempt: outage.close() if attempt == ATTEMPTS_WITHOUT_DYNAMODB else None,
            attempt_seconds=TEN_MINUTES / ATTEMPTS_WITHOUT_DYNAMODB,
        )
    rig.runs_push_worker()
    assert rig.downloads(narrow)


def dynamodb_refuses_at_once_for_an_hour(rig: Rig) -> None:
    """AWS promises no pause between attempts that fail at once (A6)."""
    pass_id = rig.has_a_pass("P", devices=FEW)
    with services_answer(rig, lambda n: (400, "AccessDeniedException") if n <= 700 else None):
        rig.delivers([rig.record(pass_id)], attempt_seconds=HOUR / 700)
        rig.runs_push_worker()


def dynamodb_throttles(rig: Rig) -> None:
    pass_id = rig.has_a_pass("P", devices=MANY)
    with services_answer(rig, lambda n: (400, "ProvisionedThroughputExceededException") if n % 2 else None):
        rig.delivers([rig.record(pass_id)])
        rig.runs_push_worker()


def dynamodb_and_sqs_answer_500(rig: Rig) -> None:
    pass_id = rig.has_a_pass("P", devices=MANY)
    with services_answer(rig, lambda n: (500, "InternalServerError") if n % 2 else None):
        rig.delivers([rig.record(pass_id)])
        rig.runs_push_worker()


def dynamodb_and_sqs_away_for_long(rig: Rig) -> None:
    """It lasts longer than all attempts of one invocation."""
    pass_id = rig.has_a_pass("P", devices=MANY)
    with services_answer(rig, lambda n: (500, "InternalServerError") if n in AWAY else None):
        rig.delivers([rig.record(pass_id)])
        rig.runs_push_worker()


def sqs_refuses(rig: Rig) -> None:
    """It lasts longer than all attempts of one invocation, during a batch and again during a page of a fan-out."""
    pass_id = rig.has_a_pass("P", devices=MANY)
    with services_answer(rig, lambda n: (403, "OverLimit") if n in range(1, 10) else None, of="sqs"):
        rig.delivers([rig.record(pass_id)])
    with services_answer(rig, lambda n: (403, "OverLimit") if n in range(2, 10) else None, of="sqs"):
        rig.runs_push_worker()


def downloads_that_fail_while_dynamodb_is_away(rig: Rig) -> None:
    """H6: several execution environments reach only SQS."""
    pass_id = rig.has_a_pass("P", devices=FEW)
    rig.writes(pass_id, fields={"gate": "B22"})
    rig.delivers([rig.record(pass_id)])
    rig.apns.forgets()
    for _ in range(3):
        rig.new_environment()
        with services_answer(rig, lambda _: (500, "InternalServerError"), of="dynamodb"):
            assert not rig.downloads(pass_id)
            assert not rig.downloads(pass_id)
    rig.clock.skew = 10.0
    rig.runs_push_worker()

"""Every fault that APNs and AWS produce, as a story on the rig. None of them may lose a push.

`python -m tests.faults.scenarios` plays them all and prints the table.
"""

import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from unittest.mock import patch

from chalicelib.apns import client as apns_client
from chalicelib.apns.client import Push
from chalicelib.apns.credentials import ClientCertificate
from chalicelib.domain.identifiers import PushToken
from infra.local.certificates import make_development_chain
from infra.local.stack import PASS_TYPE_IDENTIFIER, TEAM_IDENTIFIER, local_stack
from tests.apns.simulated import SimulatedApns
from tests.faults.rig import DIRECT_DEVICES, Result, Rig, a_rig

FEW = 40
MANY = 700
ATTEMPTS_IN_TEN_MINUTES = 7
"""With waits of 5 s that double each time."""
HOUR = 3600.0
DAY = 24 * HOUR
AWAY = range(4, 60)
"""Requests: each is tried a few times before the handler gives up, and the batch or message comes again."""


def nothing_wrong(rig: Rig) -> None:
    rig.delivers([rig.record(rig.has_a_pass("P", devices=MANY))])
    rig.drains()


def apns_down_for_ten_minutes(rig: Rig) -> None:
    record = rig.record(rig.has_a_pass("P", devices=MANY))
    rig.apns.suffers(down=True)
    rig.delivers([record])
    failed = [0]

    def later(_: int) -> None:
        failed[0] += 1
        if failed[0] == ATTEMPTS_IN_TEN_MINUTES:
            rig.apns.recovers()

    rig.drains(between=later)


def apns_down_for_a_day(rig: Rig) -> None:
    """A message that got nowhere is delivered again, later each time; it must not be a dead letter before that (A7)."""
    record = rig.record(rig.has_a_pass("P", devices=FEW))
    rig.apns.suffers(down=True)
    rig.delivers([record])

    def later(_: int) -> None:
        if rig.longest_wait_seconds > DAY:
            rig.apns.recovers()

    rig.drains(between=later)


def apns_takes_one_push_at_a_time(rig: Rig) -> None:
    """Each invocation of the worker gets on a little and sends what is left into its own queue, forty times (A1)."""
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
    """Attempts that fail at once follow each other without a pause that AWS promises (A6)."""
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


def frozen_sandbox(rig: Rig) -> None:
    """The socket that a thawed sandbox holds is dead, and nobody told it."""
    rig.delivers([rig.record(rig.has_a_pass("P", devices=1))])
    rig.apns.suffers(black_hole=True)
    time.sleep(0.2)  # the simulator silences its open connections in its own time
    rig.apns.recovers()
    with patch.object(apns_client, "IDLE_SECONDS", 0.0), patch.object(apns_client, "PING_TIMEOUT_SECONDS", 0.3):
        rig.delivers([rig.record(rig.has_a_pass("Q", devices=FEW))])
    rig.drains()


def killed_at_each_step(rig: Rig) -> None:
    """Once before each request that a change with a fan-out makes, and once while draining."""
    for number in range(1, 8):
        record = rig.record(rig.has_a_pass(f"P{number}", devices=DIRECT_DEVICES + 20))
        with rig.dies_at_request(number):
            rig.delivers([record])
        with rig.dies_at_request(number):
            rig.drains()


def killed_in_the_middle_of_pushing(rig: Rig) -> None:
    """Half of the pushes are out; nobody has noted which."""
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
    """Longer than all tries of one invocation."""
    pass_id = rig.has_a_pass("P", devices=MANY)
    with rig.services_answer(lambda n: (500, "InternalServerError") if n in AWAY else None):
        rig.delivers([rig.record(pass_id)])
        rig.drains()


def sqs_refuses(rig: Rig) -> None:
    """For longer than all tries of one invocation, while a batch is handled and again while a page is fanned out."""
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


def credential_rejected_until_mended(rig: Rig) -> None:
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
    """A sandbox that slept for an hour holds a token that APNs takes no more."""
    skew = [-HOUR]
    rig.client = rig.new_client(credential=rig.apns.provider_token(), clock=lambda: time.time() + skew[0])
    record = rig.record(rig.has_a_pass("P", devices=FEW))
    rig.delivers([record])
    skew[0] = 0.0
    rig.drains()


def clock_jumped_by_an_hour(rig: Rig) -> None:
    """Ahead, and then back: the stamp goes on strictly, the pushes too."""
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


SCENARIOS: Mapping[str, Callable[[Rig], None]] = {
    "nothing wrong": nothing_wrong,
    "APNs down for ten minutes": apns_down_for_ten_minutes,
    "APNs down for a day": apns_down_for_a_day,
    "APNs takes one push at a time": apns_takes_one_push_at_a_time,
    "DynamoDB refuses at once for an hour": dynamodb_refuses_at_once_for_an_hour,
    "every tenth stream reset": every_tenth_stream_reset,
    "GOAWAY every 300 pushes": goaway_every_300_pushes,
    "a frozen sandbox": frozen_sandbox,
    "Lambda killed at each step": killed_at_each_step,
    "Lambda killed in the middle of pushing": killed_in_the_middle_of_pushing,
    "the same batch delivered twice": same_batch_twice,
    "DynamoDB and SQS throttle every other request": dynamodb_throttles,
    "DynamoDB and SQS answer every other request with 500": dynamodb_and_sqs_answer_500,
    "DynamoDB and SQS away for longer than one invocation": dynamodb_and_sqs_away_for_long,
    "SQS refuses": sqs_refuses,
    "a malformed item among 99 good ones": malformed_item_among_99,
    "a credential that is rejected until it is mended": credential_rejected_until_mended,
    "a certificate that is refused until it is replaced": certificate_refused_until_replaced,
    "a provider token that expired": provider_token_expired,
    "the clock jumped by an hour, and back": clock_jumped_by_an_hour,
}
REPEATS = {
    "Lambda killed at each step",
    "Lambda killed in the middle of pushing",
    "the same batch delivered twice",
    "the clock jumped by an hour, and back",
}
"""Where a push is sent again because nobody can know whether it was taken, or because there were two changes."""


def play(name: str, apns: SimulatedApns) -> Result:
    """One scenario on a rig of its own."""
    with a_rig(apns) as rig:
        SCENARIOS[name](rig)
        return rig.result()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        chain = make_development_chain(
            Path(folder) / "chain", pass_type_identifier=PASS_TYPE_IDENTIFIER, team_identifier=TEAM_IDENTIFIER
        )
        apns, simulator = SimulatedApns.start(chain)
        with simulator, local_stack(Path(folder) / "stack", say=lambda _: None) as stack:
            stack.use()
            lines = [f"{'fault':54} {'due':>5} {'delivered':>9} {'lost':>5} {'repeated':>8}"]
            for name in SCENARIOS:
                result = play(name, apns)
                row = (result.due, result.delivered, result.lost, result.repeated)
                lines.append("{:54} {:5} {:9} {:5} {:8}".format(name, *row))
            sys.stderr.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

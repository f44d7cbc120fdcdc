"""The table of the scenarios: faults of APNs, of AWS and of input. None of them may lose a push.

`python -m tests.faults.scenarios` runs all of them and prints what became of the pushes.
"""

import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from chalicelib.updates.pacing import HORIZON_SECONDS
from infra.local.certificates import make_development_chain
from infra.local.run import PASS_TYPE_IDENTIFIER, TEAM_IDENTIFIER, local_run
from tests.faults import apns_faults, aws_faults, input_faults, lambda_faults, paced_faults
from tests.faults.rig import PAGE, Result, Rig, a_rig
from tests.faults.sizes import FEW, MANY, SLOW
from tests.support.simulated_apns import ApnsForTests


def nothing_wrong(rig: Rig) -> None:
    rig.delivers([rig.record(rig.has_a_pass("P", devices=MANY))])
    rig.runs_push_worker()


SCENARIOS: Mapping[str, Callable[[Rig], None]] = {
    "nothing wrong": nothing_wrong,
    "APNs down for an hour": apns_faults.apns_down_for_an_hour,
    "APNs down for a day": apns_faults.apns_down_for_a_day,
    "no DynamoDB for ten minutes": aws_faults.no_dynamodb_for_ten_minutes,
    "APNs accepts one push at a time": apns_faults.apns_takes_one_push_at_a_time,
    "DynamoDB refuses at once for an hour": aws_faults.dynamodb_refuses_at_once_for_an_hour,
    "every tenth stream reset": apns_faults.every_tenth_stream_reset,
    "GOAWAY every 300 pushes": apns_faults.goaway_every_300_pushes,
    "a frozen execution environment": apns_faults.frozen_environment,
    "Lambda killed at each step": lambda_faults.killed_at_each_step,
    "Lambda killed in the middle of pushing": lambda_faults.killed_in_the_middle_of_pushing,
    "the same batch delivered twice": lambda_faults.same_batch_twice,
    "DynamoDB and SQS throttle every other request": aws_faults.dynamodb_throttles,
    "DynamoDB and SQS answer every other request with 500": aws_faults.dynamodb_and_sqs_answer_500,
    "DynamoDB and SQS away for longer than one invocation": aws_faults.dynamodb_and_sqs_away_for_long,
    "SQS refuses": aws_faults.sqs_refuses,
    "a malformed item among 99 good ones": input_faults.malformed_item_among_99,
    "a credential that is rejected until it is corrected": apns_faults.credential_rejected_until_corrected,
    "a certificate that is refused until it is replaced": apns_faults.certificate_refused_until_replaced,
    "a provider token that expired": apns_faults.provider_token_expired,
    "the clock jumped by an hour, and back": lambda_faults.clock_jumped_by_an_hour,
    "every token refused, until the environment is right": apns_faults.every_token_refused_and_discarded,
    "half of a fan-out unregistered by mistake": apns_faults.half_of_a_fan_out_unregistered,
    "a pass deleted and loaded again": input_faults.deleted_and_loaded_again,
    "the push function killed after queueing": lambda_faults.killed_after_queueing,
    "the worker killed in the middle of a fan-out": lambda_faults.killed_in_the_middle_of_a_fan_out,
    "a pass changed twice in a row": input_faults.changed_twice_in_a_row,
    "H1: one item that raises whatever it likes": input_faults.one_item_that_raises_whatever_it_likes,
    "H1: foreign messages in the push queue": input_faults.foreign_messages_in_the_queue,
    "H2: a refusal longer than SQS takes": input_faults.a_refusal_longer_than_sqs_takes,
    "H3: a template that comes after its items": input_faults.a_template_that_comes_after_its_items,
    "H6: downloads fail until the certificate is renewed": input_faults.downloads_that_fail_until_a_new_certificate,
    "H6: downloads fail while DynamoDB is away": aws_faults.downloads_that_fail_while_dynamodb_is_away,
    "paced: a fan-out of minutes": paced_faults.paced_fan_out,
    "paced: the worker killed in mid-wait": paced_faults.paced_and_killed_in_mid_wait,
    "paced: DynamoDB and SQS throttle every other request": paced_faults.paced_and_throttled,
    "paced: DynamoDB away for longer than one invocation": paced_faults.paced_and_dynamodb_away,
    "paced: the same batch delivered twice": paced_faults.paced_batch_twice,
    "paced: the timelines' row deleted": paced_faults.paced_and_row_deleted,
    "paced: the rate lowered during a fan-out": paced_faults.paced_at_a_lower_rate_later,
    "paced: APNs down during a fan-out": paced_faults.paced_and_apns_away,
    "paced: changed again during a fan-out": paced_faults.paced_and_changed_again,
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

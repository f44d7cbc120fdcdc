"""APNs is away, slow, refuses credentials or tokens, or ends connections."""

import tempfile
import time
from pathlib import Path

from chalicelib.apns.credentials import ClientCertificate
from chalicelib.apns.live_connection import Timeouts
from chalicelib.apns.outcomes import Push
from chalicelib.core.identifiers import PushToken
from infra.local.certificates import make_development_chain
from infra.local.run import PASS_TYPE_IDENTIFIER, TEAM_IDENTIFIER
from tests.faults.rig import Rig
from tests.faults.sizes import DAY, FEW, HOUR, MANY


def apns_down_for_an_hour(rig: Rig) -> None:
    """A drill: passes change before and during the outage."""
    rig.apns.suffers(down=True)
    rig.delivers([rig.record(rig.has_a_pass("P", devices=MANY))])

    def later(attempt: int) -> None:
        if attempt == 2:
            rig.delivers([rig.record(rig.has_a_pass("Q", devices=FEW))])
        if rig.queues.longest_wait_seconds > HOUR:
            rig.apns.recovers()

    rig.runs_push_worker(between=later)


def apns_down_for_a_day(rig: Rig) -> None:
    """An unsettled message is delivered again, later each time, and must not become a dead letter before (A7)."""
    record = rig.record(rig.has_a_pass("P", devices=FEW))
    rig.apns.suffers(down=True)
    rig.delivers([record])

    def later(_: int) -> None:
        if rig.queues.longest_wait_seconds > DAY:
            rig.apns.recovers()

    rig.runs_push_worker(between=later)


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
    rig.runs_push_worker(between=one_more)


def every_tenth_stream_reset(rig: Rig) -> None:
    rig.apns.suffers(reset_stream_every=10)
    rig.delivers([rig.record(rig.has_a_pass("P", devices=MANY))])
    rig.runs_push_worker()


def goaway_every_300_pushes(rig: Rig) -> None:
    rig.apns.suffers(goaway_after=300)
    rig.delivers([rig.record(rig.has_a_pass("P", devices=MANY))])
    rig.runs_push_worker()


def frozen_environment(rig: Rig) -> None:
    """The connection of a thawed execution environment is dead without any sign of it."""
    rig.client = rig.new_client(timeouts=Timeouts(idle=0.0, ping=0.3, backoff=0.0))
    rig.delivers([rig.record(rig.has_a_pass("P", devices=1))])
    rig.apns.suffers(black_hole=True)
    time.sleep(0.2)  # the stand-in silences its open connections a little later
    rig.apns.recovers()
    rig.delivers([rig.record(rig.has_a_pass("Q", devices=FEW))])
    rig.runs_push_worker()


def credential_rejected_until_corrected(rig: Rig) -> None:
    record = rig.record(rig.has_a_pass("P", devices=FEW))
    rig.apns.suffers(answer={"status": 403, "reason": "InvalidProviderToken"})
    rig.delivers([record])
    rig.runs_push_worker(between=lambda attempt: rig.apns.recovers() if attempt == 3 else None)


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

    rig.runs_push_worker(between=replaced)


def provider_token_expired(rig: Rig) -> None:
    """An execution environment that was frozen for an hour has a token that APNs refuses."""
    skew = [-HOUR]
    rig.client = rig.new_client(credential=rig.apns.provider_token(), clock=lambda: time.time() + skew[0])
    record = rig.record(rig.has_a_pass("P", devices=FEW))
    rig.delivers([record])
    skew[0] = 0.0
    rig.runs_push_worker()


def every_token_refused_and_discarded(rig: Rig) -> None:
    """The push host or the credential belongs to the wrong environment until an operator corrects it."""
    pass_id = rig.has_a_pass("P", devices=50)
    rig.apns.suffers(answer={"status": 400, "reason": "BadDeviceToken"})
    rig.delivers([rig.record(pass_id)])
    rig.runs_push_worker()
    assert rig.devices_of(pass_id) == 50
    assert sum(len(held.devices) for held in rig.queues.holds_removals()) == 50
    rig.apns.recovers()
    decided = rig.operator().discard_removals(pass_type_identifier=None, on_progress=lambda _: None)
    assert decided.pushed == 50
    rig.runs_push_worker()


def half_of_a_fan_out_unregistered(rig: Rig) -> None:
    """APNs reports them wrongly, and an operator discards the held removals."""
    pass_id = rig.has_a_pass("P", devices=50)
    tokens = sorted(rig.due)
    for token in tokens[:25]:
        rig.apns.answers(Push(PushToken(token), PASS_TYPE_IDENTIFIER), status=410, reason="Unregistered")
    rig.delivers([rig.record(pass_id)])
    rig.runs_push_worker()
    assert rig.devices_of(pass_id) == 50
    for token in tokens[:25]:
        rig.apns.answers(Push(PushToken(token), PASS_TYPE_IDENTIFIER), status=200)
    rig.operator().discard_removals(pass_type_identifier=PASS_TYPE_IDENTIFIER, on_progress=lambda _: None)
    rig.runs_push_worker()

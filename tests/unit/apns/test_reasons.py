"""Tests that each answer of APNs has the outcome that the table states, through a real connection."""

import re

import pytest

from chalicelib.apns.outcomes import Push
from chalicelib.apns.reasons import KINDS, OWN_REASONS, SENDER_REASONS, OutcomeKind, kind_of, metric_reason
from chalicelib.core.identifiers import PushToken
from infra.local.processes import PROJECT
from infra.local.run import PASS_TYPE_IDENTIFIER
from tests.support.simulated_apns import ApnsForTests, pushes, send

PROTOCOL = {
    OutcomeKind.UNREGISTERED: "410 Unregistered, 410 ExpiredToken, 400 BadDeviceToken",
    OutcomeKind.CONFIGURATION: (
        "400 DeviceTokenNotForTopic, 400 TopicDisallowed, 400 BadTopic, 400 MissingTopic, 403 BadCertificate, "
        "403 BadCertificateEnvironment, 403 Forbidden, 403 InvalidProviderToken, 403 MissingProviderToken, "
        "403 ExpiredProviderToken, 403 BadEnvironmentKeyInToken, 403 BadEnvironmentKeyIdInToken, "
        "403 UnrelatedKeyIdInToken"
    ),
    OutcomeKind.LATER: (
        "429 TooManyRequests, 429 TooManyProviderTokenUpdates, 500 InternalServerError, 503 ServiceUnavailable, "
        "503 Shutdown"
    ),
    OutcomeKind.DEFECT: (
        "400 BadMessageId, 400 BadExpirationDate, 400 BadPriority, 400 BadCollapseId, 400 InvalidPushType, "
        "400 PayloadEmpty, 413 PayloadTooLarge, 404 BadPath, 405 MethodNotAllowed, 400 DuplicateHeaders, "
        "400 IdleTimeout"
    ),
}
"""The rows of Apple's page, written down a second time: by outcome."""


def _row(text: str) -> tuple[int, str]:
    status, reason = text.split()
    return int(status), reason


@pytest.mark.parametrize(
    ("answer", "kind"), [(_row(text), kind) for kind, row in PROTOCOL.items() for text in row.split(", ")], ids=str
)
def test_table_matches_apples_page(answer: tuple[int, str], kind: OutcomeKind) -> None:
    """Every status and reason of the protocol has its outcome."""
    assert KINDS[answer] is kind


@pytest.mark.parametrize(("answer", "kind"), KINDS.items(), ids=str)
def test_response_becomes_its_outcome(apns: ApnsForTests, answer: tuple[int, str], kind: OutcomeKind) -> None:
    """An answer of APNs reaches the caller as the kind of its row, with status, reason and APNs' id."""
    status, reason = answer
    push = Push(PushToken(f"{status}-{reason}"), PASS_TYPE_IDENTIFIER)
    apns.answers(push, status=status, reason=reason)
    (outcome,) = send(apns.client(), [push])
    assert (outcome.kind, outcome.status, outcome.reason) == (kind, status, reason)
    assert outcome.apns_id


def test_unknown_reason_is_retried_later() -> None:
    """Responses that are not in the table are retried, so that a new reason does not lose a device."""
    assert kind_of(410, "SomethingNew") is OutcomeKind.LATER
    assert kind_of(418, "") is OutcomeKind.LATER


@pytest.mark.parametrize("reason", ["BadEnvironmentKeyInToken", "BadEnvironmentKeyIdInToken", "SomethingNew", ""])
def test_every_403_concerns_the_credential(apns: ApnsForTests, reason: str) -> None:
    """With any reason, one push is sent and an operator must act."""
    apns.suffers(answer={"status": 403, "reason": reason}, max_streams=1)
    outcomes = send(apns.client(), pushes(20))
    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.CONFIGURATION}
    assert apns.summary()["pushes"] == 1


def test_retry_after_of_the_response_that_ends_a_send_applies_to_all_pushes(apns: ApnsForTests) -> None:
    """Pushes that were not sent because of an answer to another wait as long as that one was asked to."""
    answer = {"status": 429, "reason": "TooManyProviderTokenUpdates", "retry_after": 30}
    apns.suffers(answer=answer, max_streams=1)
    assert {outcome.retry_after for outcome in send(apns.client(), pushes(20))} == {30}


def test_unknown_reasons_share_one_metric() -> None:
    """A reason that is not in the table gets no metric of its own; every known one does."""
    assert metric_reason("SomethingNew\n") == "unknown"
    assert metric_reason(None) == "none"
    assert all(metric_reason(reason) == reason for _, reason in KINDS)


def test_own_reasons_are_listed() -> None:
    """`OWN_REASONS` contains exactly the reasons of pushes without a response."""
    source = "".join(path.read_text() for path in (PROJECT / "chalicelib" / "apns").glob("*.py"))
    said = re.findall(r'(?:Ending\(|otherwise=|reason=)"(\w+)"', source)
    assert set(said) == OWN_REASONS


@pytest.mark.parametrize("answer", sorted(SENDER_REASONS), ids=str)
def test_response_that_concerns_all_pushes_ends_the_send(apns: ApnsForTests, answer: tuple[int, str]) -> None:
    """With a refused credential or topic, APNs is not asked ten thousand times; every push still has its outcome."""
    status, reason = answer
    apns.suffers(answer={"status": status, "reason": reason}, max_streams=1)
    outcomes = send(apns.client(), pushes(50))
    assert {(outcome.kind, outcome.reason) for outcome in outcomes} == {(KINDS[answer], reason)}
    assert apns.summary()["pushes"] == 1


def test_timestamp_and_retry_after_are_returned(apns: ApnsForTests) -> None:
    """The timestamp of a 410 and the Retry-After of a 429 reach the caller."""
    gone, busy = pushes(2)
    apns.answers(gone, status=410, reason="Unregistered", timestamp=1764000000123)
    apns.answers(busy, status=429, reason="TooManyRequests", retry_after=7)
    by_push = {outcome.push: outcome for outcome in send(apns.client(), [gone, busy])}
    assert by_push[gone].timestamp == 1764000000123
    assert by_push[busy].retry_after == 7
    for push in (gone, busy):
        apns.answers(push, status=200)

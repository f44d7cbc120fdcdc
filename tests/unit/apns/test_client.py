"""The client through real sockets and TLS, against everything that APNs and the network do to it.

`send` holds for each of these that every push ended in exactly one outcome.
"""

import time

import pytest

from chalicelib.apns.client import Client, Pace
from chalicelib.apns.outcomes import Push
from chalicelib.apns.reasons import OutcomeKind
from chalicelib.core.errors import ConfigurationError
from chalicelib.core.identifiers import PushToken
from infra.local.run import PASS_TYPE_IDENTIFIER
from tests.support.simulated_apns import DELIVERED, ApnsForTests, delivered, pushes, reasons, send


def test_push_has_the_form_that_apple_documents(apns: ApnsForTests) -> None:
    """One push is one request: the device's path, the topic, an expiration in the future, an empty object."""
    (push,) = pushes(1)
    (outcome,) = send(apns.client(), [push])
    (seen,) = apns.pushes()
    assert outcome.kind is OutcomeKind.DELIVERED
    assert seen["token"] == push.push_token.value
    assert seen["topic"] == PASS_TYPE_IDENTIFIER
    assert seen["body"] == "{}"
    assert time.time() + 29 * 86400 < int(seen["headers"]["apns-expiration"]) <= time.time() + 30 * 86400
    assert "apns-push-type" not in seen["headers"]
    assert "apns-priority" not in seen["headers"]


@pytest.mark.parametrize("token", ["../../x", "a?b", "a#b", "QUJD+/==", "%41"])
def test_push_token_is_one_segment_of_the_path(apns: ApnsForTests, token: str) -> None:
    """The push token that a device sends only selects the device, never another request."""
    (outcome,) = send(apns.client(), [Push(PushToken(token), PASS_TYPE_IDENTIFIER)])
    assert outcome.kind is OutcomeKind.DELIVERED
    assert [push["token"] for push in apns.pushes()] == [token]


def test_background_push_has_priority_5(apns: ApnsForTests) -> None:
    """With the push type set to background, the priority is 5: 10 would be an error."""
    assert delivered(send(apns.client(push_type="background"), pushes(3))) == 3
    assert apns.pushes()[0]["headers"]["apns-priority"] == "5"


def test_all_allowed_streams_are_used(apns: ApnsForTests) -> None:
    """The streams that APNs allows are used, and not one more."""
    apns.suffers(latency_ms=100)
    started = time.monotonic()
    assert delivered(send(apns.client(), pushes(3000))) == 3000
    assert time.monotonic() - started < 2
    assert apns.summary()["peak_streams"] == 1000
    assert apns.summary()["excess_streams"] == 0


def test_first_push_with_a_provider_token_is_sent_alone(apns: ApnsForTests) -> None:
    """APNs allows one stream until a push has succeeded; the client asks for no more, and then uses them all."""
    apns.suffers(latency_ms=20)
    assert delivered(send(apns.client(apns.provider_token()), pushes(2000))) == 2000
    summary = apns.summary()
    assert summary["excess_streams"] == 0
    assert summary["peak_streams"] > 500


def test_changing_stream_limits_are_respected(apns: ApnsForTests) -> None:
    """1000 streams, then 1, then 1000, in the middle of a batch: nothing is lost and nothing repeated."""
    apns.suffers(latency_ms=5)
    client = apns.client()
    outcomes = []
    for number, outcome in enumerate(client.push(pushes(4000), deadline=time.monotonic() + 20)):
        outcomes.append(outcome)
        if number == 1000:
            apns.suffers(max_streams=1)
        if number == 2200:
            apns.suffers(latency_ms=5)
    assert delivered(outcomes) == 4000
    assert apns.summary()["pushes"] == 4000


def test_connection_is_reused(apns: ApnsForTests) -> None:
    """Three calls in a warm execution environment need one handshake."""
    client = apns.client()
    for _ in range(3):
        assert delivered(send(client, pushes(5))) == 5
    assert apns.summary()["connections"] == 1


def test_goaway_every_300_pushes_loses_nothing(apns: ApnsForTests) -> None:
    """Requests above GOAWAY's last stream are sent once more, on a new connection."""
    apns.suffers(goaway_after=300, latency_ms=5)
    assert delivered(send(apns.client(), pushes(2000))) == 2000
    assert apns.summary()["pushes"] == 2000
    assert apns.summary()["connections"] == 7


def test_goaway_every_10_pushes_loses_nothing(apns: ApnsForTests) -> None:
    """However often a push meets a goodbye, it is sent again as long as others get through."""
    apns.suffers(goaway_after=10)
    assert delivered(send(apns.client(), pushes(200))) == 200
    assert apns.summary()["pushes"] == 200


def test_a_refused_stream_is_sent_again(apns: ApnsForTests) -> None:
    """REFUSED_STREAM promises that nothing was done: every push is delivered, and none twice."""
    apns.suffers(refuse_stream_every=10)
    assert delivered(send(apns.client(), pushes(1000))) == 1000
    assert apns.summary()["pushes"] == 1000


def test_push_ends_when_the_peer_refuses_every_stream(apns: ApnsForTests) -> None:
    """After a few attempts, each push is for later."""
    apns.suffers(refuse_stream_every=1)
    assert reasons(send(apns.client(), pushes(20))) == {(None, "RefusedStream"): 20}


def test_every_tenth_stream_reset_costs_that_stream_alone(apns: ApnsForTests) -> None:
    """A reset that promises nothing leaves its push for later; the others are delivered."""
    apns.suffers(reset_stream_every=10)
    assert reasons(send(apns.client(), pushes(1000))) == {DELIVERED: 900, (None, "StreamReset"): 100}


def test_a_tcp_reset_costs_what_was_open(apns: ApnsForTests) -> None:
    """Open requests are deferred, and the others are sent on a new connection."""
    apns.suffers(reset_after=250, max_streams=100)
    outcomes = send(apns.client(), pushes(1000))
    assert set(reasons(outcomes)) <= {DELIVERED, (None, "ConnectionLost")}
    assert delivered(outcomes) >= 500
    assert apns.summary()["connections"] > 1


def test_a_peer_that_talks_nonsense_is_left(apns: ApnsForTests) -> None:
    """Bytes that are no HTTP/2 end the connection; what had been answered before, in the same breath, counts."""
    apns.suffers(garbage_after=50, max_streams=1)
    assert delivered(send(apns.client(), pushes(200))) == 200
    apns.suffers(garbage_after=50, max_streams=100)
    outcomes = send(apns.client(), pushes(200))
    assert set(reasons(outcomes)) <= {DELIVERED, (None, "ConnectionBroken"), (None, "ConnectionLost")}
    assert delivered(outcomes) >= 50


def test_a_burst_of_503_ends_and_the_rest_is_delivered(apns: ApnsForTests) -> None:
    """Those that met it are for later; it does not stop those that come after."""
    apns.suffers(answer={"status": 503, "reason": "ServiceUnavailable"}, answer_next=50)
    outcomes = send(apns.client(), pushes(1000))
    assert reasons(outcomes) == {DELIVERED: 950, (503, "ServiceUnavailable"): 50}


def test_an_apns_that_takes_nothing_is_not_hammered(apns: ApnsForTests) -> None:
    """After a hundred 500s in a row the rest is for later, unsent."""
    apns.suffers(answer={"status": 500, "reason": "InternalServerError"}, max_streams=10)
    outcomes = send(apns.client(), pushes(5000))
    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.LATER}
    assert apns.summary()["pushes"] < 120


def test_a_slow_reader_is_waited_for(apns: ApnsForTests) -> None:
    """A peer that reads little at a time gets everything in the end, and nothing twice."""
    apns.suffers(read_bytes_per_second=200_000)
    assert delivered(send(apns.client(), pushes(2000))) == 2000
    assert apns.summary()["pushes"] == 2000


def test_a_push_that_is_never_answered_ends_with_the_deadline(apns: ApnsForTests) -> None:
    """Its neighbours are delivered, the connection stays, and a late answer disturbs no later call."""
    apns.suffers(ignore_push_every=10)
    client = apns.client()
    assert reasons(send(client, pushes(100), seconds=0.3)) == {DELIVERED: 90, (None, "Deadline"): 10}
    apns.recovers()
    assert delivered(send(client, pushes(50))) == 50
    assert apns.summary()["connections"] == 1


def test_what_is_given_up_makes_room(apns: ApnsForTests) -> None:
    """Requests that ended with the deadline are reset, so that their streams are free for the next call."""
    apns.suffers(ignore_push_every=1, max_streams=10)
    client = apns.client()
    assert reasons(send(client, pushes(10), seconds=0.3)) == {(None, "Deadline"): 10}
    apns.suffers(max_streams=10)
    assert delivered(send(client, pushes(20), seconds=2)) == 20
    assert apns.summary()["excess_streams"] == 0


def test_answers_after_the_deadline_are_ignored(apns: ApnsForTests) -> None:
    """A call that ended by its deadline leaves nothing behind that the next could mistake for its own."""
    apns.suffers(latency_ms=400)
    client = apns.client()
    assert reasons(send(client, pushes(20), seconds=0.2)) == {(None, "Deadline"): 20}
    assert delivered(send(client, pushes(30))) == 30


def test_pushes_are_spread_over_their_slot(apns: ApnsForTests) -> None:
    """No more of them have started at any time than the slot allows until then."""
    client = apns.client()
    assert delivered(send(client, pushes(1))) == 1
    began = time.monotonic()
    paced = client.push(pushes(50), deadline=began + 10, pace=Pace(spread_seconds=0.5))
    finished = [time.monotonic() - began for _ in paced]
    assert len(finished) == 50
    assert all(number <= 1 + 50 * at / 0.5 for number, at in enumerate(finished, 1))


def test_pushes_that_miss_their_slot_are_deferred(apns: ApnsForTests) -> None:
    """They were not sent, so that their caller can take new time for them."""
    client = apns.client()
    past = Pace(spread_seconds=0.1, start_until=time.monotonic() - 1)
    outcomes = list(client.push(pushes(5), deadline=time.monotonic() + 10, pace=past))
    assert reasons(outcomes) == {(None, "SlotMissed"): 5}
    assert delivered(send(client, pushes(5))) == 5


@pytest.mark.parametrize("url", ["http://api.push.apple.com", "api.push.apple.com:443", "https://"])
def test_invalid_url_is_a_configuration_error(apns: ApnsForTests, url: str) -> None:
    """A push address that is not https is a configuration error that names it."""
    with pytest.raises(ConfigurationError, match="APNs URL"):
        Client(url=url, credential=apns.certificate())


def test_empty_batch_opens_no_connection(apns: ApnsForTests) -> None:
    """An empty batch makes no handshake."""
    assert send(apns.client(), []) == []
    assert apns.summary()["connections"] == 0


def test_abandoned_call_does_not_affect_later_calls(apns: ApnsForTests) -> None:
    """Outcomes that the caller did not read are dropped, and the next call gets only its own."""
    client = apns.client()
    next(client.push(pushes(500), deadline=time.monotonic() + 10))
    assert delivered(send(client, pushes(20))) == 20


def test_representation_of_outcome_has_no_push_token(apns: ApnsForTests) -> None:
    """A push token is in no representation of an outcome."""
    (push,) = pushes(1)
    (outcome,) = send(apns.client(), [push])
    assert push.push_token.value not in repr(outcome)

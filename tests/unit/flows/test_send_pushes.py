"""Tests of removing devices: only for a response about the device itself, with tables and APNs in memory."""

import json
import time
from dataclasses import replace

import pytest

from chalicelib.core.errors import TransientError
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId, PushToken
from chalicelib.core.wallets import Wallet
from chalicelib.updates.attempts import attempts_of
from chalicelib.updates.push_tasks import NotifyDevices, decode
from tests.support.push_side import BAD_TOKEN, TYPE, UNREGISTERED, Answer, PushSide

HOUR = 3600
DAY = 24 * HOUR


@pytest.fixture
def side() -> PushSide:
    return PushSide()


def names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}-{number:03}" for number in range(count)]


def test_fifty_of_fifty_refused_tokens_are_held(side: PushSide, capsys: pytest.CaptureFixture[str]) -> None:
    """The wrong environment refuses every token: no device is removed, the pushes are kept, and a metric says so."""
    phones = names("phone", 50)
    for phone in phones:
        side.holds(phone, "P")
    side.everything = BAD_TOKEN
    side.changes_pass("P")
    side.works_off(seconds=HOUR)
    assert side.devices() == set(phones)
    (held,) = side.held
    assert (held.reason, len(held.devices)) == ("400 BadDeviceToken", 50)
    assert len(side.pushed) == 50
    assert side.messages == []
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["RemovalsHeld"] for line in lines if "RemovalsHeld" in line] == [50]


def test_half_of_a_fan_out_unregistered_at_once_is_held(side: PushSide) -> None:
    """410 for half of the devices is a problem of APNs, not of the devices; the other half gets its pushes."""
    phones = names("phone", 50)
    for number, phone in enumerate(phones):
        side.holds(phone, "P")
        if number % 2:
            side.answers[phone] = UNREGISTERED
    side.changes_pass("P")
    side.works_off()
    assert side.devices() == set(phones)
    assert len(side.notified()) == 25
    (held,) = side.held
    assert (held.reason, len(held.devices)) == ("410 Unregistered", 25)


@pytest.mark.parametrize(("gone", "holders"), [(1, 1), (1, 50), (5, 6), (10, 50)])
def test_single_unregistered_devices_are_removed_at_once(side: PushSide, gone: int, holders: int) -> None:
    """A few of any number, or a small share of many."""
    phones = names("phone", holders)
    for phone in phones:
        side.holds(phone, "P")
    side.answers.update(dict.fromkeys(phones[:gone], UNREGISTERED))
    side.changes_pass("P")
    side.works_off()
    assert side.devices() == set(phones[gone:])
    assert side.held == []
    assert side.messages == []


def test_one_of_fifty_with_a_refused_token_is_removed_after_a_day(side: PushSide) -> None:
    """It is pushed to a few times in that day, no other device is pushed to again, and nothing is held."""
    phones = names("phone", 50)
    for phone in phones:
        side.holds(phone, "P", "Q")
    side.answers[phones[0]] = BAD_TOKEN
    side.changes_pass("P")
    side.works_off(seconds=DAY - HOUR)
    assert side.devices() == set(phones)
    side.changes_pass("Q")
    side.works_off(seconds=5 * HOUR)
    assert side.devices() == set(phones[1:])
    assert side.held == []
    assert side.messages == []
    assert 5 < [device for device, _ in side.pushed].count(phones[0]) < 25
    assert len(side.notified()) == 49 * 2


def test_invented_devices_of_an_attacker_are_removed(side: PushSide) -> None:
    """Two hundred devices invented for one pass beside fifty real ones: only the invented ones go, after a day."""
    real, invented = names("real", 50), names("invented", 200)
    for phone in real:
        side.holds(phone, "P", "Q")
    for phone in invented:
        side.holds(phone, "P")
        side.answers[phone] = BAD_TOKEN
    side.changes_pass("P")
    for _ in range(30):
        side.new_environment()
        side.works_off(seconds=HOUR)
        side.changes_pass("Q")
    side.works_off()
    assert side.devices() == set(real)
    assert side.held == []
    assert side.messages == []


def test_invented_devices_that_are_the_only_holders_of_a_pass_are_removed(side: PushSide) -> None:
    """Every push of their pass is refused; that pushes of other passes are delivered shows whose fault it is."""
    invented = names("invented", 200)
    side.holds("real", "Q")
    for phone in invented:
        side.holds(phone, "P")
        side.answers[phone] = BAD_TOKEN
    side.changes_pass("Q")
    side.changes_pass("P")
    for _ in range(30):
        side.new_environment()
        side.works_off(seconds=HOUR / 2)
        side.changes_pass("Q")
        side.works_off(seconds=HOUR / 2)
    assert side.devices() == {"real"}
    assert side.held == []


def test_wrong_environment_removes_no_device_of_passes_with_one_holder(side: PushSide) -> None:
    """For two days each send has one device, and each is refused. In the end an operator decides."""
    phones = names("phone", 4)
    for phone in phones:
        side.holds(phone, f"pass-of-{phone}")
    side.changes_pass(f"pass-of-{phones[0]}")  # as long as all was well
    side.identity = "another host"
    side.everything = BAD_TOKEN
    for _ in range(48):
        for phone in phones:
            side.new_environment()
            side.changes_pass(f"pass-of-{phone}")
        side.works_off(seconds=HOUR)
    assert side.devices() == set(phones)
    assert {device.identifier.value for held in side.held for device in held.devices} == set(phones)
    side.identity, side.everything = "credential on host", None
    side.works_off(seconds=4 * HOUR)
    assert side.devices() == set(phones)


def test_credential_that_stops_delivering_removes_no_device(side: PushSide) -> None:
    """Each was delivered to an hour ago, and every token is refused for two days: an old delivery proves nothing."""
    phones = names("phone", 10)
    for phone in phones:
        side.holds(phone, f"pass-of-{phone}")
    side.changes_pass(*(f"pass-of-{phone}" for phone in phones))
    assert len(side.notified()) == 10
    side.everything = BAD_TOKEN
    for _ in range(48):
        side.changes_pass(*(f"pass-of-{phone}" for phone in phones))
        side.works_off(seconds=HOUR)
    assert side.devices() == set(phones)
    assert side.held


def test_device_with_a_recent_delivery_is_not_removed(side: PushSide) -> None:
    """Refused, reached a day later, and refused again an hour after that: the day counts from the last refusal."""
    side.holds("phone", "P")
    side.holds("other", "P")
    side.answers["phone"] = BAD_TOKEN
    side.changes_pass("P")
    side.messages.clear()
    side.now += 2 * DAY
    del side.answers["phone"]
    side.changes_pass("P")
    side.now += HOUR
    side.answers["phone"] = BAD_TOKEN
    side.changes_pass("P")
    assert side.devices() == {"phone", "other"}
    side.works_off(seconds=DAY - HOUR)
    assert side.devices() == {"phone", "other"}


def test_device_that_registers_again_is_kept_for_another_day(side: PushSide) -> None:
    """A registration shows that the device is there."""
    side.holds("phone", "P")
    side.holds("other", "P")
    side.answers["phone"] = BAD_TOKEN
    side.changes_pass("P")
    side.messages.clear()
    side.now += 2 * DAY
    token = PushToken("token-of-phone")
    side.store.registrations.refresh(DeviceLibraryIdentifier("phone"), PassId(TYPE, "P"), push_token=token, at=side.now)
    side.changes_pass("P")
    assert side.devices() == {"phone", "other"}


def test_removals_that_cannot_be_held_are_pushed_to_again(side: PushSide) -> None:
    """The queue of held removals is away: nothing is lost."""
    for phone in names("phone", 50):
        side.holds(phone, "P")
    side.everything = UNREGISTERED
    side.changes.push_sender.noted.clear()

    def refuses(_: object) -> None:
        raise TransientError("SQS does not answer")

    sender = replace(side.changes.push_sender, hold=refuses)
    task = NotifyDevices(TYPE, tuple(side.rows.devices), side.now)
    result = sender.send(task, deadline=time.monotonic() + 10)
    assert len(result.unsettled) == 50


@pytest.mark.parametrize(
    ("answer", "holders", "outcome"),
    [
        (Answer(400, "SomethingNew"), 3, "configuration"),
        (Answer(400, "SomethingNew"), 1, "later"),
        (Answer(403, "BadEnvironmentKeyInToken"), 1, "configuration"),
        (Answer(403, "SomethingNew"), 1, "configuration"),
        (Answer(500, "SomethingNew"), 3, "later"),
        (Answer(429, "SomethingNew"), 3, "later"),
    ],
    ids=str,
)
def test_unknown_refusal_of_a_whole_send_counts_as_wrong_credential(
    side: PushSide, capsys: pytest.CaptureFixture[str], answer: Answer, holders: int, outcome: str
) -> None:
    """The alarm counts the outcome `configuration`. The devices and their pushes are kept."""
    for phone in names("phone", holders):
        side.holds(phone, "P")
    side.everything = answer
    side.changes_pass("P")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["Outcome"], line["Pushes"]) for line in lines if "Pushes" in line] == [(outcome, holders)]
    assert len(side.devices()) == holders
    assert len(side.messages) == 1


def test_only_pushes_that_apns_asked_to_wait_are_delayed(side: PushSide) -> None:
    """Retry-After of one device delays its push alone."""
    for phone in ("asked", "not-asked"):
        side.holds(phone, "P")
    side.answers["asked"] = Answer(429, "TooManyRequests", retry_after=300)
    side.answers["not-asked"] = Answer(500, "InternalServerError")
    side.changes_pass("P")
    side.answers.clear()
    side.works_off(seconds=299)
    assert side.notified() == ["not-asked"]
    side.works_off(seconds=1)
    assert side.notified() == ["not-asked", "asked"]


def test_message_without_progress_waits_as_long_as_apns_asks(side: PushSide) -> None:
    """In the worker too, whose own wait is shorter."""
    side.holds("phone", "P")
    side.answers["phone"] = Answer(503, "ServiceUnavailable", retry_after=600)
    side.changes_pass("P")
    side.works_off(seconds=600)
    assert len(side.pushed) == 2
    side.answers.clear()
    side.works_off(seconds=599)
    assert side.notified() == []
    side.works_off(seconds=1)
    assert side.notified() == ["phone"]


def test_waiting_does_not_count_as_an_attempt(side: PushSide) -> None:
    """A retry counts as an attempt; waiting because of a refused token, or until a task is due, does not."""
    for device in ("refused", "later", "delivered"):
        side.holds(device, "P")
    side.answers.update(refused=BAD_TOKEN, later=Answer(503, "ServiceUnavailable"))
    everyone = tuple(DeviceLibraryIdentifier(device) for device in ("later", "refused", "delivered"))
    side.push_worker.queue.send([NotifyDevices(TYPE, everyone, side.now)], attempts=7)
    side.works_off()
    assert attempts_by_device(side) == {"later": 8, "refused": 7}
    side.answers["later"] = Answer()
    side.works_off(seconds=HOUR)  # the delay of SQS has ended several times since
    assert attempts_by_device(side) == {"refused": 7}


def attempts_by_device(side: PushSide) -> dict[str, int]:
    found = [(decode(message.body), attempts_of(message.body)) for message in side.messages]
    return {task.devices[0].value: attempts for task, attempts in found if isinstance(task, NotifyDevices)}


def test_android_app_is_never_pushed_to_nor_removed(side: PushSide) -> None:
    """APNs would refuse its push token: that would be a wasted push, and a step towards a removal or a held one."""
    side.holds("iphone", "P")
    side.holds("android", "P", "Q", wallet=Wallet.WALLET_UNION)
    side.answers["android"] = BAD_TOKEN
    for serial_number in ("P", "Q", "P"):
        side.changes_pass(serial_number)
        side.works_off(seconds=DAY)
    assert [device for device, _ in side.pushed] == ["iphone", "iphone"]
    assert side.devices() == {"iphone", "android"}
    assert (side.held, side.messages) == ([], [])

"""Paced pushes, with tables in memory and a clock that tests move: the whole push side, not only `flows/pace.py`."""

import time
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate, cycle

import pytest

from chalicelib.aws.tables.connection import StoreError
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId
from chalicelib.flows.listing import Lister
from chalicelib.updates.pacing import (
    HORIZON_SECONDS,
    LANE_SHARE,
    LATENESS_SECONDS,
    SEND_SECONDS,
    STOPS_SECONDS,
    Lane,
    Stop,
    StoppedPushes,
)
from chalicelib.updates.protocol import Tag, window_seconds
from chalicelib.updates.push_tasks import FanOut, NotifyDevices, decode, encode
from tests.support.push_side import TYPE, Answer, PushSide

RATE = 10.0
WIDE = 1000


@pytest.fixture
def side() -> PushSide:
    return PushSide(devices_per_second=RATE)


def has_wide_pass(side: PushSide, serial_number: str = "P") -> set[str]:
    names = {f"phone-{number:04}-of-{serial_number}" for number in range(WIDE)}
    for name in names:
        side.holds(name, serial_number)
    return names


def seconds_until_notified(side: PushSide, names: set[str]) -> float:
    """Work off the queue, second by second, until all devices got their push."""
    began = side.now
    while not names <= set(side.notified()):
        side.works_off(seconds=1)
        assert side.now - began < 3600
    return side.now - began


def test_change_of_a_narrow_pass_is_pushed_by_its_own_batch(side: PushSide) -> None:
    side.holds("phone", "P")
    side.changes_pass("P")
    assert side.notified() == ["phone"]
    assert side.messages == []


def test_fan_out_takes_as_long_as_its_lane_needs(side: PushSide) -> None:
    names = has_wide_pass(side)
    side.changes_pass("P")
    seconds = seconds_until_notified(side, names)
    shortest = (WIDE - RATE) / (RATE * LANE_SHARE)  # the last page starts after the others
    assert shortest - 1 <= seconds <= shortest * 1.05 + 2
    assert Counter(side.notified()) == dict.fromkeys(names, 1)


def test_campaign_of_narrow_passes_takes_as_long_as_its_lane_needs(side: PushSide) -> None:
    names = {f"phone-{number:03}" for number in range(300)}
    for name in names:
        side.holds(name, name)
    for number in range(0, 300, 100):
        side.changes_pass(*(f"phone-{n:03}" for n in range(number, number + 100)))
    assert len(side.notified()) == RATE, "one send is due at once, and the others wait in the queue"
    assert all(isinstance(task, NotifyDevices) for task in side.tasks())
    seconds = seconds_until_notified(side, names)
    shortest = (300 - RATE) / (RATE * LANE_SHARE)
    assert shortest - 1 <= seconds <= shortest * 1.05 + 2
    assert Counter(side.notified()) == dict.fromkeys(names, 1)


def test_narrow_change_does_not_wait_behind_a_fan_out(side: PushSide) -> None:
    has_wide_pass(side)
    side.holds("urgent", "Q")
    side.changes_pass("P")
    side.works_off(seconds=30)
    began = side.now
    side.changes_pass("Q")
    while "urgent" not in side.notified():
        side.works_off(seconds=1)
    assert side.now - began <= 5


def test_change_during_a_fan_out_replaces_the_rest_of_it() -> None:
    """The devices of the next seconds are notified twice, and no other."""
    side = PushSide(devices_per_second=100.0)
    names = {f"phone-{number:05}" for number in range(6000)}
    for name in names:
        side.holds(name, "P")
    side.changes_pass("P")
    side.works_off(seconds=10)
    notified_before = len(side.notified())
    assert notified_before
    side.changes_pass("P")
    seconds_until_notified(side, names)
    side.works_off(seconds=3600)
    pushes = len(side.notified())
    assert pushes <= 6000 + notified_before + 100 * (HORIZON_SECONDS + 5) + 500
    assert side.messages == []


def test_waiting_of_a_paced_push_task_does_not_count_as_a_failure(
    side: PushSide, capsys: pytest.CaptureFixture[str]
) -> None:
    """It counts no attempt, and pushes that then fail are late only from the time at which they were due."""
    names = has_wide_pass(side)
    side.changes_pass("P")
    side.works_off(seconds=20)
    assert all("attempts" not in message.body for message in side.messages)
    assert "DeferredAge" not in capsys.readouterr().out
    side.everything = Answer(503, "ServiceUnavailable")
    side.works_off(seconds=100)
    ages = [float(line.split('"DeferredAge":')[1].split("}")[0]) for line in lines_with(capsys, '"DeferredAge":')]
    assert ages
    assert min(ages) < 10_000
    side.everything = None
    side.works_off(seconds=3600)
    assert set(side.notified()) == names
    assert side.messages == []


def lines_with(capsys: pytest.CaptureFixture[str], text: str) -> Iterator[str]:
    return (line for line in capsys.readouterr().out.splitlines() if text in line)


def test_wait_longer_than_sqs_can_delay_is_split(side: PushSide) -> None:
    """At 0.1 devices per second, a hundred devices take longer than the 15 minutes of one delay."""
    side.devices_per_second = 0.1
    side.new_environment()
    names = {f"phone-{number:03}" for number in range(200)}
    for name in names:
        side.holds(name, name)
    side.changes_pass(*(f"phone-{n:03}" for n in range(100)))
    side.changes_pass(*(f"phone-{n:03}" for n in range(100, 200)))
    last = max(task.slot_at for task in side.tasks() if isinstance(task, NotifyDevices))
    assert last - side.now > 900
    side.works_off(seconds=last - side.now - 1)
    assert len(side.notified()) == 199
    side.works_off(seconds=10)
    assert set(side.notified()) == names


def test_devices_are_queued_if_the_timelines_cannot_be_read(side: PushSide) -> None:
    side.holds("phone", "P")

    def fails(*_: object, **__: object) -> bool:
        raise StoreError("DynamoDB: UpdateItem failed with ThrottlingException")

    timelines = side.store.timelines
    object.__setattr__(side.store, "timelines", type("Away", (), {"take_now": fails, "take_next": fails})())
    side.changes_pass("P")
    assert side.pushed == []
    side.works_off(seconds=20)
    assert side.pushed == []
    object.__setattr__(side.store, "timelines", timelines)
    side.works_off(seconds=3600)
    assert side.notified() == ["phone"]


def test_lower_rate_counts_from_the_next_send(side: PushSide) -> None:
    names = has_wide_pass(side)
    side.changes_pass("P")
    side.works_off(seconds=1)
    side.devices_per_second = RATE / 10
    side.new_environment()
    began = side.now
    seconds_until_notified(side, names)
    assert side.now - began >= 500 / (RATE / 10)
    assert side.messages == []


def test_clocks_a_second_apart_lose_no_push_and_exceed_the_rate_by_no_more_than_that(side: PushSide) -> None:
    """Each invocation runs on a machine whose clock is up to half a second ahead or behind."""
    side.skews = cycle((0.5, -0.5, 0.0, -0.5, 0.5))
    names = has_wide_pass(side)
    side.holds("other", "Q")
    side.changes_pass("P")
    side.works_off(seconds=10)
    side.changes_pass("Q")
    seconds_until_notified(side, names | {"other"})
    side.works_off(seconds=3600)
    assert Counter(side.notified()) == dict.fromkeys(names | {"other"}, 1)
    assert side.messages == []
    assert most_at_once(side.pushed_at, RATE) <= LATENESS_SECONDS + 1


def most_at_once(times: list[float], rate: float) -> float:
    """Return the longest time by which pushes were ahead of the rate, in any period, less one send."""
    ahead = [number / rate - at for number, at in enumerate(times)]
    return max(now - least for now, least in zip(ahead, accumulate(ahead, min), strict=True)) - SEND_SECONDS


def test_deleted_row_of_the_timelines_loses_no_push(side: PushSide) -> None:
    """Sends that were scheduled become due earlier, and the stage's time still limits it."""
    names = has_wide_pass(side)
    side.changes_pass("P")
    for _ in range(5):
        side.works_off(seconds=7)
        side.rows.timelines.clear()
    seconds_until_notified(side, names)
    side.works_off(seconds=3600)
    assert Counter(side.notified()) == dict.fromkeys(names, 1)
    assert side.messages == []
    assert most_at_once(side.pushed_at, RATE) <= LATENESS_SECONDS + 5 * Lane.NARROW.patience_seconds


def test_push_tasks_of_an_older_version_are_paced_by_their_size() -> None:
    """They name no lane and no slot."""
    side = PushSide(devices_per_second=1000.0)
    names = has_wide_pass(side)
    task = NotifyDevices(TYPE, tuple(sorted(side.rows.devices))[:500], side.now)
    assert "lane" not in encode(task)
    assert decode(encode(task)) == task
    side.push_worker.queue.send([task, FanOut(PassId(TYPE, "P"), None, side.now)])
    seconds_until_notified(side, names)
    side.works_off(seconds=60)
    assert side.messages == []


def test_stopped_pushes_are_dropped_and_later_changes_are_pushed(side: PushSide) -> None:
    """Phones find the dropped change at their next request."""
    names = has_wide_pass(side)
    side.now += 60  # the registrations are older than the phones' tags
    tags = {name: lists(side, name, None) for name in names}
    assert not any(lists(side, name, tag) for name, tag in tags.items())
    side.now += 60
    side.changes_pass("P")
    side.works_off(seconds=10)
    notified = len(side.notified())
    side.rows.stops[TYPE] = StoppedPushes(Stop.DROP, side.now)
    side.works_off(seconds=3600)
    assert side.messages == []
    assert len(side.notified()) <= notified + RATE * STOPS_SECONDS
    assert all(lists(side, name, tag) for name, tag in tags.items() if name not in side.notified())
    assert len(set(side.notified())) < WIDE
    side.holds("other", "Q")
    side.changes_pass("Q")
    assert side.notified()[-1] == "other"
    side.changes_pass("P")
    seconds_until_notified(side, names)


def lists(side: PushSide, name: str, tag: Tag | None) -> Tag | None:
    """Have a phone make a list call; returns its new tag, or None if nothing changed since the given one."""
    lister = Lister(side.store, window_seconds=window_seconds(push_timeout_seconds=20))
    listing = lister.list_changed(
        device=DeviceLibraryIdentifier(name), pass_type_identifier=TYPE, tag=tag, now=side.now
    )
    return listing.last_updated if listing else None


def test_kept_pushes_are_sent_once_they_are_resumed(side: PushSide) -> None:
    """Hours of waiting are no failure, and no push is lost or repeated."""
    names = has_wide_pass(side) | {"other"}
    side.holds("other", "Q")
    side.changes_pass("P")
    side.works_off(seconds=10)
    side.rows.stops[TYPE] = StoppedPushes(Stop.KEEP, side.now)
    side.works_off(seconds=30)
    notified = len(side.notified())
    side.changes_pass("Q")
    side.works_off(seconds=4 * 3600)
    assert len(side.notified()) == notified
    assert all("attempts" not in message.body for message in side.messages)
    side.rows.stops.clear()
    side.works_off(seconds=3600)
    assert Counter(side.notified()) == dict.fromkeys(names, 1)
    assert side.messages == []


def test_deadline_ends_the_wait(side: PushSide) -> None:
    """An invocation without time left takes no time for its pushes."""
    pacer = side.changes.push_sender.pacer
    task = NotifyDevices(TYPE, (), side.now)
    assert pacer.admit(task.paced_lane, 1, deadline=time.monotonic()) is None
    assert side.rows.timelines == {}

"""Fan-outs are carried out once, and a pass that is deleted and loaded again keeps its phones. Tables are in memory."""

from collections import Counter

import pytest

from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId, PushToken
from chalicelib.flows.stamp import stamp
from chalicelib.updates.protocol import Refusal
from chalicelib.updates.push_tasks import FanOut, NotifyDevices, RemoveRegistrations
from chalicelib.updates.recent import CACHE_SECONDS
from tests.support.push_side import KEYS, TYPE, Killed, PushSide

MANY = 2300
"""More than the push function pushes to itself, and several pages of a fan-out."""
FEW = 30
"""More than the push function pushes to itself."""
PASS = PassId(TYPE, "P")


@pytest.fixture
def side() -> PushSide:
    return PushSide()


def phones(side: PushSide, count: int) -> set[str]:
    names = {f"phone-{number:04}" for number in range(count)}
    for name in names:
        side.holds(name, "P")
    return names


def repeated(side: PushSide) -> int:
    return sum(Counter(side.notified()).values()) - len(set(side.notified()))


def test_fan_out_ends_if_a_newer_change_replaces_it(side: PushSide) -> None:
    """With two changes before the worker handles the first, its devices get one push."""
    names = phones(side, MANY)
    side.changes_pass("P")
    side.changes_pass("P")
    side.works_off(seconds=60)
    assert set(side.notified()) == names
    assert repeated(side) == 0
    assert side.messages == []


def test_pushes_of_a_pass_that_was_on_many_devices_start_later_than_a_recent_version_is_kept(side: PushSide) -> None:
    """Also if few of them are left: other environments may still answer from the version before."""
    names = phones(side, FEW)
    side.changes_pass("P")
    side.works_off(seconds=CACHE_SECONDS)
    assert side.notified() == []
    side.works_off(seconds=3600)
    for name in names - {"phone-0000"}:
        side.store.registrations.delete(DeviceLibraryIdentifier(name), PASS)
    before = len(side.notified())
    side.changes_pass("P")
    side.works_off(seconds=CACHE_SECONDS)
    assert len(side.notified()) == before
    side.works_off(seconds=60)
    assert side.notified()[before:] == ["phone-0000"]


def test_push_function_that_dies_after_queueing_repeats_only_its_own_pushes(side: PushSide) -> None:
    """The batch comes again: what the worker was handed is not done twice, whenever it does it."""
    for drained_in_between in (True, False):
        side = PushSide()
        names = phones(side, MANY) | {"phone-of-Q", "phone-of-R"}
        side.holds("phone-of-Q", "Q")
        side.holds("phone-of-R", "R")
        records = [side.record(name) for name in ("P", "Q", "R")]
        side.dies_after_pushes = 1
        with pytest.raises(Killed):
            side.handles(*records)
        side.dies_after_pushes = None
        if drained_in_between:
            side.works_off(seconds=60)
        side.new_environment()
        side.handles(*records)
        side.works_off(seconds=3600)
        assert set(side.notified()) == names
        assert repeated(side) == 1
        assert side.messages == []
        assert side.rows.versions[PASS].revision == 2


def test_fan_out_that_was_sent_twice_is_carried_out_once(side: PushSide) -> None:
    """SQS took a message and its answer was lost: the sender sends it again."""
    names = phones(side, MANY)
    side.changes_pass("P")
    (task,) = side.tasks()
    assert isinstance(task, FanOut)
    side.works_off(twice=True)
    side.works_off(seconds=3600)
    assert set(side.notified()) == names
    assert repeated(side) == 0
    assert side.messages == []


def test_unannounced_stamp_does_not_end_a_fan_out(side: PushSide) -> None:
    """A personalization that stamps the pass during its fan-out does not stop the pushes."""
    names = phones(side, MANY)
    side.changes_pass("P")
    stamp(side.store, PASS, now=side.now + 1, changes=1, deleted=False)
    side.works_off(seconds=60)
    assert set(side.notified()) == names


def test_manual_push_is_carried_out_for_any_announced_stamp(side: PushSide) -> None:
    """It belongs to no change."""
    names = phones(side, 3)
    side.changes_pass("P")
    side.pushed.clear()
    side.push_worker.queue.send([FanOut(PASS, None, side.now)])
    side.works_off()
    assert set(side.notified()) == names


def test_pass_deleted_for_a_second_keeps_its_registrations_and_pushes_to_them(side: PushSide) -> None:
    """Delete and reload is how many nightly jobs work."""
    names = phones(side, 3)
    side.deletes_pass("P")
    side.works_off(seconds=1)
    side.inserts_pass("P")
    side.works_off(seconds=3600)
    assert sorted(side.notified()) == sorted(names)
    assert set(side.rows.registrations[PASS]) == {DeviceLibraryIdentifier(name) for name in names}
    assert side.messages == []


def test_registrations_of_deleted_pass_are_removed_after_the_grace_period(side: PushSide) -> None:
    """A quarter of an hour, and not before."""
    names = phones(side, 3)
    side.holds("phone-0000", "Q")
    side.deletes_pass("P")
    side.works_off(seconds=899)
    assert {device.value for device in side.rows.registrations[PASS]} == names
    side.works_off(seconds=2)
    assert side.rows.registrations[PASS] == {}
    assert side.devices() == {"phone-0000"}


def test_long_grace_period_is_split_into_several_delays() -> None:
    """SQS delays a message by a quarter of an hour at most."""
    side = PushSide(grace_seconds=3 * 3600)
    names = phones(side, 3)
    side.deletes_pass("P")
    side.works_off(seconds=3 * 3600 - 1)
    assert side.devices() == names
    (task,) = side.tasks()
    assert isinstance(task, RemoveRegistrations)
    side.works_off(seconds=900)
    assert side.devices() == set()


def test_second_deletion_has_its_own_grace_period(side: PushSide) -> None:
    """The push task of the first deletion removes nothing, because the pass was created again in between."""
    names = phones(side, 3)
    side.deletes_pass("P")
    side.works_off(seconds=600)
    side.inserts_pass("P")
    side.works_off(seconds=200)
    side.deletes_pass("P")
    side.works_off(seconds=600)
    assert side.devices() == names
    side.inserts_pass("P")
    side.works_off(seconds=3600)
    assert side.devices() == names
    assert Counter(side.notified()) == dict.fromkeys(names, 2)


def test_registration_during_a_deletion_is_kept_with_the_others(side: PushSide) -> None:
    """The phone was authorized, then the pass was deleted, then its registration was written. The pass comes back."""
    phones(side, 1)
    original = side.store.registrations.create
    authorization = f"ApplePass {KEYS.issue(PASS, item_token=None).value}"

    class DeletedMeanwhile:
        """The registrations' store, in whose first request the deletion happens."""

        def __getattr__(self, name: str) -> object:
            return getattr(side.rows.store().registrations, name)

        def create(self, *arguments: object, **options: object) -> bool:
            side.deletes_pass("P")
            return original(*arguments, **options)  # type: ignore[arg-type]  # handed through

    store = side.rows.store()
    object.__setattr__(store, "registrations", DeletedMeanwhile())
    registrar = type(side.registrar)(store, KEYS, side.push_worker.queue)
    late = DeviceLibraryIdentifier("late")
    token = PushToken("token-of-late")
    assert registrar.register(device=late, pass_id=PASS, authorization=authorization, push_token=token, now=side.now)
    side.works_off(seconds=600)
    side.inserts_pass("P")
    side.works_off(seconds=3600)
    assert sorted(side.notified()) == ["late", "phone-0000"]
    assert late in side.rows.registrations[PASS]


def test_push_task_is_not_carried_out_before_it_is_due(side: PushSide) -> None:
    """A push task that is received early is sent again."""
    phones(side, 1)
    device = DeviceLibraryIdentifier("phone-0000")
    side.push_worker.queue.send([NotifyDevices(TYPE, (device,), side.now, not_before=side.now + 2000)])
    side.works_off(seconds=1999)
    assert side.pushed == []
    side.works_off(seconds=2)
    assert side.notified() == ["phone-0000"]


def test_record_refused_after_its_stamp_is_stamped_again(side: PushSide) -> None:
    """The batch came three times, and its template was broken at the second: the stamp removes the refusal."""
    phones(side, 3)
    record = side.record("P")
    side.handles(record)
    side.store.versions.record_refusal(PASS, Refusal("template t is broken", "t", int(side.now)), changes=1)
    side.handles(record)
    assert side.rows.refusals == {}
    first = side.rows.versions[PASS]
    side.handles(record)
    assert side.rows.versions[PASS] == first


def test_personalization_keeps_a_recorded_refusal(side: PushSide) -> None:
    """It says nothing of the item, which must still be looked at once its template is repaired."""
    phones(side, 1)
    side.store.versions.record_refusal(PASS, Refusal("template t is broken", "t", int(side.now)), changes=1)
    stamp(side.store, PASS, now=side.now + 1, changes=1, deleted=False)
    assert PASS in side.rows.refusals

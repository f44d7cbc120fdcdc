"""Tests of listing the passes that changed on a device."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.aws.clocks import Clocks
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId, PushToken
from chalicelib.flows.listing import Lister, Listing
from chalicelib.flows.recent_versions import RecentVersions
from chalicelib.updates.fan_outs import FanOutProgress
from chalicelib.updates.protocol import Tag
from tests.schedules.memory import Memory

TYPE = "pass.com.example"
DEVICE = DeviceLibraryIdentifier("d1")
NOW = 1_800_000_000
WINDOW_SECONDS = 25


def device_with(changes: dict[str, int]) -> Memory:
    """Make tables with a device that holds these passes, by serial number, stamped at the given times."""
    rows = Memory()
    store = rows.store()
    for serial_number, stamped_at in changes.items():
        pass_id = PassId(TYPE, serial_number)
        store.registrations.create(DEVICE, pass_id, push_token=PushToken("ab" * 32), at=NOW - 10_000)
        store.versions.stamp_at(pass_id, now=stamped_at, changes=1, deleted=False)
    return rows


def listed(
    rows: Memory,
    tag: Tag | None,
    *,
    device: DeviceLibraryIdentifier | None = DEVICE,
    pass_type_identifier: str = TYPE,
    recent: RecentVersions | None = None,
) -> Listing | None:
    lister = Lister(rows.store(), window_seconds=WINDOW_SECONDS, recent=recent or RecentVersions())
    return lister.list_changed(device=device, pass_type_identifier=pass_type_identifier, tag=tag, now=float(NOW))


@given(st.dictionaries(st.text("abc", min_size=1), st.integers(NOW - 5000, NOW), max_size=8), st.integers(0, 5000))
def test_passes_stamped_after_the_tag_are_listed(changes: dict[str, int], age: int) -> None:
    tag = Tag.at(float(NOW - age), window_seconds=WINDOW_SECONDS)
    listing = listed(device_with(changes), tag)
    named = set(listing.serial_numbers) if listing is not None else set()
    assert named >= {serial_number for serial_number, at in changes.items() if at > NOW - age - WINDOW_SECONDS}
    assert not named & {serial_number for serial_number, at in changes.items() if at < NOW - age - WINDOW_SECONDS}


def test_all_passes_are_listed_without_a_tag() -> None:
    listing = listed(device_with({"a": NOW - 5000, "b": NOW}), None)
    assert listing is not None
    assert listing.serial_numbers == ("a", "b")
    assert listing.last_updated == Tag.at(float(NOW), window_seconds=WINDOW_SECONDS)


def test_more_passes_than_one_request_takes_are_listed() -> None:
    names = [f"{number:03}" for number in range(120)]
    listing = listed(device_with(dict.fromkeys(names, NOW)), None)
    assert listing is not None
    assert sorted(listing.serial_numbers) == names


def test_tag_from_the_future_is_ignored() -> None:
    listing = listed(device_with({"a": NOW - 5000}), Tag.at(NOW + 1e6, window_seconds=WINDOW_SECONDS))
    assert listing is not None
    assert listing.serial_numbers == ("a",)


@pytest.mark.parametrize("device", [None, DeviceLibraryIdentifier("unknown")])
def test_unknown_device_has_no_passes(device: DeviceLibraryIdentifier | None) -> None:
    assert listed(device_with({"a": NOW}), None, device=device) is None


def test_passes_of_other_types_are_not_listed() -> None:
    assert listed(device_with({"a": NOW}), None, pass_type_identifier="pass.com.other") is None


def test_widely_held_pass_is_listed_from_a_recent_version_without_its_rows() -> None:
    rows = device_with({"a": NOW - 100, "b": NOW - 100})
    wide = PassId(TYPE, "a")
    rows.fan_outs[wide] = FanOutProgress(NOW, "", "", "", NOW, done=True)
    seconds = [-0.5]
    recent = RecentVersions(Clocks(clock=lambda: NOW + seconds[0], timer=lambda: seconds[0]))
    listed(rows, Tag(NOW - 200), recent=recent)
    del rows.registrations[wide], rows.versions[wide]
    seconds[0] = 0.0
    listing = listed(rows, Tag(NOW - 200), recent=recent)
    assert listing is not None
    assert listing.serial_numbers == ("a", "b")
    assert listing.last_updated == Tag.at(NOW - 0.5, window_seconds=WINDOW_SECONDS)  # as old as what it rests on


def test_recent_version_never_says_that_nothing_changed() -> None:
    rows = device_with({"a": NOW - 100})
    wide = PassId(TYPE, "a")
    rows.fan_outs[wide] = FanOutProgress(NOW, "", "", "", NOW, done=True)
    recent = RecentVersions(Clocks(clock=lambda: NOW, timer=lambda: 0.0))
    assert listed(rows, Tag(NOW - 50), recent=recent) is None
    rows.store().versions.stamp_at(wide, now=NOW - 10, changes=1, deleted=False)
    listing = listed(rows, Tag(NOW - 50), recent=recent)
    assert listing is not None
    assert listing.serial_numbers == ("a",)

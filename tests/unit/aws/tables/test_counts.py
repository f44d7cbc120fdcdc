"""Tests of the keys of the table of counts."""

from hypothesis import given
from hypothesis import strategies as st

from chalicelib.aws.tables.counts import day_key, removal_key, total_key
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId

names = st.text(st.characters(codec="ascii", categories=("L", "N"), include_characters="."), min_size=1, max_size=12)
kinds = st.tuples(names, names)
devices = names.map(DeviceLibraryIdentifier)
passes = st.builds(PassId, names.map("pass.{}".format), names)


@given(st.sets(kinds, min_size=2), st.dates().map(str))
def test_each_type_and_template_has_keys_of_its_own(found: set[tuple[str, str]], day: str) -> None:
    keys = {key for kind in found for key in (total_key(kind), day_key(day, kind))}
    assert len(keys) == 2 * len(found)


@given(devices, passes)
def test_note_of_a_removal_has_a_short_key_without_the_device(device: DeviceLibraryIdentifier, pass_id: PassId) -> None:
    key = removal_key(device, pass_id)
    assert key == removal_key(device, pass_id)
    assert len(key) == len(removal_key(device)) < 80
    assert len(device.value) < 4 or device.value not in key


@given(st.sets(st.tuples(devices, passes), min_size=2))
def test_each_registration_has_a_note_of_its_own(found: set[tuple[DeviceLibraryIdentifier, PassId]]) -> None:
    keys = {removal_key(*each) for each in found} | {removal_key(device) for device, _ in found}
    assert len(keys) == len(found) + len({device for device, _ in found})

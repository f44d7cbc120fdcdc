"""The switches of the page set the faults of the stand-in, and leave its other faults alone."""

from collections.abc import Iterator

import httpx
import pytest

from infra.local.page.faults import SWITCHES, StandInFaults
from tests.support.simulated_apns import ApnsForTests


@pytest.fixture
def faults(apns: ApnsForTests) -> Iterator[StandInFaults]:
    httpx.delete(f"{apns.control_url}/faults").raise_for_status()
    yield StandInFaults(apns.control_url)
    httpx.delete(f"{apns.control_url}/faults").raise_for_status()


@pytest.mark.parametrize("name", [switch.name for switch in SWITCHES])
def test_switch_is_on_until_it_is_turned_off(faults: StandInFaults, name: str) -> None:
    switch = faults.turn(name, on=True)
    assert switch.is_on(faults.current())
    faults.turn(name, on=False)
    assert not switch.is_on(faults.current())


def test_other_faults_stay(faults: StandInFaults, apns: ApnsForTests) -> None:
    httpx.put(f"{apns.control_url}/faults", json={"read_bytes_per_second": 5}).raise_for_status()
    faults.turn("slow", on=True)
    faults.turn("slow", on=False)
    assert faults.current()["read_bytes_per_second"] == 5


def test_answers_exclude_each_other(faults: StandInFaults) -> None:
    faults.turn("unavailable", on=True)
    faults.turn("throttled", on=True)
    assert [switch.name for switch in SWITCHES if switch.is_on(faults.current())] == ["throttled"]


def test_unknown_switch_is_refused(faults: StandInFaults) -> None:
    with pytest.raises(KeyError):
        faults.turn("no-such-fault", on=True)

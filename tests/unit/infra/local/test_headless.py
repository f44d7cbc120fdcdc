"""The report on headless phones."""

import pytest

from infra.local.headless import HeadlessReport
from infra.local.phones import PhoneCounts


def report(phones: int, latencies: list[float]) -> HeadlessReport:
    return HeadlessReport(phones, register_seconds=1.0, shown=len(latencies), latencies=latencies, counts=PhoneCounts())


@pytest.mark.parametrize(("share", "seconds"), [(0.5, 2.0), (0.75, 3.0), (1.0, 4.0), (0.0, 1.0)])
def test_latency_is_that_after_which_a_share_of_the_phones_shows_the_change(share: float, seconds: float) -> None:
    assert report(4, [1.0, 2.0, 3.0, 4.0]).latency(share) == seconds


def test_share_that_never_saw_the_change_has_no_latency() -> None:
    assert report(4, [1.0, 2.0]).latency(0.95) is None
    assert report(4, [1.0, 2.0]).latency(0.5) == 2.0


def test_phones_that_never_show_the_change_are_lost() -> None:
    assert report(4, [1.0, 2.0, 3.0]).lost == 1

"""Tests of fan-outs: in whatever order messages are delivered, every device is covered, and newer changes win."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from chalicelib.updates.fan_outs import ABANDONED_SECONDS, Decline, FanOutProgress, FanOutState, claim

LAST = 12
"""Number of the last device. Devices are numbered from 1, and named by letters in the table's order."""


def name(device: int) -> str:
    return chr(ord("a") + device) if device else ""


class Worker:
    """A push worker that receives messages with one stamp, each with the device after which it begins."""

    def __init__(self, starts: dict[str, int]) -> None:
        self.starts = starts
        self.state = FanOutState(announced=5)
        self.covered: set[int] = set()
        self.ended: set[str] = set()
        self.now = 0.0

    def receives(self, message: str, pages: int, *, dies: bool) -> None:
        """Continue the fan-out for some pages; if it `dies`, the progress of the last page is not written."""
        claimed = claim(self.state, modified_at=5, after=name(self.starts[message]), holder=message, now=self.now)
        if claimed is Decline.END:
            self.ended.add(message)
        if isinstance(claimed, FanOutProgress):
            self.state = replace(self.state, progress=claimed)
            for number in range(pages):
                claimed = self.next_page(claimed)
                if dies and number == pages - 1:
                    return
                self.state = replace(self.state, progress=claimed)
                if claimed.done:
                    self.ended.add(message)
                    return

    def next_page(self, progress: FanOutProgress) -> FanOutProgress:
        reached = ord(progress.reached) - ord("a") if progress.reached else 0
        end = min(reached + 3, LAST)
        self.covered.update(range(reached + 1, end + 1))
        return replace(progress, reached=name(end), at=int(self.now), done=end == LAST)


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["m1", "m2", "m3"]), st.integers(0, 5), st.booleans(), st.integers(0, 2000)),
        max_size=40,
    ),
    starts=st.fixed_dictionaries({"m1": st.integers(0, 3), "m2": st.integers(0, 3), "m3": st.integers(0, 3)}),
)
def test_messages_of_one_stamp_cover_every_device_from_the_earliest_start(
    steps: list[tuple[str, int, bool, int]], starts: dict[str, int]
) -> None:
    """Messages stop after any page, or lose the progress of it; none ends before its devices are covered."""
    worker = Worker(starts)
    for message, pages, dies, wait in steps:
        worker.now += wait
        if message not in worker.ended:
            worker.receives(message, pages, dies=dies)
        for ended in worker.ended:
            assert worker.covered >= set(range(starts[ended] + 1, LAST + 1))
    for _ in range(10):
        worker.now += ABANDONED_SECONDS + 1
        for message in starts.keys() - worker.ended:
            worker.receives(message, LAST, dies=False)
    assert worker.ended == set(starts)
    assert worker.covered == set(range(min(starts.values()) + 1, LAST + 1))


@given(st.integers(1, 10), st.integers(1, 10), st.sampled_from(["", "c", "k"]))
def test_fan_out_is_superseded_by_a_later_announced_stamp_alone(announced: int, modified_at: int, after: str) -> None:
    """A fan-out with the announced stamp, or a later one, continues."""
    claimed = claim(FanOutState(announced), modified_at=modified_at, after=after, holder="m", now=0)
    assert (claimed is Decline.END) == (announced > modified_at)


def test_progress_is_read_back() -> None:
    """Device library identifiers may contain any printable character."""
    progress = FanOutProgress(5, 'a"b\\', "c", "m-1", 7, done=True)
    assert FanOutProgress.parse(progress.encode()) == progress


def test_second_message_waits_for_the_first_and_ends_when_the_fan_out_is_done() -> None:
    """It takes over when the first makes no progress for long."""
    progress = FanOutProgress(5, "a", "c", "m1", 100)
    state = FanOutState(5, progress)
    second = {"modified_at": 5, "after": "a", "holder": "m2"}
    assert claim(state, **second, now=200) is Decline.WAIT  # type: ignore[arg-type]  # mypy reads the values' union
    assert claim(replace(state, progress=replace(progress, done=True)), **second, now=200) is Decline.END  # type: ignore[arg-type]  # as above
    taken = claim(state, **second, now=100 + ABANDONED_SECONDS + 1)  # type: ignore[arg-type]  # as above
    assert isinstance(taken, FanOutProgress)
    assert (taken.holder, taken.reached) == ("m2", "c")

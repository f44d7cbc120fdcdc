"""Fan-outs that are carried out once: which of several messages about one change goes on, and from where.

Theory of operation
-------------------
A fan-out pages through the devices that hold a pass and orders a push to each. It may reach the worker several times:
SQS delivers a message more than once, a sender repeats a request whose answer was lost, the push function repeats a
batch that it did not settle. And the next change of the same pass starts a fan-out of its own.

*Announced.* The push function stamps a pass and then sees to it that all devices that hold the pass are told. That
stamp is `announced` on the version row. Other stamps (personalization) announce nothing, and leave it. So a fan-out
whose stamp is older than `announced` is replaced: the newer change tells every device, and telling them the same twice
wakes phones for nothing. A crash between the stamp and its fan-out ends the invocation, and Lambda repeats the batch
until it is settled or kept in the stream-failure queue, which raises an alarm. The repeated batch finds by
`last_record` that its last record is stamped already, and announces the same stamp again instead of a new one; so the
fan-out of the first attempt is the same as that of the second.

*Progress.* Of the fan-out of the announced stamp, the version row keeps where it began, how far it has come, and which
message carries it on (`holder`). It is written after each page, on the condition that nobody else wrote it, and after
the page's pushes are ordered: a crash in between repeats one page, and never leaves one out.

A message of the same stamp whose devices are all covered by the progress that is kept (it begins no earlier)
- goes on from there if it is the holder, which was delivered again, or if the holder has handed over;
- ends if the fan-out is done;
- else waits, and takes over from a holder that has not moved for `ABANDONED_SECONDS`. It never ends before the
  fan-out is done, since the holder may have been given up.
One that begins earlier covers more devices, and replaces it.
"""

import json
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Self

ABANDONED_SECONDS = 900
"""Longer than an invocation of the worker may take, and than a message that was not settled stays hidden."""


@dataclass(frozen=True, slots=True)
class FanOutProgress:
    """How far a fan-out has come.

    Args:
        modified_at: the stamp whose fan-out this is.
        start: the device identifier behind which it began, in the table's order; empty for the first device.
        reached: the device identifier up to which pushes are ordered; empty for none.
        holder: the id of the message that carries it on; empty where it waits for the next one.
        at: epoch seconds of this progress.
        done: whether pushes to all devices are ordered.
    """

    modified_at: int
    start: str
    reached: str
    holder: str
    at: int
    done: bool = False

    def encode(self) -> str:
        """As one attribute of the version row."""
        return json.dumps([self.modified_at, self.start, self.reached, self.holder, self.at, self.done])

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `encode` wrote."""
        return cls(*json.loads(text))


@dataclass(frozen=True, slots=True)
class FanOutState:
    """What the version row says of a pass's fan-outs.

    Args:
        announced: the stamp of the last change whose devices are told; 0 for none.
        progress: of the last fan-out; None for none.
    """

    announced: int = 0
    progress: FanOutProgress | None = None


class Idle(Enum):
    """Why a message does not carry the fan-out on."""

    END = auto()
    """A newer change replaces it, or it is done."""
    WAIT = auto()
    """Another message carries it on; this one must come again."""


def claim(state: FanOutState, *, modified_at: int, after: str, holder: str, now: float) -> FanOutProgress | Idle:
    """What a message that orders a fan-out does.

    Args:
        state: as the version row has it.
        modified_at: the stamp whose fan-out is ordered.
        after: the device identifier behind which it begins; empty for the first device.
        holder: the id of the message.
        now: epoch seconds.

    Returns:
        The progress to write before the first page, with `reached` as the place to go on from; or why not.
    """
    started = FanOutProgress(modified_at, after, after, holder, int(now))
    found = state.progress
    if state.announced > modified_at or (found is not None and found.modified_at > modified_at):
        return Idle.END
    if found is None or found.modified_at < modified_at or (after < found.start and found.holder != holder):
        return started
    if found.done:
        return Idle.END
    if found.holder in ("", holder) or now - found.at > ABANDONED_SECONDS:
        return replace(found, holder=holder, at=int(now))
    return Idle.WAIT
